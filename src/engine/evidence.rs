//! What the rules may read: plain numbers, gathered once for each window length that the rule book uses.

use super::field::Field;
use super::limits::WINDOW_SECS_MAX;
use super::quote::ChannelKind;

/// Everything known about one quote when the rules look at it.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Parallel to `RuleBook::windows()`.
    pub windows: Vec<WindowEvidence>,
    pub channel: ChannelKind,
    pub agent_id: Box<str>,
    pub product: Box<str>,
    pub tenant: Box<str>,
    /// 0 when not given.
    pub premium: f64,
}

/// Evidence from the linked attempts whose event time lies in (quote - window, quote], and from the quote itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowEvidence {
    /// Linked attempts and this one.
    pub attempts: u32,
    /// Versions told apart, those that were cleared as one included, over all attempts or over those from this source, whichever are
    /// more.
    pub variants: u32,
    /// Variants less one; those that were cleared together are one.
    pub suspicious_attempts: u32,
    /// Weighted kind, favour, speed and direction of the changes; 1 is one plain deliberate tweak.
    pub suspicion: f64,
    /// Distinct values of each field among the variants.
    pub distinct: [u16; Field::COUNT],
    /// Bit per [`Field`] that was near, different or disguised in some step from one variant to the next.
    pub changed: u32,
    /// How far the premium fell from the dearest to the cheapest of the attempts that follow it, in per cent.
    pub premium_drop_pct: f64,
    /// Times a fact went back to a value it had had and left.
    pub oscillations: u32,
    /// Variants opened by a disguise alone.
    pub disguises: u32,
    /// Seconds from the first linked attempt to this one.
    pub seconds_since_first: f64,
    /// The quote joined a variant opened before it.
    pub known_form: bool,
    /// Others played with the data, and the quote looks like their owner's own: `owner::rightful`.
    pub rightful_owner: bool,
    /// The quote shares no device, session, agent or IP with any linked attempt, and gives at least one of them.
    pub fresh_source: bool,
    /// Distinct technical sources among the linked attempts: a shared device, session, agent or IP makes one.
    pub sources: u32,
    /// Linked attempts that share a technical source with this quote.
    pub same_source_attempts: u32,
    /// Variants less one, counted only over the attempts that share a technical source with this quote.
    pub same_source_suspicious: u32,
    /// Distinct applicants that used this quote's device, session, phone or e-mail, the largest of them.
    pub source_applicants: u32,
    /// Distinct surnames at this quote's exact address.
    pub address_applicants: u32,
}

/// The type of a feature's value in a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Double,
    Bool,
    Text,
}

/// How a rule names a feature and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// `channel`
    None,
    /// `suspicious_attempts(window)`
    Window,
    /// `distinct("vehicle.vin", window)`, `changed("vehicle.vin", window)`
    FieldAndWindow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    Attempts,
    SuspiciousAttempts,
    Suspicion,
    Distinct,
    Changed,
    ChangedFacts,
    PremiumDropPct,
    Oscillations,
    Disguises,
    SecondsSinceFirst,
    KnownForm,
    RightfulOwner,
    FreshSource,
    Sources,
    SameSourceAttempts,
    SameSourceSuspicious,
    SourceApplicants,
    AddressApplicants,
    Premium,
    Channel,
    AgentId,
    Product,
    Tenant,
    // Of decisions that were made: a rule cannot name these.
    Decision,
    Answer,
    Rules,
    ReferralId,
    QuoteId,
    Source,
    Revision,
}

/// One row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct FeatureSpec {
    pub feature: Feature,
    pub name: &'static str,
    pub arguments: Arguments,
    pub kind: Kind,
    /// Least and greatest value, bools as 0 and 1; of no meaning for texts.
    pub range: (f64, f64),
    pub unit: &'static str,
    pub doc: &'static str,
}

macro_rules! catalogue {
    ($(#[$about:meta])* $catalogue:ident;
     $($feature:ident $name:literal $arguments:ident $kind:ident $range:expr, $unit:literal $doc:literal;)*) => {
        $(#[$about])*
        pub const $catalogue: &[FeatureSpec] = &[$(FeatureSpec {
            feature: Feature::$feature, name: $name, arguments: Arguments::$arguments, kind: Kind::$kind,
            range: $range, unit: $unit, doc: $doc,
        }),*];
    };
}

impl FeatureSpec {
    /// The row of a feature.
    pub fn of(feature: Feature) -> &'static FeatureSpec {
        // The rows are in the order of the features; a test holds them there.
        let place = feature as usize;
        CATALOGUE.get(place).unwrap_or_else(|| &DECIDED[place - CATALOGUE.len()])
    }
}

/// Any count.
const COUNT: (f64, f64) = (0.0, u32::MAX as f64);
/// A count of which the quote itself is one.
const WITH_ITSELF: (f64, f64) = (1.0, u32::MAX as f64);
const AMOUNT: (f64, f64) = (0.0, f64::MAX);
const YES_OR_NO: (f64, f64) = (0.0, 1.0);
const SECONDS: (f64, f64) = (0.0, WINDOW_SECS_MAX as f64);
const TEXT: (f64, f64) = (0.0, 0.0);

catalogue! {
    /// Every feature a rule may name, in the order of the documentation.
    CATALOGUE;
    Attempts "attempts" Window Int WITH_ITSELF, "quotes" "Quotes of this applicant in the window, this one included.";
    SuspiciousAttempts "suspicious_attempts" Window Int COUNT, "variants" "Contradicting versions of the facts in the window, less one.";
    Suspicion "suspicion" Window Double AMOUNT, "tweaks" "Weight of the changes: what changed, in whose favour, how fast, how often. 1 is one plain deliberate tweak.";
    Distinct "distinct" FieldAndWindow Int (0.0, u16::MAX as f64), "values" "Distinct values of the field among the versions in the window.";
    Changed "changed" FieldAndWindow Bool YES_OR_NO, "" "The field changed between versions in the window.";
    ChangedFacts "changed_facts" Window Int (0.0, FACTS.count_ones() as f64), "fields" "Fact fields that changed in the window.";
    PremiumDropPct "premium_drop_pct" Window Double (0.0, 100.0), "%" "How far the premium fell, from the dearest attempt to the cheapest after it.";
    Oscillations "oscillations" Window Int COUNT, "returns" "Times a fact returned to a value it had left.";
    Disguises "disguises" Window Int COUNT, "variants" "Versions that differ only by look-alike or invisible characters.";
    SecondsSinceFirst "seconds_since_first" Window Double SECONDS, "s" "Time from the first linked attempt in the window to this one.";
    KnownForm "known_form" Window Bool YES_OR_NO, "" "The quote agrees with a version seen before.";
    RightfulOwner "rightful_owner" Window Bool YES_OR_NO, "" "Somebody else played with these data, and this quote looks like their owner's own form.";
    FreshSource "fresh_source" Window Bool YES_OR_NO, "" "The quote comes from a device, session or agent that no linked attempt used.";
    Sources "sources" Window Int COUNT, "sources" "Distinct technical sources among the linked attempts.";
    SameSourceAttempts "same_source_attempts" Window Int COUNT, "quotes" "Linked attempts from this quote's device, session or agent.";
    SameSourceSuspicious "same_source_suspicious" Window Int COUNT, "variants" "Versions less one, over the linked attempts from this quote's source.";
    SourceApplicants "source_applicants" Window Int WITH_ITSELF, "applicants" "Distinct applicants seen on this quote's device, session, phone or e-mail.";
    AddressApplicants "address_applicants" Window Int WITH_ITSELF, "surnames" "Distinct surnames at this quote's exact address.";
    Premium "premium" None Double AMOUNT, "currency" "The premium shown for this form; 0 when not given.";
    Channel "channel" None Text TEXT, "" "web, app, agent, phone or api.";
    AgentId "agent_id" None Text TEXT, "" "The agent, empty when not given.";
    Product "product" None Text TEXT, "" "The product asked for.";
    Tenant "tenant" None Text TEXT, "" "The tenant the quote belongs to.";
}

catalogue! {
    /// What is kept of a decision and may be asked for when decisions are searched. The window of its numbers is that of the rule which
    /// decided.
    DECIDED;
    Decision "decision" None Text TEXT, "" "accept, flag or refer.";
    Answer "answer" None Text TEXT, "" "What the submitter was told: accept, flag or refer.";
    Rules "rules" None Text TEXT, "" "The rules that matched, a space before and after each; empty for none.";
    ReferralId "referral_id" None Text TEXT, "" "The case; empty for none.";
    QuoteId "quote_id" None Text TEXT, "" "The quote as its sender calls it.";
    Source "source" None Text TEXT, "" "How the quote came: http, file, kafka or postgres; empty where its form is not kept.";
    Revision "revision" None Int WITH_ITSELF, "" "More than 1: a later quote has amended the decision.";
    Attempts "attempts" None Int WITH_ITSELF, "quotes" "Quotes of this applicant, this one included.";
    SuspiciousAttempts "suspicious_attempts" None Int COUNT, "variants" "Contradicting versions of the facts, less one.";
    Suspicion "suspicion" None Double AMOUNT, "tweaks" "Weight of the changes. 1 is one plain deliberate tweak.";
    Premium "premium" None Double AMOUNT, "currency" "The premium shown for the form; 0 when not given.";
    Channel "channel" None Text TEXT, "" "web, app, agent, phone or api.";
    Product "product" None Text TEXT, "" "The product asked for.";
    Tenant "tenant" None Text TEXT, "" "The tenant the quote belongs to.";
}

/// What conditions are asked about.
pub trait Facts {
    /// A numeric or boolean feature, booleans as 0 and 1; 0 for texts.
    fn number(&self, feature: Feature, field: Option<Field>, window: usize) -> f64;
    /// A text feature; empty for numbers.
    fn text(&self, feature: Feature) -> &str;
}

impl Facts for Evidence {
    fn number(&self, feature: Feature, field: Option<Field>, window: usize) -> f64 {
        Evidence::number(self, feature, field, window)
    }

    fn text(&self, feature: Feature) -> &str {
        Evidence::text(self, feature)
    }
}

impl Evidence {
    /// A numeric or boolean feature (booleans as 0 and 1) in window number `window` of the book; 0 for texts.
    pub fn number(&self, feature: Feature, field: Option<Field>, window: usize) -> f64 {
        if feature == Feature::Premium {
            return self.premium;
        }
        self.windows.get(window).map_or(0.0, |w| w.number(feature, field))
    }

    /// A text feature; empty for numbers.
    pub fn text(&self, feature: Feature) -> &str {
        match feature {
            Feature::Channel => self.channel.name(),
            Feature::AgentId => &self.agent_id,
            Feature::Product => &self.product,
            Feature::Tenant => &self.tenant,
            _ => "",
        }
    }
}

/// The bits of [`WindowEvidence::changed`] that are facts.
const FACTS: u32 = {
    let mut bits = 0;
    let mut i = 0;
    while i < Field::COUNT {
        if Field::ALL[i].is_fact() {
            bits |= 1 << Field::ALL[i] as u8;
        }
        i += 1;
    }
    bits
};

impl WindowEvidence {
    fn number(&self, feature: Feature, field: Option<Field>) -> f64 {
        let bit = field.map_or(0, |f| 1u32 << f as u8);
        match feature {
            Feature::Attempts => f64::from(self.attempts),
            Feature::SuspiciousAttempts => f64::from(self.suspicious_attempts),
            Feature::Suspicion => self.suspicion,
            Feature::Distinct => field.map_or(0.0, |f| f64::from(self.distinct[f as usize])),
            Feature::Changed => f64::from(u8::from(self.changed & bit != 0)),
            Feature::ChangedFacts => f64::from((self.changed & FACTS).count_ones()),
            Feature::PremiumDropPct => self.premium_drop_pct,
            Feature::Oscillations => f64::from(self.oscillations),
            Feature::Disguises => f64::from(self.disguises),
            Feature::SecondsSinceFirst => self.seconds_since_first,
            Feature::KnownForm => f64::from(u8::from(self.known_form)),
            Feature::RightfulOwner => f64::from(u8::from(self.rightful_owner)),
            Feature::FreshSource => f64::from(u8::from(self.fresh_source)),
            Feature::Sources => f64::from(self.sources),
            Feature::SameSourceAttempts => f64::from(self.same_source_attempts),
            Feature::SameSourceSuspicious => f64::from(self.same_source_suspicious),
            Feature::SourceApplicants => f64::from(self.source_applicants),
            Feature::AddressApplicants => f64::from(self.address_applicants),
            // Of the quote or the decision, whatever the window.
            _ => 0.0,
        }
    }

    /// The fact fields that changed, in the order of [`Field`].
    pub fn changed_facts(&self) -> impl Iterator<Item = Field> {
        let changed = self.changed & FACTS;
        Field::ALL.into_iter().filter(move |f| changed & (1 << *f as u8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_found_by_its_place() {
        for spec in CATALOGUE.iter().chain(DECIDED) {
            assert_eq!(FeatureSpec::of(spec.feature).name, spec.name);
        }
    }
}
