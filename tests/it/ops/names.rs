//! Names of metrics in PromQL and in text, held against those that are registered.

use std::collections::{BTreeMap, BTreeSet};

use quoteguard::metrics::{Kind, Metrics};

/// Of every series: Prometheus puts them there.
const OF_TARGETS: [&str; 2] = ["job", "instance"];

/// A name in PromQL, and the labels that are asked for in the braces behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub labels: Vec<String>,
}

pub struct Names {
    /// With the labels of each.
    samples: BTreeMap<String, BTreeSet<String>>,
    recorded: BTreeSet<String>,
}

impl Names {
    pub fn of(metrics: &Metrics, recorded: &BTreeSet<String>) -> Names {
        let mut samples = BTreeMap::new();
        for metric in metrics.known() {
            let labels: BTreeSet<String> = metric.labels.into_iter().chain(OF_TARGETS.map(str::to_owned)).collect();
            if metric.kind == Kind::Histogram {
                for suffix in ["_sum", "_count"] {
                    samples.insert(metric.name.clone() + suffix, labels.clone());
                }
                let of_bucket = labels.into_iter().chain(["le".to_owned()]).collect();
                samples.insert(metric.name + "_bucket", of_bucket);
            } else {
                samples.insert(metric.name, labels);
            }
        }
        Names { samples, recorded: recorded.clone() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.samples.contains_key(name) || self.recorded.contains(name)
    }

    /// What a query names and is not there.
    pub fn unknown(&self, query: &str) -> impl Iterator<Item = String> + use<> {
        let mut found = Vec::new();
        for Named { name, labels } in named(query) {
            match self.samples.get(&name) {
                Some(known) => {
                    let strange = labels.iter().filter(|label| !known.contains(*label));
                    found.extend(strange.map(|label| format!("{name} has no label {label}")));
                }
                None if self.recorded.contains(&name) => {}
                None => found.push(format!("there is no {name}")),
            }
        }
        found.into_iter()
    }

    /// In prose and in patterns of `grep`, where the beginning of a name is enough.
    pub fn unknown_in_text(&self, text: &str) -> impl Iterator<Item = String> + use<'_> {
        let mut found = Vec::new();
        for (at, prefix) in text.match_indices("quoteguard_") {
            let rest = &text[at + prefix.len()..];
            let ends: Vec<&str> = match rest.strip_prefix('(') {
                Some(group) => group[..group.find(')').expect("a closed group")].split('|').collect(),
                None => vec![&rest[..rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len())]],
            };
            found.extend(ends.into_iter().map(|end| format!("{prefix}{end}")));
        }
        found
            .into_iter()
            .filter(|name| !self.samples.keys().any(|known| known.starts_with(&**name)))
            .map(|name| format!("there is no {name}"))
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Every name with our prefix, a recorded one or one of Prometheus' aside.
pub fn named(query: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(at) = rest.find(|c: char| is_of_name(c)) {
        rest = &rest[at..];
        let end = rest.find(|c: char| !is_of_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        if !name.contains("quoteguard_") {
            continue;
        }
        let braces = after.strip_prefix('{').map_or("", |inside| &inside[..inside.find('}').unwrap_or(inside.len())]);
        // The values may hold anything, an equals sign among it: odd parts between quotes.
        let outside: String = braces.split('"').step_by(2).collect();
        let labels = outside.split(',').map(|matcher| matcher.trim().trim_end_matches(['=', '~', '!']).to_owned());
        found.push(Named { name: name.to_owned(), labels: labels.filter(|label| !label.is_empty()).collect() });
    }
    found
}

#[test]
fn names_and_labels_are_found_in_queries() {
    let query = r#"sum by (job) (rate(quoteguard_checks_total{decision="refer", job=~"a,b=c"}[5m])) / job:quoteguard_x:rate5m > up{job="quoteguard"}"#;
    let of =
        |name: &str, labels: &[&str]| Named { name: name.to_owned(), labels: labels.iter().map(ToString::to_string).collect() };
    assert_eq!(named(query), [of("quoteguard_checks_total", &["decision", "job"]), of("job:quoteguard_x:rate5m", &[])]);
    let names = Names::of(&Metrics::new().expect("registered"), &BTreeSet::new());
    let unknown: Vec<String> = names.unknown(r#"quoteguard_checks_total{verdict="refer"} + quoteguard_checks"#).collect();
    assert_eq!(unknown, ["quoteguard_checks_total has no label verdict", "there is no quoteguard_checks"]);
    let text = "grep -E 'quoteguard_(ready|reddy)' and `quoteguard_kafka_consumer_lag`, quoteguard_nothing.";
    let unknown: Vec<String> = names.unknown_in_text(text).collect();
    assert_eq!(unknown, ["there is no quoteguard_reddy", "there is no quoteguard_nothing"]);
}
