//! Answers to submitters of this instance whose record another instance decides: read from `decisions`, and from the dead letters
//! where the record was refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::book_by_hash;
use crate::adapters::kafka::{Control, DecisionsTail, PublishedDecision, Told};
use crate::contract::decision::{DecisionV1, VerdictV1};
use crate::engine::decision::{DecisionId, ReferralId, Verdict};
use crate::engine::quote::Position;
use crate::engine::rules::RuleBook;
use crate::engine::rules::source::ApplicantText;
use crate::engine::step::{Current, Outcome};
use crate::pipeline::batch::refused;
use crate::pipeline::partition::waiters::Waiters;
use crate::pipeline::queue::Answered;

/// Submitters are gone after their own deadline; the answer is remembered for those who ask again.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Elsewhere {
    tail: Arc<DecisionsTail>,
    control: Arc<Control>,
    waiters: Arc<Waiters>,
    runtime: Handle,
    books: Mutex<HashMap<String, Arc<RuleBook>>>,
}

impl Elsewhere {
    pub fn new(tail: Arc<DecisionsTail>, control: Arc<Control>, waiters: Arc<Waiters>, runtime: Handle) -> Elsewhere {
        Elsewhere { tail, control, waiters, runtime, books: Mutex::default() }
    }

    /// Answers whoever waits by `token` for the quote of this id as soon as the record's fate is published.
    pub fn answer(self: &Arc<Self>, partition: i32, offset: u64, token: Box<[u8]>) {
        let Some(id) = self.waiters.awaited(&token) else { return };
        let told = self.tail.answer(partition, offset);
        let this = self.clone();
        self.runtime.spawn(async move {
            let answered = match timeout(PATIENCE, told).await {
                Ok(Ok(Told::Published(published))) => this.answered(&published),
                Ok(Ok(Told::Refused { reason, value })) => {
                    refused(&reason, &value).map(|outcome| Answered { outcome, decision: None, text: None })
                }
                Ok(Err(_)) | Err(_) => None,
            };
            if let Some(answered) = answered {
                this.waiters.answer(&token, id, offset, answered);
            }
            // Whoever was told 202 finds the decision where he was sent.
            this.waiters.forget(&token);
        });
    }

    /// A partition has moved: what it was to answer here is published by its next owner.
    pub fn take_up(self: &Arc<Self>, partition: i32) {
        for (token, offset) in self.waiters.logged_in(partition) {
            self.answer(partition, offset, token);
        }
    }

    fn answered(&self, published: &PublishedDecision) -> Option<Answered> {
        let decision: DecisionV1 = serde_json::from_slice(&published.value).ok()?;
        let id = DecisionId(u128::from_str_radix(&decision.decision_id, 16).ok()?);
        let referral = decision.referral_id.as_deref().and_then(|id| u64::from_str_radix(id.strip_prefix("R-")?, 16).ok());
        let current = Current {
            decision_id: id,
            position: Position { partition: decision.position.partition, offset: decision.position.offset },
            revision: decision.revision,
            verdict: verdict(decision.decision),
            answer: verdict(decision.answer),
            referral_id: referral.map(ReferralId),
        };
        let text = self.text(&decision, current.stricter());
        // The decision is not at hand, what stands for it is: a submitter is told the same.
        let outcome = if published.rejected.is_some() { Outcome::IdReused(current) } else { Outcome::Duplicate(current) };
        Some(Answered { outcome, decision: None, text })
    }

    /// What the rule that led to the answer has to tell the applicant.
    fn text(&self, decision: &DecisionV1, verdict: Verdict) -> Option<ApplicantText> {
        let book = self.book(&decision.rule_book.hash)?;
        let led = |rule: &str| book.rules().find(|source| *source.id == *rule && source.then == verdict)?.applicant.clone();
        decision.reasons.iter().find_map(|reason| led(&reason.rule))
    }

    fn book(&self, hash: &str) -> Option<Arc<RuleBook>> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = books.get(hash) {
            return Some(book.clone());
        }
        let book = Arc::new(book_by_hash(&self.control, u64::from_str_radix(hash, 16).ok()?)?);
        books.insert(hash.to_owned(), book.clone());
        Some(book)
    }
}

fn verdict(verdict: VerdictV1) -> Verdict {
    match verdict {
        VerdictV1::Accept => Verdict::Accept,
        VerdictV1::Flag => Verdict::Flag,
        VerdictV1::Refer => Verdict::Refer,
    }
}
