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

use super::log::{Recorded, gain, project, ruling, shared};
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
    let (mut changed, mut amendments) = (BTreeSet::new(), 0);
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
        let amended = case.quotes.iter().map(|quote| quote.decisions.len() - 1).sum::<usize>();
        assert_eq!(case.events.len(), amended, "{id}");
        amendments += amended;
        let referral = desk.referral(id, Some("default")).await.expect("reads");
        assert_eq!(referral.quote_ids.iter().map(String::as_str).collect::<BTreeSet<_>>(), referred);
        let told = 1 + case.row.quotes - 1;
        assert_eq!((referral.status.as_str(), referral.revision, referral.disposition), ("open", told, None));
        for wrong in [desk.case(id, Some("elsewhere")).await.err(), desk.referral(id, Some("elsewhere")).await.err()] {
            assert!(matches!(wrong, Some(DeskError::NoCase(_))), "{wrong:?}");
        }
    }
    assert!(amendments > 0);
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
    let further = desk.case(&id, None).await.expect("reads").row.quotes - 1;
    let referral = desk.referral(&id, None).await.expect("reads");
    assert_eq!((referral.status.as_str(), referral.revision), ("cleared", 2 + further));
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
    assert_eq!((referral.status.as_str(), referral.revision), ("open", 3 + further));
    assert_eq!(desk.case(&id, None).await.expect("reads").dispositions.len(), 2);
    let missing = desk.reserve("R-none", 1, RulingKind::Cleared, "anna").await;
    assert!(matches!(missing, Err(DeskError::NoCase(_))), "{missing:?}");
}

/// A case, and the place in the log of the last decision that refers a further quote to it.
fn joined(recorded: &Recorded) -> (String, usize) {
    let case = |at: usize| recorded.decisions[at].decision.referral_id.as_deref();
    let is_further = |at: usize| {
        let decision = &recorded.decisions[at].decision;
        let is_of = |before: usize| case(before) == case(at) && recorded.decisions[before].decision.quote_id != decision.quote_id;
        case(at).is_some() && decision.revision == 1 && (0..at).any(is_of)
    };
    let at = (0..recorded.decisions.len()).rev().find(|at| is_further(*at)).expect("some case has two quotes");
    (case(at).expect("a case").to_owned(), at)
}

/// The log up to a decision, and the rest of it.
fn split(recorded: &Recorded, at: usize) -> [Page; 2] {
    let (first, rest) = recorded.decisions.split_at(at);
    let mut before = Page { decisions: first.to_vec(), forms: recorded.forms.clone(), ..Page::default() };
    before.moves = vec![moved(Part::Quotes, 0, recorded.forms.len()), moved(Part::Decisions, 0, at)];
    let moves = vec![moved(Part::Decisions, at, recorded.decisions.len())];
    [before, Page { decisions: rest.to_vec(), moves, ..Page::default() }]
}

pub async fn a_ruling_on_its_way_outlives_a_quote_that_joins(databases: &impl Databases, recorded: &Recorded) {
    let (id, at) = joined(recorded);
    let [mut before, after] = split(recorded, at);
    before.rulings = vec![ruling(10_000, &id, RulingKind::Cleared, &["q"]), ruling(10_001, &id, RulingKind::Reopened, &[])];
    let store = databases.empty().await;
    project(&store, before).await;
    let desk = shared(&store);
    desk.reserve(&id, 3, RulingKind::Cleared, "anna").await.expect("reserved");
    let quotes = desk.case(&id, None).await.expect("reads").row.quotes;
    project(&store, after).await;
    assert_eq!(desk.case(&id, None).await.expect("reads").row.quotes, quotes + 1);
    let late = desk.reserve(&id, 3, RulingKind::Confirmed, "boris").await;
    assert!(matches!(late, Err(DeskError::Stale { now: Status::Open, revision: 3 })), "{late:?}");
    let rulings = vec![ruling(10_002, &id, RulingKind::Cleared, &["q"])];
    project(&store, Page { rulings, moves: vec![moved(Part::Control, 0, 1)], ..Page::default() }).await;
    desk.reserve(&id, 4, RulingKind::Reopened, "boris").await.expect("hers has come");
}

pub async fn a_further_quote_is_told_as_something_newer(databases: &impl Databases, recorded: &Recorded) {
    let (id, at) = joined(recorded);
    let [before, after] = split(recorded, at);
    let store = databases.empty().await;
    project(&store, before).await;
    let told = async || {
        let mut of_case = None;
        for referral in store.unpublished(1_000).await.expect("reads") {
            store.published(&referral.referral_id, referral.revision).await.expect("noted");
            if referral.referral_id == id {
                of_case = Some(referral);
            }
        }
        assert!(store.unpublished(1).await.expect("reads").is_empty(), "what was told is not told again");
        of_case
    };
    let first = told().await.expect("the topic is told of the case");
    project(&store, after).await;
    let second = told().await.expect("and of its further quote");
    assert!(second.quote_ids.len() == first.quote_ids.len() + 1 && second.revision == first.revision + 1, "{first:?} {second:?}");
    let rulings = vec![ruling(10_000, &id, RulingKind::Cleared, &["q"])];
    project(&store, Page { rulings, moves: vec![moved(Part::Control, 0, 1)], ..Page::default() }).await;
    let third = told().await.expect("and of the ruling");
    assert!(third.revision == second.revision + 1 && third.status == "cleared", "{third:?}");
    // Webhooks hear the same, and a ruling is still compared with the changes of the status alone.
    let sql = format!("SELECT revision FROM webhook_outbox WHERE referral_id = '{id}' ORDER BY seq");
    let outbox = store.db().all(&sql, vec![]).await.expect("reads");
    let outbox: Vec<u32> = outbox.iter().map(|row| row.get(0).expect("a number")).collect();
    assert_eq!(outbox, [first.revision, second.revision, third.revision]);
    let desk = shared(&store);
    desk.reserve(&id, 2, RulingKind::Reopened, "anna").await.expect("reserved");
}

pub async fn every_ruling_is_in_the_audit_once(databases: &impl Databases, recorded: &Recorded) {
    let store = databases.empty().await;
    let desk = shared(&store);
    let (id, _) = joined(recorded);
    let mut again = ruling(10_003, &id, RulingKind::Cleared, &["q"]);
    again.ruling_id = "r-10000".to_owned();
    let rulings = vec![
        ruling(10_000, &id, RulingKind::Cleared, &["q"]),
        ruling(10_001, &id, RulingKind::Snooze, &["q"]),
        ruling(10_002, "", RulingKind::Erased, &["q", "r"]),
        again,
    ];
    let page = || Page { rulings: rulings.clone(), ..whole(recorded) };
    let gained = gain(&store, page()).await.expect("new");
    assert_eq!(gained.answers.iter().map(|answer| answer.count).max(), Some(1), "{gained:?}");
    // The log is rebuilt, and comes again.
    store.start_over().await.expect("emptied");
    assert_eq!(gain(&store, page()).await.expect("new to the tables").answers, [], "they were counted before");
    let entries = desk.audit_page(AuditFilter::default(), None, 9).await.expect("reads").entries;
    let mut found: Vec<_> = entries.iter().map(|e| (&*e.action, &*e.subject, &*e.actor, &*e.detail)).collect();
    found.sort();
    let expected = [
        ("case.cleared", &*id, "anna", r#"{"ruling":"r-10000","tenant":"default"}"#),
        ("case.snooze", &*id, "anna", r#"{"rule":"picking-24h","ruling":"r-10001","tenant":"default"}"#),
        ("quotes.erased", "r-10002", "anna", r#"{"quotes":2,"ruling":"r-10002","tenant":"default"}"#),
    ];
    assert_eq!(found, expected);
    assert!(matches!(desk.audit_verify().await.expect("reads"), AuditVerdict::Whole { entries: 3, .. }));
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
