//! What the applicant's side is told: the decision and whom to turn to; never counts, thresholds or other people's data.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decision::VerdictV1;
use crate::engine::decision::{DecisionId, ReferralId, Verdict};
use crate::engine::rules::source::ApplicantText;

/// The answer of `POST /v1/quotes/check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckAnswer {
    pub quote_id: String,
    /// Null in a degraded answer.
    pub decision_id: Option<String>,
    pub decision: VerdictV1,
    /// For the applicant, in the language of `Accept-Language` (ru, en).
    pub message: String,
    /// To be quoted to the underwriter.
    pub referral_id: Option<String>,
    /// True when the service could not decide and answered by its setting.
    pub degraded: bool,
}

impl CheckAnswer {
    /// The answer to a decided quote. `verdict` is the stricter of the record's answer and current decision; `text` that of the rule
    /// that led to it, where it has one.
    pub fn decided(
        quote_id: &str,
        decision_id: DecisionId,
        verdict: Verdict,
        referral_id: Option<ReferralId>,
        text: Option<&ApplicantText>,
        language: Language,
    ) -> CheckAnswer {
        let own = text.map(|text| match language {
            Language::Ru => &*text.ru,
            Language::En => &*text.en,
        });
        CheckAnswer {
            quote_id: quote_id.to_owned(),
            decision_id: Some(decision_id.to_string()),
            decision: verdict.into(),
            message: own.unwrap_or_else(|| message(verdict, language)).to_owned(),
            // A case may stay open beside a quote that is no longer referred: the applicant has no need of it.
            referral_id: referral_id.filter(|_| verdict == Verdict::Refer).map(|id| id.to_string()),
            degraded: false,
        }
    }

    /// The answer when the service cannot decide: `fallback` is what the operator set for that.
    pub fn degraded(quote_id: &str, fallback: Verdict, language: Language) -> CheckAnswer {
        CheckAnswer {
            quote_id: quote_id.to_owned(),
            decision_id: None,
            decision: fallback.into(),
            message: message(fallback, language).to_owned(),
            referral_id: None,
            degraded: true,
        }
    }
}

impl From<Verdict> for VerdictV1 {
    fn from(verdict: Verdict) -> VerdictV1 {
        match verdict {
            Verdict::Accept => VerdictV1::Accept,
            Verdict::Flag => VerdictV1::Flag,
            Verdict::Refer => VerdictV1::Refer,
        }
    }
}

/// A flagged applicant reads what an accepted one reads.
fn message(verdict: Verdict, language: Language) -> &'static str {
    match (verdict, language) {
        (Verdict::Accept | Verdict::Flag, Language::En) => "Your request has been accepted.",
        (Verdict::Accept | Verdict::Flag, Language::Ru) => "Заявка принята.",
        (Verdict::Refer, Language::En) => "Please contact the underwriter to continue.",
        (Verdict::Refer, Language::Ru) => "Чтобы продолжить, обратитесь к андеррайтеру.",
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    En,
    Ru,
}

impl Language {
    /// The tag for `Content-Language`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Ru => "ru",
        }
    }

    /// The language that the header `Accept-Language` wants most; English when it wants neither or cannot be read.
    pub fn negotiate(accept_language: Option<&str>) -> Language {
        let mut best = (Language::En, 0.0);
        for range in accept_language.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let language = match parts.next().unwrap_or_default().split('-').next() {
                Some(tag) if tag.eq_ignore_ascii_case("ru") => Language::Ru,
                Some(tag) if tag.eq_ignore_ascii_case("en") || tag == "*" => Language::En,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let quality: f32 = quality.map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
            if quality > best.1 && quality <= 1.0 {
                best = (language, quality);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_wanted_most_is_spoken() {
        for (header, expected) in [
            (None, "en"),
            (Some(""), "en"),
            (Some("ru"), "ru"),
            (Some("RU-ru"), "ru"),
            (Some("ru-RU,ru;q=0.9,en-US;q=0.8,en;q=0.7"), "ru"),
            (Some("en;q=0.7, ru;q=0.8"), "ru"),
            (Some("en, ru"), "en"),
            (Some("ru, en"), "ru"),
            (Some("de, fr;q=0.9"), "en"),
            (Some("de, ru;q=0.1"), "ru"),
            (Some("ru;q=0, en;q=0.1"), "en"),
            (Some("ru;q=0"), "en"),
            (Some("*;q=0.5, ru;q=0.4"), "en"),
            (Some("ru;q=NaN"), "en"),
            (Some("ru;q=9"), "en"),
            (Some("rus"), "en"),
            (Some(";;,,=;q"), "en"),
        ] {
            assert_eq!(Language::negotiate(header).tag(), expected, "{header:?}");
        }
    }

    #[test]
    fn the_applicant_learns_the_decision_and_no_more() {
        let id = DecisionId(1);
        let case = Some(ReferralId(2));
        for (verdict, language, expected) in [
            (Verdict::Accept, Language::En, (VerdictV1::Accept, "Your request has been accepted.", None)),
            (Verdict::Flag, Language::En, (VerdictV1::Flag, "Your request has been accepted.", None)),
            (Verdict::Flag, Language::Ru, (VerdictV1::Flag, "Заявка принята.", None)),
            (
                Verdict::Refer,
                Language::En,
                (VerdictV1::Refer, "Please contact the underwriter to continue.", Some("R-0000000000000002")),
            ),
            (
                Verdict::Refer,
                Language::Ru,
                (VerdictV1::Refer, "Чтобы продолжить, обратитесь к андеррайтеру.", Some("R-0000000000000002")),
            ),
        ] {
            let answer = CheckAnswer::decided("q", id, verdict, case, None, language);
            assert_eq!((answer.decision, answer.message.as_str(), answer.referral_id.as_deref()), expected);
        }
        let text = ApplicantText { ru: "Позвоните.".into(), en: "Call us.".into() };
        for (language, expected) in [(Language::En, "Call us."), (Language::Ru, "Позвоните.")] {
            assert_eq!(CheckAnswer::decided("q", id, Verdict::Refer, case, Some(&text), language).message, expected);
        }
    }

    #[test]
    fn a_degraded_answer_is_no_decision() {
        let answer = CheckAnswer::degraded("q-1", Verdict::Accept, Language::En);
        let expected = concat!(
            r#"{"quote_id":"q-1","decision_id":null,"decision":"accept","message":"Your request has been accepted.","#,
            r#""referral_id":null,"degraded":true}"#
        );
        assert_eq!(serde_json::to_string(&answer).expect("serialises"), expected);
    }
}
