//! Pages show what the log says, whole and in order.

use std::collections::{BTreeMap, BTreeSet};

use quoteguard::contract::decision::VerdictV1;
use quoteguard::engine::decision::Verdict;
use quoteguard::engine::time::{EventTime, MINUTE};
use quoteguard::pipeline::desk::feed::DecisionRecord;
use quoteguard::pipeline::desk::feed::{Page, Part};
use quoteguard::pipeline::desk::{DecisionFilter, DecisionRow, QueueFilter, RulingKind, SharedDesk, Status};

use super::log::{Recorded, gain, project, ruling, shared};
use super::{Databases, moved, whole};

/// The highest revision of each decision.
fn current(recorded: &Recorded) -> Vec<&DecisionRecord> {
    let mut newest: BTreeMap<u64, &DecisionRecord> = BTreeMap::new();
    for record in &recorded.decisions {
        newest.insert(record.decision.position.offset, record);
    }
    newest.into_values().collect()
}

/// Of each case, when it was opened.
fn opened(recorded: &Recorded) -> BTreeMap<String, EventTime> {
    let mut opened: BTreeMap<String, EventTime> = BTreeMap::new();
    for record in &recorded.decisions {
        if let Some(case) = &record.decision.referral_id {
            let at = opened.entry(case.clone()).or_insert(record.event_time);
            *at = record.event_time.min(*at);
        }
    }
    opened
}

async fn queue(desk: &SharedDesk, filter: &QueueFilter, limit: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = desk.queue(filter.clone(), after, limit).await.expect("reads");
        assert!(page.cases.len() == limit || page.next.is_none(), "pages are full");
        found.extend(page.cases.into_iter().map(|case| case.referral_id));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

pub async fn the_queue_is_the_open_cases_oldest_first(databases: &impl Databases, recorded: &Recorded) {
    let store = databases.empty().await;
    project(&store, whole(recorded)).await;
    let opened = opened(recorded);
    let mut expected: Vec<_> = opened.iter().map(|(case, at)| (*at, case.clone())).collect();
    expected.sort();
    let ids = |cases: &[(EventTime, String)]| cases.iter().map(|(_, case)| case.clone()).collect::<Vec<_>>();
    // The oldest is cleared, the next is asked for proof: that one still waits.
    let rulings = vec![
        ruling(10_000, &expected[0].1, RulingKind::Cleared, &[]),
        ruling(10_001, &expected[1].1, RulingKind::ProofRequested, &[]),
    ];
    project(&store, Page { rulings, moves: vec![moved(Part::Control, 0, 2)], ..Page::default() }).await;
    let desk = shared(&store);
    for limit in [3, 7, 200] {
        assert_eq!(queue(&desk, &QueueFilter::default(), limit).await, ids(&expected[1..]));
    }
    let filter = |status| QueueFilter { status: Some(status), ..QueueFilter::default() };
    assert_eq!(queue(&desk, &filter(Status::Cleared), 3).await, ids(&expected[..1]));
    assert_eq!(queue(&desk, &filter(Status::ProofRequested), 3).await, ids(&expected[1..2]));
    assert_eq!(queue(&desk, &filter(Status::Open), 3).await, ids(&expected[2..]));
    let elsewhere = QueueFilter { tenant: Some("elsewhere".into()), ..QueueFilter::default() };
    assert_eq!(queue(&desk, &elsewhere, 3).await, Vec::<String>::new());
    let page = desk.queue(QueueFilter::default(), None, 1).await.expect("reads");
    assert_eq!((page.counts.open, page.counts.proof_requested), (expected.len() as u64 - 2, 1));
    assert_eq!(page.counts.oldest, Some(expected[1].0));
    assert!(page.cases[0].newest_form.as_ref().is_some_and(|form| form.starts_with(b"{")), "the form is there to be masked");
}

pub async fn decisions_are_found_by_everything_they_are_filtered_by(databases: &impl Databases, recorded: &Recorded) {
    let store = databases.empty().await;
    project(&store, whole(recorded)).await;
    let desk = shared(&store);
    let mut all = current(recorded);
    all.sort_by_key(|record| std::cmp::Reverse((record.event_time, record.decision.position.offset)));
    let (from, to) = (all[all.len() - 1].event_time, EventTime(all[0].event_time.0 + 1));
    let every = DecisionFilter { tenant: None, from, to, verdict: None, rule: None, quote_id: None };
    let middle = all[all.len() / 2];
    let rule = all.iter().find_map(|record| record.decision.reasons.first()).expect("some rule matched").rule.clone();
    let filters = [
        every.clone(),
        DecisionFilter { from: middle.event_time, ..every.clone() },
        DecisionFilter { to: middle.event_time, ..every.clone() },
        DecisionFilter { verdict: Some(Verdict::Refer), ..every.clone() },
        DecisionFilter { verdict: Some(Verdict::Accept), tenant: Some("default".into()), ..every.clone() },
        DecisionFilter { rule: Some(rule), ..every.clone() },
        DecisionFilter { quote_id: Some(middle.decision.quote_id.clone()), ..every.clone() },
        DecisionFilter { tenant: Some("elsewhere".into()), ..every.clone() },
        DecisionFilter { rule: Some("%".into()), ..every.clone() },
    ];
    for filter in filters {
        let expected: Vec<String> = all.iter().filter(|r| matches(&filter, r)).map(|r| r.decision.decision_id.clone()).collect();
        let mut found: Vec<DecisionRow> = Vec::new();
        let mut after = None;
        loop {
            let page = desk.decisions(filter.clone(), after, 37).await.expect("reads");
            found.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let ids = |rows: &[DecisionRow]| rows.iter().map(|row| row.decision_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&found), expected, "{filter:?}");
        assert!(found.iter().all(|row| row.product.as_deref() == Some("osago") && row.premium.is_some()), "with their forms");
        let mut exported = Vec::new();
        let mut rows = desk.export(filter.clone(), None);
        while let Some(row) = rows.recv().await {
            exported.push(row.expect("reads"));
        }
        assert_eq!(exported, found, "{filter:?}");
        if let [first, rest @ ..] = found.as_slice() {
            let mut rows = desk.export(filter.clone(), Some(first.key));
            let next = rows.recv().await.transpose().expect("reads");
            assert_eq!(next.as_ref(), rest.first(), "{filter:?}");
        }
        if filter.verdict.is_none() {
            let buckets = desk.histogram(filter.clone(), 60).await.expect("reads");
            let total: u64 = buckets.iter().map(|bucket| bucket.accept + bucket.flag + bucket.refer).sum();
            // Tallies are of whole minutes.
            let slack = if filter.from == from && filter.to == to { 0 } else { 3 };
            assert!(total.abs_diff(expected.len() as u64) <= slack, "{filter:?}: {total} of {}", expected.len());
            assert!(buckets.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
    }
}

fn matches(filter: &DecisionFilter, record: &DecisionRecord) -> bool {
    let decision = &record.decision;
    (filter.from..filter.to).contains(&record.event_time)
        && filter.tenant.as_ref().is_none_or(|tenant| *tenant == decision.tenant)
        && filter.quote_id.as_ref().is_none_or(|id| *id == decision.quote_id)
        && filter.verdict.is_none_or(|verdict| verdict.name() == decision.decision.name())
        && filter.rule.as_ref().is_none_or(|rule| decision.reasons.iter().any(|reason| reason.rule == *rule))
}

pub async fn the_overview_counts_what_is_there(databases: &impl Databases, recorded: &Recorded) {
    let store = databases.empty().await;
    project(&store, whole(recorded)).await;
    let desk = shared(&store);
    let now = recorded.decisions.iter().map(|record| record.event_time).max().expect("some");
    let overview = desk.overview(Some("default"), now, EventTime(0)).await.expect("reads");
    let first = |record: &&DecisionRecord| record.decision.revision == 1;
    let hour = EventTime(now.0 - 60 * MINUTE);
    let recent = recorded.decisions.iter().filter(first).filter(|r| r.event_time.0 / MINUTE * MINUTE > hour.0);
    let referred = recent.clone().filter(|record| record.decision.decision == VerdictV1::Refer).count() as u64;
    let counted: u64 = overview.minutes.iter().map(|minute| minute.accept + minute.flag + minute.refer).sum();
    assert_eq!(counted, recent.count() as u64);
    assert_eq!(overview.minutes.iter().map(|minute| minute.refer).sum::<u64>(), referred);
    let opened = opened(recorded);
    assert_eq!((overview.counts.open, overview.opened_today), (opened.len() as u64, opened.len() as u64));
    assert_eq!(overview.counts.oldest, opened.values().min().copied());
    assert!(overview.premium_protected > 0.0);
    for figures in &overview.rules {
        let hits = recorded.decisions.iter().filter(first);
        let hits = hits.filter(|record| record.decision.reasons.iter().any(|reason| reason.rule == figures.rule)).count();
        assert_eq!(figures.hits, hits as u64, "{}", figures.rule);
    }
    assert!(overview.rules.iter().any(|figures| figures.hits > 0));
    let empty = desk.overview(Some("elsewhere"), now, EventTime(0)).await.expect("reads");
    assert_eq!(empty, quoteguard::pipeline::desk::Overview::default());
}

pub async fn a_cleared_case_has_protected_nothing_and_speaks_of_each_rule(databases: &impl Databases, recorded: &Recorded) {
    let store = databases.empty().await;
    let gained = gain(&store, whole(recorded)).await.expect("new");
    let desk = shared(&store);
    let now = recorded.decisions.iter().map(|record| record.event_time).max().expect("some");
    let overview = async || desk.overview(None, now, EventTime(0)).await.expect("reads");
    let before = overview().await;
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6 * a.abs().max(1.0);
    assert!(near(gained.protected, before.premium_protected), "{gained:?} {}", before.premium_protected);
    // A case that more than one rule has matched in, and whose price has fallen.
    let mut rules: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for decision in recorded.decisions.iter().map(|record| &record.decision) {
        if let Some(case) = decision.referral_id.as_deref() {
            rules.entry(case).or_default().extend(decision.reasons.iter().map(|reason| reason.rule.as_str()));
        }
    }
    let mut found = None;
    for (case, rules) in rules.into_iter().filter(|(_, rules)| rules.len() > 1) {
        let premium = desk.case(case, None).await.expect("reads").row.premium;
        let fallen = premium.first.unwrap_or_default() - premium.lowest.unwrap_or_default();
        if fallen > 0.0 {
            found = Some((case, rules, fallen));
        }
    }
    let (case, rules, fallen) = found.expect("such a case");
    let rulings = vec![ruling(10_000, case, RulingKind::Cleared, &["q"])];
    let gained = gain(&store, Page { rulings, moves: vec![moved(Part::Control, 0, 1)], ..Page::default() }).await.expect("new");
    let answered: BTreeSet<&str> = gained.answers.iter().map(|answer| answer.rule.as_str()).collect();
    assert_eq!((answered, gained.protected), (rules.clone(), 0.0));
    assert!(gained.answers.iter().all(|answer| answer.kind == RulingKind::Cleared && answer.count == 1), "{gained:?}");
    let after = overview().await;
    assert!(near(after.premium_protected, before.premium_protected - fallen), "{fallen} of {}", before.premium_protected);
    for figures in after.rules {
        let expected = (0, u64::from(rules.contains(&*figures.rule)));
        assert_eq!((figures.confirmed, figures.cleared), expected, "{}", figures.rule);
    }
}
