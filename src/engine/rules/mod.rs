//! The rule book: conditions over [`super::evidence::Evidence`], compiled once, evaluated for every quote.
//!
//! `source` holds the analyst's rule as plain data, `check` gives its condition names and types, `condition` is the native
//! form that runs, `template` the text for the underwriter, `book` all rules together.

pub mod book;
mod check;
pub mod condition;
pub mod duration;
pub mod filter;
mod pattern;
mod range;
pub mod source;
pub mod suggest;
mod template;
mod words;

pub use book::{Evaluation, LiveHit, RuleBook, RuleFault, ShadowHit};
pub use condition::Fault;
pub use source::{
    Bands, BookSource, List, Mode, ParamSource, ParamValue, Part, Problem, RuleSource, SHADOW_BOOK, Scoring, SourceError,
};
pub use words::Words;
