//! "Did you mean": the nearest known name to a misspelt one.

use rapidfuzz::distance::osa;

/// The candidate at the smallest edit distance, if it is near enough to be a likely slip: a third of the length, at least 1.
/// Ties go to the earlier candidate.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (osa::distance(word.chars(), candidate.chars()), candidate))
        .filter(|(distance, candidate)| {
            let letters = word.chars().count().max(candidate.chars().count());
            *distance <= (letters / 3).max(1) && *distance < letters
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean "x"?`, when something is near enough.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn suggests_slips_and_nothing_far() {
        let known = ["attempts", "suspicious_attempts", "suspicion", "channel"];
        for (word, expected) in [
            ("suspicius_attempts", Some("suspicious_attempts")),
            ("atempts", Some("attempts")),
            ("suspicoin", Some("suspicion")),
            ("chanell", Some("channel")),
            ("weather", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
