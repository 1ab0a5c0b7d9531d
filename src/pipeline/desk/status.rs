//! The status of a case and what may follow it.

use std::fmt;

use super::DeskError;
pub use crate::contract::ruling::RulingKindV1 as RulingKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Open,
    Cleared,
    Confirmed,
    ProofRequested,
}

impl Status {
    pub const ALL: [Status; 4] = [Status::Open, Status::Cleared, Status::Confirmed, Status::ProofRequested];

    pub fn name(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Cleared => "cleared",
            Status::Confirmed => "confirmed",
            Status::ProofRequested => "proof_requested",
        }
    }

    pub fn parse(name: &str) -> Option<Status> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Somebody has still to decide.
    pub fn is_waiting(self) -> bool {
        matches!(self, Status::Open | Status::ProofRequested)
    }

    /// What a ruling may make of it.
    ///
    /// # Errors
    /// [`DeskError::Transition`]: a closed case is reopened before it is closed otherwise.
    pub fn after(self, kind: RulingKind) -> Result<Status, DeskError> {
        let Some(to) = kind.status() else { return Ok(self) };
        let may = match self {
            Status::Open => to != Status::Open,
            Status::ProofRequested => to != Status::ProofRequested,
            Status::Cleared | Status::Confirmed => to == Status::Open,
        };
        if may { Ok(to) } else { Err(DeskError::Transition { from: self, to }) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl RulingKind {
    /// The status it gives; `None` where it changes none.
    pub fn status(self) -> Option<Status> {
        match self {
            RulingKind::Cleared => Some(Status::Cleared),
            RulingKind::Confirmed => Some(Status::Confirmed),
            RulingKind::Reopened => Some(Status::Open),
            RulingKind::ProofRequested => Some(Status::ProofRequested),
            RulingKind::Snooze | RulingKind::Erased => None,
        }
    }
}

/// Status and revision of a case after these rulings of the log, in its order. The log is right: what came there counts, whether or not
/// the table above would have offered it.
pub fn projected(rulings: impl IntoIterator<Item = RulingKind>) -> (Status, u32) {
    rulings.into_iter().filter_map(RulingKind::status).fold((Status::Open, 1), |(status, revision), next| {
        if next == status { (status, revision) } else { (next, revision + 1) }
    })
}

#[cfg(test)]
mod tests {
    use super::RulingKind::{Cleared, Confirmed, Erased, ProofRequested, Reopened, Snooze};
    use super::*;

    #[test]
    fn what_may_follow_what() {
        for (from, kind, expected) in [
            (Status::Open, Cleared, Some(Status::Cleared)),
            (Status::Open, Confirmed, Some(Status::Confirmed)),
            (Status::Open, ProofRequested, Some(Status::ProofRequested)),
            (Status::Open, Reopened, None),
            (Status::ProofRequested, Reopened, Some(Status::Open)),
            (Status::ProofRequested, Cleared, Some(Status::Cleared)),
            (Status::ProofRequested, Confirmed, Some(Status::Confirmed)),
            (Status::ProofRequested, ProofRequested, None),
            (Status::Cleared, Reopened, Some(Status::Open)),
            (Status::Cleared, Confirmed, None),
            (Status::Cleared, ProofRequested, None),
            (Status::Cleared, Cleared, None),
            (Status::Confirmed, Reopened, Some(Status::Open)),
            (Status::Confirmed, Cleared, None),
            (Status::Confirmed, Snooze, Some(Status::Confirmed)),
            (Status::Cleared, Erased, Some(Status::Cleared)),
        ] {
            assert_eq!(from.after(kind).ok(), expected, "{from} {kind:?}");
        }
    }

    #[test]
    fn the_log_gives_status_and_revision() {
        for (rulings, expected) in [
            (&[][..], (Status::Open, 1)),
            (&[Snooze], (Status::Open, 1)),
            (&[Cleared], (Status::Cleared, 2)),
            (&[Cleared, Cleared], (Status::Cleared, 2)),
            (&[ProofRequested, Erased, Confirmed, Reopened], (Status::Open, 4)),
            (&[Cleared, Confirmed], (Status::Confirmed, 3)),
        ] {
            assert_eq!(projected(rulings.iter().copied()), expected, "{rulings:?}");
        }
    }

    #[test]
    fn names_are_read_back() {
        assert!(Status::ALL.iter().all(|status| Status::parse(status.name()) == Some(*status)));
        assert!(RulingKind::ALL.iter().all(|kind| RulingKind::parse(kind.name()) == Some(*kind)));
    }
}
