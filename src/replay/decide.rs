//! The third stage: the one thread that owns the state. The same `decide` and `apply` as the service's writer.

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use anyhow::Result;

use super::chunk::{Emit, Ready, ReadyRecord};
use super::log::Replayed;
use super::{Depth, Report};
use crate::engine::decide::decide;
use crate::engine::decision::Verdict;
use crate::engine::step::Outcome;
use crate::pipeline::batch::refusal;

pub struct Decider {
    log: Replayed,
    report: Report,
    began: Instant,
}

impl Decider {
    pub fn new(log: Replayed) -> Decider {
        Decider { log, report: Report::default(), began: Instant::now() }
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
        self.report.digest = self.log.state.digest();
        self.report.live_attempts = self.log.state.live_attempts();
        self.report.elapsed = self.began.elapsed();
        Ok(self.report)
    }

    fn chunk(&mut self, ready: Ready) -> Result<Emit> {
        let Ready { chunk, records } = ready;
        let mut emit = Emit { decisions: Vec::with_capacity(records.len()), rejects: Vec::new() };
        for (i, record) in records.into_iter().enumerate() {
            let input = self.log.input(&chunk, i, &record)?;
            if let ReadyRecord::Skipped(reject) = record {
                self.report.rejected += 1;
                emit.rejects.extend(reject.map(|reject| *reject));
            }
            let step = decide(&self.log.state, &input, &self.log.books)?;
            self.log.apply(&step.delta)?;
            self.count(&step.outcome, step.decisions.first().map(|decision| decision.answer));
            self.report.amendments += step.decisions.len().saturating_sub(1) as u64;
            if let Some((error, _, pointer)) = refusal(&step.outcome) {
                emit.rejects.push(chunk.reject(i, error, pointer.to_owned()));
            }
            emit.decisions.extend(step.decisions);
        }
        Ok(emit)
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
