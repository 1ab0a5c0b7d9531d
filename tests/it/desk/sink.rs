//! What the sink writes does not depend on how the log reached it.

use quoteguard::adapters::desk::{DeskStore, Projector};
use quoteguard::pipeline::StoreError;
use quoteguard::pipeline::desk::RulingKind;
use quoteguard::pipeline::desk::feed::{Page, Part, RulingRecord};
use quoteguard::pipeline::desk::sink::Projection;
use tokio::runtime::Handle;

use super::log::{LOG_ID, Recorded, project, ruling};
use super::{Databases, moved, whole};
use crate::quotes::Lcg;

/// Everything that a log decides, as text: the same in every database.
const TABLES: [&str; 7] = [
    "SELECT log_partition, log_offset, revision, event_time, is_current, decision_id, tenant, quote_id, verdict, answer, referral_id, rules, \
     attempts, suspicious_attempts, suspicion, json FROM decisions ORDER BY log_partition, log_offset, revision",
    "SELECT log_partition, log_offset, arrival, tenant, quote_id, product, channel, source, premium, body FROM forms \
     ORDER BY log_partition, log_offset",
    "SELECT referral_id, tenant, status, revision, opened_at, active_at, reason, rule, quotes, variants, premium_first, premium_lowest, \
     premium_last, newest_offset, snoozed_rule, snoozed_until FROM cases ORDER BY referral_id",
    "SELECT referral_id, log_partition, log_offset, is_referred, tenant, quote_id, event_time, premium FROM case_quotes \
     ORDER BY referral_id, log_offset",
    "SELECT log_offset, ruling_id, referral_id, kind, rule, until, by_whom, quote_ids FROM dispositions ORDER BY log_offset",
    "SELECT referral_id, rule FROM case_rules ORDER BY referral_id, rule",
    "SELECT minute, tenant, kind, name, count FROM tallies ORDER BY minute, tenant, kind, name",
];

pub async fn dump(desk: &DeskStore) -> Vec<Vec<String>> {
    let mut tables = Vec::new();
    for sql in TABLES {
        let rows = desk.db().all(sql, vec![]).await.expect("reads");
        tables.push(rows.iter().map(|row| format!("{row:?}")).collect());
    }
    tables
}

/// Of the first cases: one cleared, one that is asked for proof and then reopened, one snoozed.
fn rulings(recorded: &Recorded) -> Vec<RulingRecord> {
    let mut cases: Vec<&str> = Vec::new();
    for record in &recorded.decisions {
        if let Some(case) = record.decision.referral_id.as_deref().filter(|case| !cases.contains(case)) {
            cases.push(case);
        }
    }
    let kinds = [
        (0, RulingKind::Cleared),
        (1, RulingKind::ProofRequested),
        (2, RulingKind::Snooze),
        (1, RulingKind::Reopened),
        (3, RulingKind::Confirmed),
    ];
    (10_000..).zip(kinds).map(|(offset, (case, kind))| ruling(offset, cases[case], kind, &["q-1"])).collect()
}

pub async fn any_pieces_and_orders_give_the_same_tables(databases: &impl Databases, recorded: &Recorded) {
    let rulings = rulings(recorded);
    let desk = databases.empty().await;
    assert!(project(&desk, Page { rulings: rulings.clone(), ..whole(recorded) }).await);
    let expected = dump(&desk).await;
    for (table, rows) in TABLES.iter().zip(&expected) {
        assert!(!rows.is_empty(), "{table}");
    }
    for seed in 0..3 {
        let mut random = Lcg(seed);
        let desk = databases.empty().await;
        // Rulings first or last, and each part at its own pace.
        let mut left = (recorded.decisions.as_slice(), recorded.forms.as_slice(), rulings.as_slice());
        let mut at = (0, 0, 0);
        while !(left.0.is_empty() && left.1.is_empty() && left.2.is_empty()) {
            let mut page = Page::default();
            match (seed + random.below(3)) % 3 {
                0 => take(&mut left.0, &mut page.decisions, &mut random),
                1 => take(&mut left.1, &mut page.forms, &mut random),
                _ => take(&mut left.2, &mut page.rulings, &mut random),
            }
            let taken = [page.decisions.len(), page.forms.len(), page.rulings.len()];
            for (part, (from, taken)) in [Part::Decisions, Part::Quotes, Part::Control]
                .into_iter()
                .zip([&mut at.0, &mut at.1, &mut at.2].into_iter().zip(taken))
            {
                if taken > 0 {
                    page.moves.push(moved(part, *from, *from + taken));
                    *from += taken;
                }
            }
            assert!(page.is_empty() || project(&desk, page).await);
        }
        let found = dump(&desk).await;
        for ((table, found), expected) in TABLES.iter().zip(&found).zip(&expected) {
            let differing = found.iter().zip(expected).find(|(found, expected)| found != expected);
            assert_eq!(found.len(), expected.len(), "{table}, seed {seed}");
            assert!(differing.is_none(), "{table}, seed {seed}: {differing:?}");
        }
    }
}

fn take<T: Clone>(left: &mut &[T], page: &mut Vec<T>, random: &mut Lcg) {
    let count = (1 + random.below(150) as usize).min(left.len());
    let (taken, rest) = left.split_at(count);
    page.extend_from_slice(taken);
    *left = rest;
}

pub async fn a_page_is_there_once(databases: &impl Databases, recorded: &Recorded) {
    let desk = databases.empty().await;
    assert!(project(&desk, whole(recorded)).await);
    let expected = dump(&desk).await;
    assert!(!project(&desk, whole(recorded)).await, "it was there already");
    let ends = (recorded.forms.len(), recorded.decisions.len());
    let gap = Page { moves: vec![moved(Part::Quotes, ends.0 + 1, ends.0 + 2)], ..whole(recorded) };
    assert!(!project(&desk, gap).await, "it does not follow");
    assert_eq!(dump(&desk).await, expected);
    // A topic may hold a decision twice, each at its own position.
    let moves = vec![moved(Part::Quotes, ends.0, 2 * ends.0), moved(Part::Decisions, ends.1, 2 * ends.1)];
    assert!(project(&desk, Page { moves, ..whole(recorded) }).await);
    assert_eq!(dump(&desk).await, expected, "copies change nothing");
}

pub async fn another_log_is_refused(databases: &impl Databases) {
    let (desk, runtime) = (databases.empty().await, Handle::current());
    let refused = tokio::task::spawn_blocking(move || {
        let mut projector = Projector::new(desk, runtime);
        projector.positions(LOG_ID).expect("a new desk takes the first log");
        projector.positions("another").expect_err("refused")
    });
    let refused = refused.await.expect("does not panic");
    assert!(matches!(&refused, StoreError::Refused(text) if text.contains("desk.url")), "{refused}");
}

pub async fn the_erased_are_forgotten_whenever_their_forms_come(databases: &impl Databases, recorded: &Recorded) {
    let (first, last) = (&recorded.forms[0].quote_id, &recorded.forms[recorded.forms.len() - 1].quote_id);
    let erasure = ruling(10_000, "", RulingKind::Erased, &[first, last]);
    let half = recorded.forms.len() / 2;
    let desk = databases.empty().await;
    let pages = [
        Page { forms: recorded.forms[..half].to_vec(), moves: vec![moved(Part::Quotes, 0, half)], ..Page::default() },
        Page { rulings: vec![erasure], moves: vec![moved(Part::Control, 0, 1)], ..Page::default() },
        Page { forms: recorded.forms[half..].to_vec(), moves: vec![moved(Part::Quotes, half, 2 * half)], ..Page::default() },
    ];
    for page in pages {
        assert!(project(&desk, page).await);
    }
    let gone = desk.db().all("SELECT DISTINCT quote_id FROM forms WHERE body IS NULL", vec![]).await.expect("reads");
    let mut gone: Vec<String> = gone.iter().map(|row| row.get(0).expect("a text")).collect();
    gone.sort();
    let mut expected = [first.clone(), last.clone()];
    expected.sort();
    assert_eq!(gone, expected);
}
