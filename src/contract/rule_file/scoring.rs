//! `book.yaml`: how the live matches of a book become a verdict.

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use super::error::RuleError;
use crate::engine::limits;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::rules::{Bands, Scoring};

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoringFile {
    scoring: Spanned<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bands: Option<Spanned<BandsFile>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct BandsFile {
    flag: f64,
    refer: f64,
}

const FIRST_MATCH: &str = "first-match";
const SUM: &str = "sum";

impl ScoringFile {
    pub(super) fn to_scoring(&self, file: &str, text: &str) -> Result<Scoring, RuleError> {
        let start = |place: Location| place.span().byte_offset().map_or(0, |offset| offset as usize);
        let error = |place: Location, message: &str| RuleError::at(file, text, start(place), 1, message);
        match (self.scoring.value.as_str(), &self.bands) {
            (FIRST_MATCH, None) => Ok(Scoring::FirstMatch),
            (FIRST_MATCH, Some(bands)) => Err(error(bands.referenced, "bands need `scoring: sum`")),
            (SUM, None) => {
                let help = "write `bands: {flag: 2.0, refer: 4.0}`";
                Err(error(self.scoring.referenced, "a book that sums scores has bands").help(help))
            }
            (SUM, Some(Spanned { value: BandsFile { flag, refer }, referenced, .. })) => {
                if *flag > 0.0 && flag <= refer && *refer <= limits::SCORE_MAX {
                    return Ok(Scoring::Sum(Bands { flag: *flag, refer: *refer }));
                }
                Err(error(*referenced, "bands are numbers above 0 and at most 1000, and `refer` is not below `flag`"))
            }
            (other, _) => {
                let help = did_you_mean(other, [FIRST_MATCH, SUM]).unwrap_or_else(|| format!("write {FIRST_MATCH} or {SUM}"));
                Err(error(self.scoring.referenced, &format!("`{other}` is not a scoring")).help(help))
            }
        }
    }

    /// `None` for what a stored book without it means.
    pub(super) fn of(scoring: Scoring) -> Option<ScoringFile> {
        let unplaced = Location::UNKNOWN;
        match scoring {
            Scoring::FirstMatch => None,
            Scoring::Sum(Bands { flag, refer }) => Some(ScoringFile {
                scoring: Spanned::new(SUM.into(), unplaced, unplaced),
                bands: Some(Spanned::new(BandsFile { flag, refer }, unplaced, unplaced)),
            }),
        }
    }
}
