//! Cases and what people do with them.

use std::collections::BTreeSet;
use std::time::Duration;

use quoteguard::adapters::desk::DeskStore;
use quoteguard::engine::field::Field;
use quoteguard::pipeline::desk::feed::{Page, Part};
use quoteguard::pipeline::desk::views::Tampering;
use quoteguard::pipeline::desk::{
    AuditFilter, AuditVerdict, COMMENT_CHARS_MAX, DeskError, NewAudit, QueueFilter, RulingKind, SharedDesk, Status,
};
use serde_json::json;

use super::log::{Recorded, project, ruling, shared};
use super::{Databases, moved, whole};

const HOUR: Duration = Duration::from_secs(3_600);

async fn filled(databases: &impl Databases, recorded: &Recorded) -> (DeskStore, SharedDesk) {
    let store = databases.empty().await;
    project(&store, whole(recorded)).await;
    let desk = shared(&store);
    (store, desk)
}

/// The oldest open case.
async fn oldest(desk: &SharedDesk) -> String {
    let page = desk.queue(QueueFilter::default(), None, 1).await.expect("reads");
    page.cases[0].referral_id.clone()
}

pub async fn a_case_holds_what_its_decisions_say(databases: &impl Databases, recorded: &Recorded) {
    let (_, desk) = filled(databases, recorded).await;
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    ids.extend(recorded.decisions.iter().filter_map(|record| record.decision.referral_id.as_deref()));
    let mut changed = BTreeSet::new();
    for id in ids {
        let decisions = || recorded.decisions.iter().filter(move |record| record.decision.referral_id.as_deref() == Some(id));
        let referred: BTreeSet<&str> = decisions().map(|record| record.decision.quote_id.as_str()).collect();
        let linked = decisions().flat_map(|record| record.decision.linked.iter().map(|attempt| attempt.quote_id.as_str()));
        let all: BTreeSet<&str> = referred.iter().copied().chain(linked).collect();
        let case = desk.case(id, Some("default")).await.expect("reads");
        let found = |is_referred: bool| case.quotes.iter().filter(move |quote| quote.is_referred || !is_referred);
        assert_eq!(found(true).map(|quote| &*quote.quote_id).collect::<BTreeSet<_>>(), referred, "{id}");
        assert_eq!(found(false).map(|quote| &*quote.quote_id).collect::<BTreeSet<_>>(), all, "{id}");
        assert_eq!((case.row.quotes as usize, case.row.status), (referred.len(), Status::Open), "{id}");
        assert!(case.quotes.windows(2).all(|pair| pair[0].event_time <= pair[1].event_time), "in event time");
        let premiums: Vec<f64> = case.quotes.iter().filter_map(|quote| quote.premium).collect();
        let lowest = premiums.iter().copied().reduce(f64::min);
        assert_eq!(
            (case.row.premium.first, case.row.premium.lowest, case.row.premium.last),
            (premiums.first().copied(), lowest, premiums.last().copied())
        );
        for quote in &case.quotes {
            let expected = recorded.decisions.iter().filter(|record| record.decision.position.offset == quote.offset);
            assert_eq!(quote.decisions, expected.map(|record| record.json.clone()).collect::<Vec<_>>(), "every revision");
            assert!(quote.form.is_some());
            changed.extend(quote.changes.iter().map(|change| change.field));
        }
        let referral = desk.referral(id, Some("default")).await.expect("reads");
        assert_eq!(referral.quote_ids.iter().map(String::as_str).collect::<BTreeSet<_>>(), referred);
        assert_eq!((referral.status.as_str(), referral.revision, referral.disposition), ("open", 1, None));
        for wrong in [desk.case(id, Some("elsewhere")).await.err(), desk.referral(id, Some("elsewhere")).await.err()] {
            assert!(matches!(wrong, Some(DeskError::NoCase(_))), "{wrong:?}");
        }
    }
    assert!(changed.contains(&Field::Vin) && changed.contains(&Field::BirthDate), "{changed:?}");
}

pub async fn a_ruling_is_reserved_once(databases: &impl Databases, recorded: &Recorded) {
    let (store, desk) = filled(databases, recorded).await;
    let id = oldest(&desk).await;
    let stale = desk.reserve(&id, 7, RulingKind::Cleared, "anna").await;
    assert!(matches!(stale, Err(DeskError::Stale { now: Status::Open, revision: 1 })), "{stale:?}");
    let impossible = desk.reserve(&id, 1, RulingKind::Reopened, "anna").await;
    assert!(matches!(impossible, Err(DeskError::Transition { from: Status::Open, to: Status::Open })), "{impossible:?}");
    let first = desk.reserve(&id, 1, RulingKind::Cleared, "anna").await.expect("reserved");
    assert_eq!(desk.reserve(&id, 1, RulingKind::Cleared, "anna").await.expect("a double click"), first);
    assert!(first.len() <= 64, "{first}");
    for (kind, who) in [(RulingKind::Confirmed, "anna"), (RulingKind::Cleared, "boris"), (RulingKind::Confirmed, "boris")] {
        let late = desk.reserve(&id, 1, kind, who).await;
        assert!(matches!(late, Err(DeskError::Stale { .. })), "{late:?}");
    }
    // It comes back through the log.
    let rulings = vec![ruling(10_000, &id, RulingKind::Cleared, &["q"])];
    project(&store, Page { rulings, moves: vec![moved(Part::Control, 0, 1)], ..Page::default() }).await;
    let stale = desk.reserve(&id, 1, RulingKind::Confirmed, "boris").await;
    assert!(matches!(stale, Err(DeskError::Stale { now: Status::Cleared, revision: 2 })), "{stale:?}");
    desk.reserve(&id, 2, RulingKind::Reopened, "boris").await.expect("reserved");
    let referral = desk.referral(&id, None).await.expect("reads");
    assert_eq!((referral.status.as_str(), referral.revision), ("cleared", 2));
    assert_eq!(referral.disposition.map(|disposition| disposition.kind), Some("cleared".to_owned()));
    let case = desk.case(&id, None).await.expect("reads");
    assert_eq!(case.dispositions.len(), 1);
    assert_eq!((case.dispositions[0].by.as_deref(), &*case.dispositions[0].quote_ids), (Some("anna"), &["q".to_owned()][..]));
    // Reopened; and the first one again, under the id that it had.
    let mut again = ruling(10_002, &id, RulingKind::Cleared, &["q"]);
    again.ruling_id = "r-10000".to_owned();
    let rulings = vec![ruling(10_001, &id, RulingKind::Reopened, &[]), again];
    project(&store, Page { rulings, moves: vec![moved(Part::Control, 1, 3)], ..Page::default() }).await;
    let referral = desk.referral(&id, None).await.expect("reads");
    assert_eq!((referral.status.as_str(), referral.revision), ("open", 3));
    assert_eq!(desk.case(&id, None).await.expect("reads").dispositions.len(), 2);
    let missing = desk.reserve("R-none", 1, RulingKind::Cleared, "anna").await;
    assert!(matches!(missing, Err(DeskError::NoCase(_))), "{missing:?}");
}

pub async fn two_people_never_hold_the_same_case(databases: &impl Databases, recorded: &Recorded) {
    let (_, desk) = filled(databases, recorded).await;
    let id = oldest(&desk).await;
    let until = desk.claim(&id, "anna", HOUR).await.expect("free");
    assert!(desk.claim(&id, "anna", HOUR).await.expect("renewed") >= until);
    let taken = desk.claim(&id, "boris", HOUR).await;
    assert!(matches!(&taken, Err(DeskError::Taken { by, .. }) if by == "anna"), "{taken:?}");
    let ruled = desk.reserve(&id, 1, RulingKind::Cleared, "boris").await;
    assert!(matches!(&ruled, Err(DeskError::Taken { by, .. }) if by == "anna"), "{ruled:?}");
    desk.release(&id, "boris").await.expect("does nothing");
    assert_eq!(desk.case(&id, None).await.expect("reads").row.lease.map(|lease| lease.by), Some("anna".to_owned()));
    desk.release(&id, "anna").await.expect("released");
    // A lease of no time has run out at once.
    desk.claim(&id, "anna", Duration::ZERO).await.expect("free");
    desk.claim(&id, "boris", Duration::ZERO).await.expect("run out");
    let count = queue_len(&desk).await;
    let takers = (0..6).map(|who| {
        let desk = desk.clone();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            let who = format!("underwriter {who}");
            while let Some(id) = desk.claim_next(QueueFilter::default(), &who, HOUR).await.expect("claims") {
                taken.push(id);
            }
            taken
        })
    });
    let mut all = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        all.extend(taker.await.expect("does not panic"));
    }
    assert_eq!(all.len(), count, "every case is taken");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), count, "and each by one");
}

async fn queue_len(desk: &SharedDesk) -> usize {
    desk.queue(QueueFilter::default(), None, 200).await.expect("reads").cases.len()
}

pub async fn comments_and_assignments_stay(databases: &impl Databases, recorded: &Recorded) {
    let (_, desk) = filled(databases, recorded).await;
    let id = oldest(&desk).await;
    let hostile = "<script>alert(1)</script>'; DROP TABLE cases; -- \u{202e}\u{200b}";
    let long = "ы".repeat(COMMENT_CHARS_MAX);
    for text in [hostile, &long, "nul \0 inside"] {
        desk.comment(&id, "anna", text).await.expect("kept");
    }
    let comments = desk.case(&id, None).await.expect("reads").comments;
    let texts: Vec<&str> = comments.iter().map(|comment| comment.text.as_str()).collect();
    assert_eq!(texts, [hostile, long.as_str(), "nul  inside"]);
    let too_long = desk.comment(&id, "anna", &"x".repeat(100_000)).await;
    assert!(matches!(too_long, Err(DeskError::TooLong { chars: 100_000, .. })), "{too_long:?}");
    desk.assign(&id, Some("boris"), "anna").await.expect("assigned");
    let of = |assignee: &str| QueueFilter { assignee: Some(assignee.into()), ..QueueFilter::default() };
    let found = desk.queue(of("boris"), None, 9).await.expect("reads").cases;
    assert_eq!(found.iter().map(|case| case.referral_id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    let unassigned = QueueFilter { unassigned: true, ..QueueFilter::default() };
    let others = desk.queue(unassigned, None, 200).await.expect("reads").cases;
    assert_eq!(others.len() + 1, queue_len(&desk).await);
    desk.assign(&id, None, "anna").await.expect("nobody's again");
    assert!(desk.queue(of("boris"), None, 9).await.expect("reads").cases.is_empty());
    for missing in [desk.comment("R-none", "anna", "x").await, desk.assign("R-none", None, "anna").await] {
        assert!(matches!(missing, Err(DeskError::NoCase(_))), "{missing:?}");
    }
}

fn entry(number: usize) -> NewAudit {
    let (actor, action) = if number.is_multiple_of(3) { ("boris", "login.failed") } else { ("anna", "case.clear") };
    NewAudit { actor: actor.into(), action: action.into(), subject: format!("R-{number}"), detail: json!({"n": number}) }
}

pub async fn the_audit_chain_names_what_was_done_to_it(databases: &impl Databases) {
    for (sql, expected) in [
        (None, None),
        (Some("UPDATE audit SET actor = 'nobody' WHERE seq = 5"), Some((5, Tampering::Changed))),
        (Some("UPDATE audit SET detail = '{}' WHERE seq = 1"), Some((1, Tampering::Changed))),
        (Some("DELETE FROM audit WHERE seq = 7"), Some((7, Tampering::Deleted))),
        (Some("DELETE FROM audit WHERE seq >= 11"), Some((11, Tampering::Cut))),
        (Some("DELETE FROM audit"), Some((1, Tampering::Cut))),
        (Some("UPDATE audit_head SET seq = 9"), Some((9, Tampering::Changed))),
        (Some("UPDATE audit_head SET seq = 9, hash = (SELECT hash FROM audit WHERE seq = 9)"), Some((10, Tampering::Changed))),
        (Some("UPDATE audit SET at = at + 1, hash = prev WHERE seq = 12"), Some((12, Tampering::Changed))),
    ] {
        let store = databases.empty().await;
        let desk = shared(&store);
        // Several at once: the chain has no forks.
        let writers = (0..12).map(|number| tokio::spawn(desk.audit(entry(number))));
        for written in writers.collect::<Vec<_>>() {
            written.await.expect("does not panic").expect("appends");
        }
        if let Some(sql) = sql {
            store.db().run(sql, vec![]).await.expect("tampers");
        }
        let verdict = desk.audit_verify().await.expect("reads");
        match expected {
            None => assert!(matches!(&verdict, AuditVerdict::Whole { entries: 12, .. }), "{verdict:?}"),
            Some((seq, what)) => assert_eq!(verdict, AuditVerdict::Broken { seq, what }, "{sql:?}"),
        }
        if sql.is_none() {
            pages_of_the_audit(&desk).await;
        }
    }
}

async fn pages_of_the_audit(desk: &SharedDesk) {
    for (filter, expected) in [
        (AuditFilter::default(), 12),
        (AuditFilter { actor: Some("boris".into()), ..AuditFilter::default() }, 4),
        (AuditFilter { action: Some("case".into()), ..AuditFilter::default() }, 8),
        (AuditFilter { action: Some("case.clear".into()), ..AuditFilter::default() }, 8),
        (AuditFilter { action: Some("cas".into()), ..AuditFilter::default() }, 0),
        (AuditFilter { subject: Some("R-3".into()), ..AuditFilter::default() }, 1),
    ] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = desk.audit_page(filter.clone(), before, 3).await.expect("reads");
            found.extend(page.entries.into_iter().map(|entry| entry.seq));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found.len(), expected, "{filter:?}");
        assert!(found.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    }
}
