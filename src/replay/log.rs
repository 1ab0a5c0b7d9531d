//! A log that is decided again: its state, its rule books, its rulings, and each of its records as the engine's input.

use std::sync::Arc;

use anyhow::{Result, anyhow};

use super::chunk::{Chunk, ReadyRecord};
use crate::contract::rule_file::from_canonical;
use crate::engine::decide::Books;
use crate::engine::decision::RuleBookRef;
use crate::engine::delta::Delta;
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::state::{Settings, State};
use crate::engine::step::{ArrivalClock, Input, LoggedQuote};
use crate::engine::time::{ArrivalTime, Arrivals};
use crate::pipeline::recover::join;
use crate::pipeline::rulings;

pub struct Replayed {
    pub state: State,
    pub books: Books,
    /// Not those of the log: its books keep their places, without effect.
    has_own_rules: bool,
}

impl Replayed {
    /// With `rules` in force throughout, or else those that a recorded log brings.
    pub fn new(settings: Settings, rules: Option<RuleBook>) -> Replayed {
        let has_own_rules = rules.is_some();
        let mut replayed = Replayed { state: State::new(settings), books: Books::default(), has_own_rules };
        if let Some(rules) = rules {
            let reference = replayed.add_book(rules);
            replayed.state.restore(0, Arrivals::default(), vec![(0, reference)]);
        }
        replayed
    }

    fn add_book(&mut self, book: RuleBook) -> RuleBookRef {
        let reference = book.reference();
        self.books.add(Arc::new(book));
        reference
    }

    /// Record `i` of the chunk, at the next offset.
    ///
    /// # Errors
    /// A rule book or a ruling of the log that cannot be read.
    pub fn input(&mut self, chunk: &Chunk, i: usize, record: &ReadyRecord) -> Result<Input> {
        let position = Position { partition: self.state.settings().partition, offset: self.state.next_offset() };
        Ok(match record {
            ReadyRecord::Quote(prepared) => {
                let (arrival, clock) = match chunk {
                    Chunk::Lines(_) => (ArrivalTime(0), ArrivalClock::Event),
                    Chunk::Log(records) => (records[i].arrival, records[i].clock),
                };
                Input::Quote(LoggedQuote { position, arrival, clock, prepared: prepared.clone() })
            }
            ReadyRecord::RuleBook if self.has_own_rules => Input::Skipped { position },
            ReadyRecord::RuleBook => {
                let at = position.offset;
                let text = std::str::from_utf8(chunk.raw(i))?;
                let book = from_canonical(text).map_err(|errors| anyhow!("the rule book at offset {at}: {}", join(&errors)))?;
                Input::Control { position, book: Some(self.add_book(book)), rulings: Vec::new() }
            }
            ReadyRecord::Ruling => {
                let (_, ruling) = rulings::read(position.offset, chunk.raw(i))?;
                Input::Control { position, book: None, rulings: vec![ruling] }
            }
            ReadyRecord::Skipped(_) | ReadyRecord::Counted => Input::Skipped { position },
        })
    }

    /// # Errors
    /// A step that does not follow from this state.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        self.state.apply(delta).map_err(|e| anyhow!("offset {}: {e}", delta.from))
    }
}
