//! What is too old goes with all that hangs on it, what waits for somebody stays, and what is sealed belongs to its row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quoteguard::adapters::desk::{DeskStore, Keeping, Projector, Value};
use quoteguard::engine::time::{ArrivalTime, DAY};
use quoteguard::pipeline::StoreError;
use quoteguard::pipeline::access::{Access, Lifetime, NewAccount, Role};
use quoteguard::pipeline::desk::feed::{Page, Part, RulingRecord};
use quoteguard::pipeline::desk::sink::Projection;
use quoteguard::pipeline::desk::views::Tampering;
use quoteguard::pipeline::desk::{AuditVerdict, DeskError, NewAudit, QueueFilter, RulingKind};
use quoteguard::vault::{Place, Vault, new_key};
use serde_json::json;
use tokio::runtime::Handle;

use super::log::{Recorded, project, ruling, shared};
use super::{Databases, moved, vault, whole};

async fn tidy(desk: &DeskStore) {
    let (desk, runtime) = (desk.clone(), Handle::current());
    let tidied = tokio::task::spawn_blocking(move || Projector::new(desk, runtime).upkeep(true));
    tidied.await.expect("does not panic").expect("tidies");
}

async fn count(desk: &DeskStore, sql: &str, values: Vec<Value>) -> u64 {
    desk.db().first(sql, values).await.expect("reads").expect("a row").get(0).expect("a number")
}

/// Of one case, in each table that names it.
async fn rows(desk: &DeskStore, case: &str) -> BTreeMap<&'static str, u64> {
    let mut found = BTreeMap::new();
    for table in ["cases", "case_quotes", "case_rules", "dispositions", "comments", "webhook_outbox"] {
        let sql = format!("SELECT count(*) FROM {table} WHERE referral_id = $1");
        found.insert(table, count(desk, &sql, vec![case.into()]).await);
    }
    found
}

fn ruled(offset: u64, case: &str, kind: RulingKind, at: i64) -> RulingRecord {
    RulingRecord { arrival: ArrivalTime(at), ..ruling(offset, case, kind, &[]) }
}

pub async fn closed_cases_go_with_all_that_hangs_on_them(databases: &impl Databases, recorded: &Recorded) {
    let times = || recorded.decisions.iter().map(|record| record.event_time.0);
    let (oldest, newest) = (times().min().expect("some"), times().max().expect("some"));
    let kept = (newest - oldest) / 2;
    let cut = newest - kept;
    let desk = databases.opened(&[vault()], Keeping { decisions: kept, forms: kept }).await.remove(0);
    project(&desk, whole(recorded)).await;
    // As if five had been at rest since the beginning.
    let sql = "UPDATE cases SET opened_at = $1, active_at = $2 \
        WHERE referral_id IN (SELECT c.referral_id FROM cases c ORDER BY c.opened_at, c.referral_id LIMIT 5)";
    desk.db().run(sql, vec![oldest.into(), (cut - 1).into()]).await.expect("aged");
    let sql = "SELECT referral_id FROM cases WHERE active_at < $1 ORDER BY referral_id";
    let old = desk.db().all(sql, vec![cut.into()]).await.expect("reads");
    let old: Vec<String> = old.iter().map(|row| row.get(0).expect("a text")).collect();
    let [cleared, confirmed, open, asked, late] = &old[..] else { panic!("five old cases: {old:?}") };
    let rulings = vec![
        ruled(10_000, cleared, RulingKind::Cleared, cut - 1),
        ruled(10_001, confirmed, RulingKind::Confirmed, cut - 1),
        ruled(10_002, asked, RulingKind::ProofRequested, cut - 1),
        // Closed less long ago than decisions are kept.
        ruled(10_003, late, RulingKind::Cleared, cut),
        ruled(10_004, "", RulingKind::Erased, cut - 1),
        ruled(10_005, "", RulingKind::Erased, cut),
    ];
    let moves = vec![moved(Part::Control, 0, rulings.len())];
    assert!(project(&desk, Page { rulings, moves, ..Page::default() }).await);
    let pages = shared(&desk);
    for case in &old {
        pages.comment(case, "anna", "looked at").await.expect("kept");
    }
    let before: Vec<_> = futures_util::future::join_all(old.iter().map(|case| rows(&desk, case))).await;
    assert!(
        before
            .iter()
            .all(|rows| rows["case_quotes"] > 0 && rows["case_rules"] > 0 && rows["comments"] == 1 && rows["webhook_outbox"] > 0),
        "{before:?}"
    );

    tidy(&desk).await;
    for (case, before) in old.iter().zip(&before) {
        let now = rows(&desk, case).await;
        if case == cleared || case == confirmed {
            assert!(now.values().all(|count| *count == 0), "{case}: {now:?}");
        } else {
            assert_eq!(now, *before, "{case} stays whole");
        }
    }
    let erasures = "SELECT count(*) FROM dispositions WHERE referral_id = ''";
    assert_eq!(count(&desk, erasures, vec![]).await, 1, "of rulings on no case the old one goes");
    let waiting = "SELECT count(*) FROM cases WHERE status IN ('open', 'proof_requested') AND referral_id IN ($1, $2)";
    assert_eq!(count(&desk, waiting, vec![open.as_str().into(), asked.as_str().into()]).await, 2);
    let audit = "SELECT count(*) FROM audit WHERE action = 'case.comment'";
    assert_eq!(count(&desk, audit, vec![]).await, 5, "who commented stays in the audit");
    assert!(matches!(pages.comment(cleared, "anna", "late").await, Err(DeskError::NoCase(_))));
    // Nothing further: what was kept is kept.
    let all = count(&desk, "SELECT count(*) FROM cases", vec![]).await;
    tidy(&desk).await;
    assert_eq!(count(&desk, "SELECT count(*) FROM cases", vec![]).await, all);
}

pub async fn ended_sessions_and_old_failures_go(databases: &impl Databases) {
    let desk = databases.empty().await;
    let new = NewAccount {
        name: "olga".into(),
        role: Role::Analyst,
        tenant: None,
        password_hash: Some("$argon2id$".into()),
        must_change: false,
    };
    assert!(desk.create(new, "anna").await.expect("answers"));
    let olga = desk.account("olga").await.expect("reads").expect("is there");
    let lifetime = Lifetime { idle: Duration::from_secs(60), absolute: Duration::from_secs(60) };
    for hash in [[1; 32], [2; 32]] {
        assert!(desk.open_session(hash, &olga, lifetime, "password").await.expect("opens"));
    }
    for key in ["name:new", "name:old"] {
        desk.failed(key, 5, Duration::from_secs(60)).await.expect("counted");
    }
    desk.db().run("UPDATE sessions SET expires_at = 1 WHERE hash = $1", vec![vec![1u8; 32].into()]).await.expect("aged");
    let aged = "UPDATE login_failures SET last_at = last_at - $1 WHERE key = 'name:old'";
    desk.db().run(aged, vec![(2 * DAY).into()]).await.expect("aged");
    tidy(&desk).await;
    for (table, expected) in [("sessions", 1), ("login_failures", 1)] {
        assert_eq!(count(&desk, &format!("SELECT count(*) FROM {table}"), vec![]).await, expected, "{table}");
    }
    assert!(desk.session([2; 32], lifetime.idle, false).await.expect("reads").is_some());
}

fn keys(keys: &[&str]) -> Arc<Vault> {
    Arc::new(Vault::new(&keys.join("\n")).expect("keys"))
}

pub async fn what_is_sealed_opens_at_its_row_alone(databases: &impl Databases, recorded: &Recorded) {
    let (old, new) = (new_key().expect("random"), new_key().expect("random"));
    let vaults = [keys(&[&old]), keys(&[&new, &old]), keys(&[&new])];
    let stores = databases.opened(&vaults, Keeping::default()).await;
    let [desk, rotated, newest] = &stores[..] else { panic!("three") };
    project(desk, whole(recorded)).await;
    let pages = shared(desk);
    let queue = pages.queue(QueueFilter::default(), None, 2).await.expect("reads").cases;
    let [one, two] = [&queue[0].referral_id, &queue[1].referral_id];
    for (case, text) in [(one, "about the first"), (two, "about the second")] {
        pages.comment(case, "anna", text).await.expect("kept");
    }
    let plain = "SELECT count(*) FROM comments WHERE text <> '' OR sealed IS NULL";
    assert_eq!(count(desk, plain, vec![]).await, 0);
    assert_eq!(pages.case(one, None).await.expect("opens").comments[0].text, "about the first");

    // One from before forms were bound to their rows opens, and is sealed anew like all the others.
    let quote = pages.case(one, None).await.expect("opens").quotes.remove(0);
    let mut loose = vaults[0].wrap(Place::Column("form"), quote.form.as_deref().expect("held")).expect("sealed");
    loose[0] = 1;
    let put = "UPDATE forms SET body = $1 WHERE log_partition = $2 AND log_offset = $3";
    let place = || -> Vec<Value> { vec![quote.partition.into(), quote.offset.into()] };
    desk.db().run(put, [vec![loose.into()], place()].concat()).await.expect("written");
    assert_eq!(pages.case(one, None).await.expect("opens").quotes[0].form, quote.form);
    let forms = count(desk, "SELECT count(*) FROM forms WHERE body IS NOT NULL", vec![]).await;
    let resealed = rotated.reseal().await.expect("reseals");
    assert_eq!((resealed.forms, resealed.comments), (forms, 2));
    let case = shared(newest).case(one, None).await.expect("opens with the new key alone");
    assert_eq!((&case.quotes[0].form, case.comments[0].text.as_str()), (&quote.form, "about the first"));

    // Whoever swaps two of them is found out.
    let swap = "UPDATE comments SET sealed = (SELECT c.sealed FROM comments c WHERE c.referral_id = $1) WHERE referral_id = $2";
    newest.db().run(swap, vec![two.as_str().into(), one.as_str().into()]).await.expect("written");
    let refused = shared(newest).case(one, None).await.expect_err("another case's");
    assert!(matches!(&refused, DeskError::Store(StoreError::Damaged(text)) if text.contains("comment")), "{refused}");
    let swap = "UPDATE forms SET body = (SELECT f.body FROM forms f WHERE f.log_offset = $1) WHERE log_partition = $2 AND log_offset = $3";
    let other = case.quotes.last().expect("several").offset;
    newest.db().run(swap, [vec![other.into()], place()].concat()).await.expect("written");
    let refused = shared(newest).case(one, None).await.expect_err("another quote's");
    let named = format!("form at offset {}", quote.offset);
    assert!(matches!(&refused, DeskError::Store(StoreError::Damaged(text)) if text.contains(&named)), "{refused}");
}

pub async fn comments_on_whoever_is_erased_are_emptied(databases: &impl Databases, recorded: &Recorded) {
    let sealing = keys(&[&new_key().expect("random")]);
    for vault in [vault(), sealing] {
        let desk = databases.opened(&[vault], Keeping::default()).await.remove(0);
        project(&desk, whole(recorded)).await;
        let pages = shared(&desk);
        let queue = pages.queue(QueueFilter::default(), None, 200).await.expect("reads").cases;
        let case = pages.case(&queue[0].referral_id, None).await.expect("reads");
        let ids: Vec<&str> = case.quotes.iter().map(|quote| quote.quote_id.as_str()).collect();
        let related: Vec<&str> = case.related.iter().map(|other| other.referral_id.as_str()).collect();
        let other = queue[1..].iter().find(|row| !related.contains(&row.referral_id.as_str())).expect("another applicant");
        for id in [&case.row.referral_id, &other.referral_id] {
            pages.comment(id, "anna", "spoke with Ivanov").await.expect("kept");
        }
        let now: i64 =
            desk.db().first("SELECT max(at) FROM comments", vec![]).await.expect("reads").expect("a row").get(0).expect("a time");
        let erasure = RulingRecord { arrival: ArrivalTime(now + 1), ..ruling(10_000, "", RulingKind::Erased, &ids[..1]) };
        let page = Page { rulings: vec![erasure], moves: vec![moved(Part::Control, 0, 1)], ..Page::default() };
        assert!(project(&desk, page).await);
        let erased = pages.case(&case.row.referral_id, None).await.expect("reads");
        assert_eq!((erased.comments[0].text.as_str(), erased.comments[0].actor.as_str()), ("", "anna"));
        assert!(erased.quotes[0].form.is_none());
        assert_eq!(pages.case(&other.referral_id, None).await.expect("reads").comments[0].text, "spoke with Ivanov");
        let left = "SELECT count(*) FROM comments WHERE sealed IS NOT NULL OR text <> ''";
        assert_eq!(count(&desk, left, vec![]).await, 1);
    }
}

fn act(number: u32) -> NewAudit {
    NewAudit::new("anna", "case.clear", &format!("R-{number}"), json!({"n": number}))
}

/// Writes an entry anew as whoever knows everything but the key: the hash of one without.
async fn forge(desk: &DeskStore, donor: &DeskStore) {
    for table in ["audit", "audit_head"] {
        desk.db().run(&format!("DELETE FROM {table}"), vec![]).await.expect("emptied");
    }
    let rows = donor.db().all("SELECT seq, at, actor, action, subject, detail, prev, hash FROM audit ORDER BY seq", vec![]);
    let insert =
        "INSERT INTO audit (seq, at, actor, action, subject, detail, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    for row in rows.await.expect("reads") {
        let (seq, at): (i64, i64) = (row.get(0).expect("a number"), row.get(1).expect("a time"));
        let texts = (2..8).map(|column| Value::from(row.get::<String>(column).expect("a text")));
        desk.db().run(insert, [seq.into(), at.into()].into_iter().chain(texts).collect()).await.expect("written");
    }
    let head = donor.db().first("SELECT seq, hash FROM audit_head", vec![]).await.expect("reads").expect("a head");
    let values = vec![head.get::<i64>(0).expect("a number").into(), head.get::<String>(1).expect("a text").into()];
    desk.db().run("INSERT INTO audit_head (id, seq, hash) VALUES (0, $1, $2)", values).await.expect("written");
}

pub async fn a_chain_with_a_key_is_not_written_anew_without_it(databases: &impl Databases) {
    let (old, new) = (new_key().expect("random"), new_key().expect("random"));
    let vaults = [keys(&[&old]), keys(&[&new, &old]), keys(&[&new]), vault()];
    let stores = databases.opened(&vaults, Keeping::default()).await;
    let [desk, rotated, newest, without] = &stores[..] else { panic!("four") };
    for number in 0..4 {
        shared(desk).audit(act(number)).await.expect("appends");
    }
    let verified = shared(desk).audit_verify().await.expect("reads");
    let AuditVerdict::Whole { entries: 4, head, keyed_from: Some(1) } = verified else { panic!("{verified:?}") };
    assert!(head.starts_with('h') && head.len() == 65, "{head}");
    // Another key seals what the hashes are made with: what was bound before still verifies.
    rotated.reseal().await.expect("reseals");
    shared(newest).audit(act(4)).await.expect("appends");
    assert!(matches!(shared(newest).audit_verify().await, Ok(AuditVerdict::Whole { entries: 5, keyed_from: Some(1), .. })));
    assert!(newest.audit_holds(&head, Some(4)).await.expect("reads") && newest.audit_holds(&head, None).await.expect("reads"));
    for refused in [shared(without).audit(act(5)).await.err(), shared(desk).audit_verify().await.err()] {
        assert!(
            matches!(&refused, Some(DeskError::Store(StoreError::Refused(text))) if text.contains("key_file")),
            "{refused:?}"
        );
    }
    // Whoever can write to the database writes all of it anew, in a form that was once right.
    let key = "SELECT key FROM audit_head";
    let key: Vec<u8> = newest.db().first(key, vec![]).await.expect("reads").expect("a head").get(0).expect("sealed");
    let donor = databases.empty().await;
    for number in [0, 1, 7] {
        shared(&donor).audit(act(number)).await.expect("appends");
    }
    forge(newest, &donor).await;
    let verified = shared(newest).audit_verify().await.expect("reads");
    assert_eq!(verified, AuditVerdict::Broken { seq: 1, what: Tampering::Unkeyed }, "it tells that there is no key");
    assert!(!newest.audit_holds(&head, Some(4)).await.expect("reads"), "and the head that was noted is gone");
    // A key of his own, as it would lie there unsealed.
    let own = [&[0x55; 32][..], &1u64.to_le_bytes()].concat();
    newest.db().run("UPDATE audit_head SET key = $1", vec![own.into()]).await.expect("written");
    let verified = shared(newest).audit_verify().await.expect("reads");
    assert_eq!(verified, AuditVerdict::Broken { seq: 1, what: Tampering::Unkeyed });
    let refused = shared(newest).audit(act(8)).await;
    assert!(matches!(&refused, Err(DeskError::Store(StoreError::Damaged(_)))), "nothing is bound with it: {refused:?}");
    newest.db().run("UPDATE audit_head SET key = $1", vec![key.into()]).await.expect("written");
    let verified = shared(newest).audit_verify().await.expect("reads");
    assert_eq!(verified, AuditVerdict::Broken { seq: 1, what: Tampering::Changed });
}

pub async fn a_chain_that_began_without_a_key_goes_over_to_one(databases: &impl Databases) {
    let vaults = [vault(), keys(&[&new_key().expect("random")])];
    let stores = databases.opened(&vaults, Keeping::default()).await;
    let [before, after] = &stores[..] else { panic!("two") };
    for (desk, number) in [(before, 0), (after, 1)] {
        shared(desk).audit(act(number)).await.expect("appends");
    }
    let verified = shared(before).audit_verify().await.expect("reads");
    assert!(
        matches!(verified, AuditVerdict::Whole { entries: 2, keyed_from: None, .. }),
        "instances of before go on: {verified:?}"
    );
    let verified = shared(after).audit_verify().await.expect("reads");
    assert_eq!(verified, AuditVerdict::Broken { seq: 1, what: Tampering::Unkeyed }, "where there is a key, that is a finding");
    after.reseal().await.expect("reseals");
    after.reseal().await.expect("does nothing further");
    shared(after).audit(act(2)).await.expect("appends");
    let verified = shared(after).audit_verify().await.expect("reads");
    assert!(matches!(verified, AuditVerdict::Whole { entries: 3, keyed_from: Some(3), .. }), "{verified:?}");
    after.db().run("UPDATE audit SET actor = 'nobody' WHERE seq = 1", vec![]).await.expect("written");
    let verified = shared(after).audit_verify().await.expect("reads");
    assert_eq!(verified, AuditVerdict::Broken { seq: 1, what: Tampering::Changed });
}
