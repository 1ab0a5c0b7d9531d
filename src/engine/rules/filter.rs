//! A question about decisions that were made, in the language of the rules' conditions.

use std::collections::BTreeMap;

use super::check::{self, Context};
use super::condition::Bool;
use super::source::{Problem, RuleSource};
use crate::engine::decision::Verdict;
use crate::engine::evidence::{DECIDED, Facts, Feature};
use crate::engine::field::Field;

/// Compiled; it names the features of [`DECIDED`].
#[derive(Clone, Debug)]
pub struct Filter(Bool);

impl Filter {
    /// # Errors
    /// Every problem, with its place in the text.
    pub fn compile(text: &str) -> Result<Filter, Vec<Problem>> {
        let parsed = check::parse(text)?;
        let (source, lists) = (RuleSource::default(), BTreeMap::new());
        let context =
            Context { source: &source, lists: &lists, window_secs_max: None, features: DECIDED, reference: "docs/console.md" };
        check::check(&parsed, &context, &mut |_| 0).map(|checked| Filter(checked.condition))
    }

    /// A decision for which the condition has no value is not among those asked for.
    pub fn holds(&self, made: &Made<'_>) -> bool {
        self.0.eval(made).unwrap_or(false)
    }
}

/// What is kept of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    pub decision: Verdict,
    pub answer: Verdict,
    /// Their ids, a space before and after each.
    pub rules: &'a str,
    pub referral_id: &'a str,
    pub quote_id: &'a str,
    pub source: &'a str,
    pub channel: &'a str,
    pub product: &'a str,
    pub tenant: &'a str,
    pub revision: u32,
    pub attempts: u32,
    pub suspicious_attempts: u32,
    pub suspicion: f64,
    pub premium: f64,
}

impl Facts for Made<'_> {
    fn number(&self, feature: Feature, _: Option<Field>, _: usize) -> f64 {
        match feature {
            Feature::Revision => f64::from(self.revision),
            Feature::Attempts => f64::from(self.attempts),
            Feature::SuspiciousAttempts => f64::from(self.suspicious_attempts),
            Feature::Suspicion => self.suspicion,
            Feature::Premium => self.premium,
            _ => 0.0,
        }
    }

    fn text(&self, feature: Feature) -> &str {
        match feature {
            Feature::Decision => self.decision.name(),
            Feature::Answer => self.answer.name(),
            Feature::Rules => self.rules,
            Feature::ReferralId => self.referral_id,
            Feature::QuoteId => self.quote_id,
            Feature::Source => self.source,
            Feature::Channel => self.channel,
            Feature::Product => self.product,
            Feature::Tenant => self.tenant,
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::evidence::Kind;
    use crate::engine::rules::source::Part;

    const MADE: Made<'_> = Made {
        decision: Verdict::Refer,
        answer: Verdict::Flag,
        rules: " picking-24h picking-slow ",
        referral_id: "R-1",
        quote_id: "q-7",
        source: "http",
        channel: "web",
        product: "osago",
        tenant: "default",
        revision: 2,
        attempts: 5,
        suspicious_attempts: 3,
        suspicion: 4.2,
        premium: 18_400.0,
    };

    #[test]
    fn decisions_are_asked_about_like_quotes() {
        for (text, expected) in [
            ("decision == \"refer\"", true),
            ("answer == \"refer\"", false),
            ("rules.contains(\" picking-24h \") && premium > 15000.0", true),
            ("rules.contains(\" picking \")", false),
            ("decision in [\"flag\", \"refer\"] && !(channel == \"agent\")", true),
            ("attempts - suspicious_attempts == 2 && suspicion >= 4.2", true),
            ("revision > 1 && referral_id != \"\" && source == \"http\"", true),
            ("quote_id.startsWith(\"q-\") && product == \"osago\" && tenant == \"default\"", true),
            ("attempts / (revision - 2) > 1", false),
            ("true", true),
        ] {
            let filter = Filter::compile(text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            assert_eq!(filter.holds(&MADE), expected, "{text}");
        }
    }

    #[test]
    fn every_feature_is_read_from_the_decision() {
        for spec in DECIDED {
            match spec.kind {
                Kind::Text => assert!(!MADE.text(spec.feature).is_empty(), "{}", spec.name),
                _ => assert!(MADE.number(spec.feature, None, 0) > 0.0, "{}", spec.name),
            }
        }
    }

    #[test]
    fn what_is_wrong_has_a_place_and_a_hint() {
        for (text, start, message, help) in [
            ("premum > 1.0", 0, "unknown name `premum`", "premium"),
            ("true && channel == \"wep\"", 16, "there is no channel `wep`", "web"),
            ("decision == \"refe\"", 9, "there is no decision `refe`", "refer"),
            ("attempts(duration(\"24h\")) > 1", 0, "takes no arguments", "attempts"),
            ("changed_facts(duration(\"24h\")) > 1", 0, "unknown feature", "docs/console.md"),
            ("tenant in list(\"brokers\")", 15, "the book has no list", ""),
            ("attempts", 0, "not a bool", "compare"),
        ] {
            let problems = Filter::compile(text).expect_err(text);
            assert!(matches!(problems[0].part, Part::When { start: at, .. } if at == start), "{text}: {problems:?}");
            assert!(problems[0].message.contains(message), "{text}: {problems:?}");
            assert!(problems[0].help.as_deref().unwrap_or_default().contains(help), "{text}: {problems:?}");
        }
        assert!(Filter::compile("").is_err() && Filter::compile("a &&").is_err());
    }
}
