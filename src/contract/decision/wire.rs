//! The engine's types borrowed and written in the contract's order: no copy is made on the way out.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::ENGINE_VERSION;
use super::number::Rounded;
use crate::contract::instant::Utc;
use crate::engine::decision::{Cause, Change, Decision, Flag, Flags, Linked, Reason, RuleBookRef};
use crate::engine::quote::Position;

/// Shows a value through its `Display`.
struct Shown<T>(T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An array of borrowed things, each in its wire form.
struct Each<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

struct Features<'a>(&'a [(String, f64)]);

impl Serialize for Features<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, Rounded::<2>(*value))))
    }
}

struct FlagNames(Flags);

impl Serialize for FlagNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Flag::name))
    }
}

/// Writes a wire form: keys in the contract's order, each with its value; those behind `?` only with one.
macro_rules! wire {
    ($wire:ident($type:ty), $this:ident => { $($key:literal: $value:expr,)* $(?$optional:literal: $given:expr,)* }) => {
        pub(super) struct $wire<'a>(pub &'a $type);

        impl Serialize for $wire<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $this = self.0;
                let mut object = serializer.serialize_struct(stringify!($wire), [$($key),*].len())?;
                $(object.serialize_field($key, &$value)?;)*
                $(if let Some(value) = $given {
                    object.serialize_field($optional, &value)?;
                })*
                object.end()
            }
        }
    };
}

wire!(DecisionWire(Decision), d => {
    "decision_id": Shown(d.decision_id),
    "quote_id": d.quote_id,
    "revision": d.revision,
    "decision": d.verdict.name(),
    "answer": d.answer.name(),
    "referral_id": d.referral_id.map(Shown),
    "tenant": d.tenant,
    "reasons": Each(d.reasons.iter().map(ReasonWire)),
    "attempts": d.attempts,
    "suspicious_attempts": d.suspicious_attempts,
    "suspicion": Rounded::<2>(d.suspicion),
    "features": Features(&d.features),
    "linked": Each(d.linked.iter().map(LinkedWire)),
    "linked_total": d.linked_total,
    "rule_book": RuleBookWire(&d.rule_book),
    "engine": ENGINE_VERSION,
    "event_time": Utc(d.event_time),
    "position": PositionWire(&d.position),
    "cause": d.cause.as_ref().map(CauseWire),
    "flags": FlagNames(d.flags),
    // As before there was any, so that what was emitted then is emitted again.
    ?"shadow": Some(&d.shadow).filter(|shadow| !shadow.is_empty()),
});

wire!(ReasonWire(Reason), r => {
    "code": r.code,
    "rule": r.rule,
    "text": r.text,
});

wire!(LinkedWire(Linked), l => {
    "quote_id": l.quote_id,
    "submitted_at": Utc(l.submitted_at),
    "weight": Rounded::<1>(l.weight),
    "changes": Each(l.changes.iter().map(ChangeWire)),
});

wire!(ChangeWire(Change), c => {
    "field": c.field.name(),
    "level": c.level.name(),
    "is": if c.field.is_fact() { "fact" } else { "choice" },
});

wire!(RuleBookWire(RuleBookRef), b => {
    "version": b.version,
    "hash": Shown(format_args!("{:016x}", b.hash)),
});

wire!(PositionWire(Position), p => {
    "partition": p.partition,
    "offset": p.offset,
});

wire!(CauseWire(Cause), c => {
    "quote_id": c.quote_id,
    "position": PositionWire(&c.position),
});
