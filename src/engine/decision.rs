//! What the engine says about one quote. The wire form is in `contract::decision`.

use super::field::{Field, Level};
use super::quote::Position;
use super::time::EventTime;

/// The three answers, ordered from mild to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Verdict {
    #[default]
    Accept = 0,
    /// Accepted, worth a look.
    Flag = 1,
    /// No price: contact the underwriter.
    Refer = 2,
}

impl Verdict {
    pub const ALL: [Verdict; 3] = [Verdict::Accept, Verdict::Flag, Verdict::Refer];

    pub fn name(self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Flag => "flag",
            Verdict::Refer => "refer",
        }
    }

    pub fn parse(name: &str) -> Option<Verdict> {
        Self::ALL.into_iter().find(|v| v.name() == name)
    }
}

/// The closed list of a decision's flags; the discriminant is the bit in [`Flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Flag {
    /// Attempts of the tenant later in event time had already arrived.
    Late = 0,
    /// The submitted time could not be true and was clamped.
    TimeSuspect = 1,
    /// A blocking key held more attempts than are compared.
    Saturated = 2,
    /// A bound cut the evidence: linked attempts, comparisons, look-back or re-decisions.
    Truncated = 3,
    /// A field equals an earlier one only after a look-alike fold.
    Disguised = 4,
    /// One word mixes scripts.
    MixedScript = 5,
}

impl Flag {
    pub const ALL: [Flag; 6] =
        [Flag::Late, Flag::TimeSuspect, Flag::Saturated, Flag::Truncated, Flag::Disguised, Flag::MixedScript];

    pub fn name(self) -> &'static str {
        match self {
            Flag::Late => "late",
            Flag::TimeSuspect => "time_suspect",
            Flag::Saturated => "saturated",
            Flag::Truncated => "truncated",
            Flag::Disguised => "disguised",
            Flag::MixedScript => "mixed_script",
        }
    }
}

/// A set of [`Flag`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    pub fn set(&mut self, flag: Flag) {
        self.0 |= 1 << flag as u8;
    }

    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }

    /// What is said of how the quote arrived: it stays through amendments.
    pub fn of_arrival(self) -> Flags {
        Flags(self.0 & (1 << Flag::Late as u8 | 1 << Flag::TimeSuspect as u8))
    }

    /// In the order of the contract.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}

/// H(log id, partition, offset) of the quote, so that any replay of the log gives it again. 128 bits, hex on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionId(pub u128);

impl DecisionId {
    /// The case that a decision opens.
    pub fn referral(self) -> ReferralId {
        ReferralId((self.0 >> 64) as u64)
    }
}

impl std::fmt::Display for DecisionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The case a referred quote belongs to: the upper 64 bits of the decision id that opened it. `R-` + hex on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReferralId(pub u64);

impl std::fmt::Display for ReferralId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "R-{:016x}", self.0)
    }
}

/// The book a decision was made under: the number of the control record that brought it, and a hash of its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleBookRef {
    pub version: u32,
    pub hash: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub decision_id: DecisionId,
    pub quote_id: Box<str>,
    pub tenant: Box<str>,
    /// 1 for the first decision, more for amendments.
    pub revision: u32,
    pub verdict: Verdict,
    /// What the submitter is told; fixed at revision 1 and never milder than revision 1's verdict.
    pub answer: Verdict,
    pub referral_id: Option<ReferralId>,
    /// The live rules that matched, strictest first.
    pub reasons: Vec<Reason>,
    /// Linked attempts in the window plus this one.
    pub attempts: u32,
    /// Variants in the window less one.
    pub suspicious_attempts: u32,
    pub suspicion: f64,
    /// Name and value, sorted by name, zeros left out.
    pub features: Vec<(String, f64)>,
    /// Newest first, at most `limits::LINKED_SHOWN_MAX`.
    pub linked: Vec<Linked>,
    pub linked_total: u32,
    pub rule_book: RuleBookRef,
    pub event_time: EventTime,
    pub position: Position,
    pub cause: Option<Cause>,
    pub flags: Flags,
    /// Ids of the shadow rules that matched. They tell what would have been; nothing follows from them.
    pub shadow: Vec<Box<str>>,
}

impl Decision {
    /// Whether it is the first referral of its applicant: the case has its id.
    pub fn opens_case(&self) -> bool {
        self.verdict == Verdict::Refer && self.referral_id == Some(self.decision_id.referral())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub code: Box<str>,
    pub rule: Box<str>,
    /// For the underwriter; holds counts, never personal data.
    pub text: Box<str>,
}

/// An earlier attempt judged to be the same applicant.
#[derive(Clone, Debug, PartialEq)]
pub struct Linked {
    pub quote_id: Box<str>,
    pub submitted_at: EventTime,
    /// Match weight in bits, log2 of the likelihood ratio.
    pub weight: f64,
    /// Fields that are not the same on both sides, in the order of [`Field`].
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub field: Field,
    pub level: Level,
}

/// The later-arrived quote that brought an amendment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub quote_id: Box<str>,
    pub position: Position,
}
