//! The third stage: the one thread that owns the state. The same `decide` and `apply` as the service's writer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::chunk::{Chunk, Emit, Ready, ReadyRecord};
use super::{Depth, Report};
use crate::contract::rule_file::from_canonical;
use crate::engine::decide::{Books, decide};
use crate::engine::decision::{RuleBookRef, Verdict};
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::state::{Settings, State};
use crate::engine::step::{ArrivalClock, Input, LoggedQuote, Outcome};
use crate::engine::time::{ArrivalTime, Arrivals};
use crate::pipeline::batch::refusal;
use crate::pipeline::recover::join;

pub struct Decider {
    state: State,
    books: Books,
    /// Not those of the log: its books keep their places, without effect.
    has_own_rules: bool,
    partition: u32,
    report: Report,
    began: Instant,
}

impl Decider {
    /// With `rules` in force throughout, or else those that a recorded log brings.
    pub fn new(settings: Settings, rules: Option<RuleBook>) -> Decider {
        let partition = settings.partition;
        let mut decider = Decider {
            state: State::new(settings),
            books: Books::default(),
            has_own_rules: rules.is_some(),
            partition,
            report: Report::default(),
            began: Instant::now(),
        };
        if let Some(rules) = rules {
            let reference = decider.add_book(rules);
            decider.state.restore(0, Arrivals::default(), vec![(0, reference)]);
        }
        decider
    }

    fn add_book(&mut self, book: RuleBook) -> RuleBookRef {
        let reference = book.reference();
        self.books.add(Arc::new(book));
        reference
    }

    /// Takes chunks in order from the lanes until they end; the first error ends it too.
    ///
    /// Owns the lanes: when it returns early, the stages before it see that nobody listens.
    pub fn run(mut self, lanes: Vec<Receiver<Result<Ready>>>, emit: SyncSender<Emit>, depth: Depth) -> Result<Report> {
        for lane in lanes.iter().cycle() {
            let Ok(ready) = lane.recv() else { break };
            let ready = ready?;
            if depth == Depth::Full {
                let emitted = self.chunk(ready)?;
                if emit.send(emitted).is_err() {
                    break; // The writer failed, and says why.
                }
            } else {
                self.report.records += ready.records.len() as u64;
            }
        }
        self.report.digest = self.state.digest();
        self.report.live_attempts = self.state.live_attempts();
        self.report.elapsed = self.began.elapsed();
        Ok(self.report)
    }

    fn chunk(&mut self, ready: Ready) -> Result<Emit> {
        let Ready { chunk, records } = ready;
        let mut emit = Emit { decisions: Vec::with_capacity(records.len()), rejects: Vec::new() };
        for (i, record) in records.into_iter().enumerate() {
            let input = self.input(&chunk, i, record, &mut emit)?;
            let step = decide(&self.state, &input, &self.books)?;
            self.state.apply(&step.delta).map_err(|e| anyhow!("offset {}: {e}", step.delta.from))?;
            self.count(&step.outcome, step.decisions.first().map(|decision| decision.answer));
            self.report.amendments += step.decisions.len().saturating_sub(1) as u64;
            if let Some((error, _, pointer)) = refusal(&step.outcome) {
                emit.rejects.push(chunk.reject(i, error, pointer.to_owned()));
            }
            emit.decisions.extend(step.decisions);
        }
        Ok(emit)
    }

    fn input(&mut self, chunk: &Chunk, i: usize, record: ReadyRecord, emit: &mut Emit) -> Result<Input> {
        let position = Position { partition: self.partition, offset: self.state.next_offset() };
        Ok(match record {
            ReadyRecord::Quote(prepared) => {
                let (arrival, clock) = match chunk {
                    Chunk::Lines(_) => (ArrivalTime(0), ArrivalClock::Event),
                    Chunk::Log(records) => (records[i].arrival, records[i].clock),
                };
                Input::Quote(LoggedQuote { position, arrival, clock, prepared })
            }
            ReadyRecord::RuleBook if self.has_own_rules => Input::Skipped { position },
            ReadyRecord::RuleBook => {
                let at = position.offset;
                let text = std::str::from_utf8(chunk.raw(i))?;
                let book = from_canonical(text).map_err(|errors| anyhow!("the rule book at offset {at}: {}", join(&errors)))?;
                Input::RuleBook { position, book: self.add_book(book) }
            }
            ReadyRecord::Skipped(reject) => {
                emit.rejects.extend(reject.map(|reject| *reject));
                self.report.rejected += 1;
                Input::Skipped { position }
            }
            ReadyRecord::Counted => Input::Skipped { position },
        })
    }

    fn count(&mut self, outcome: &Outcome, answer: Option<Verdict>) {
        let report = &mut self.report;
        report.records += 1;
        match outcome {
            Outcome::Decided => match answer {
                Some(Verdict::Refer) => report.referred += 1,
                Some(Verdict::Flag) => report.flagged += 1,
                _ => report.accepted += 1,
            },
            Outcome::Duplicate(_) => report.duplicates += 1,
            Outcome::IdReused(_) | Outcome::TooOld { .. } | Outcome::TimeJump { .. } => report.rejected += 1,
            Outcome::Applied => {}
        }
    }
}
