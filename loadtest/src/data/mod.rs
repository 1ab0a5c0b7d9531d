//! Generic word lists from which people, addresses and cars are composed. Nobody in them is real.

pub mod cars;
pub mod names;
pub mod places;
