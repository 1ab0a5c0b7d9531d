//! The rule book: conditions over [`super::evidence::Evidence`], compiled once, evaluated for every quote.
