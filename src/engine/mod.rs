//! The pure heart: no IO, no async, no clock, no randomness, no iteration over hash maps.
//!
//! A decision is a function of the quote as logged, the control state at its log position and the set of
//! attempts in its event-time window; everything in this module is deterministic in those.

pub mod beside;
pub mod blocking;
pub mod codec;
pub mod compare;
pub mod decide;
pub mod decision;
pub mod delta;
pub(crate) mod evaluate;
pub mod evidence;
pub mod export;
pub mod facts;
pub mod field;
pub mod fingerprint;
pub mod gather;
pub mod index;
mod later;
pub mod limits;
pub mod link;
pub mod matching;
pub mod normalise;
mod owner;
pub mod quote;
pub mod rules;
pub mod rulings;
pub mod state;
pub mod step;
pub mod time;

#[cfg(test)]
mod tests;
