//! What an underwriter does with a case.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::browser::{Browser, CONFIG, between, desk, plant};
use crate::app::{TestApp, column, eventually};
use crate::quotes::{instant, quote_at};

async fn audit(app: &TestApp) -> Vec<String> {
    desk(app, "SELECT action || ' ' || subject || ' ' || detail FROM audit ORDER BY seq").await
}

fn revision(page: &str) -> String {
    between(page, "name=\"revision\" value=\"", "\"").to_owned()
}

async fn status(app: &TestApp, referral: &str) -> Value {
    app.get(&format!("/v1/referrals/{referral}")).await.expect("answers").json()
}

#[tokio::test]
async fn personal_data_is_masked_until_its_opening_is_written_down() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 3, "default").await;
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    let open = ["Тестова", "anna3@example.org", "XTA219010K1000006", "1970-01-03"];
    for path in ["/console/referrals", path.as_str()] {
        let page = olga.page(path).await;
        assert!(open.iter().all(|text| !page.contains(text)), "{path}");
        assert!(page.contains("А••• Т•••") || page.contains("Т•••"), "{path}");
    }
    let granted = olga.post(&format!("{path}/open"), &[("field", "vehicle.vin")]).await;
    let vin = granted.header("location").to_owned();
    let page = olga.page(&vin).await;
    assert!(page.contains("XTA219010K") && !page.contains("Тестова"), "the VIN alone");
    let state = between(&page, "name=\"open_state\" value=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    let all = olga.post(&format!("{path}/open"), &[("field", "all"), ("open_state", &state)]).await.header("location").to_owned();
    let page = olga.page(&all).await;
    assert!(open[..2].iter().all(|text| page.contains(text)), "{page}");
    let written = audit(&app).await;
    for expected in
        [format!("field.open {referral} {{\"field\":\"vehicle.vin\"}}"), format!("field.open {referral} {{\"field\":\"all\"}}")]
    {
        assert!(written.contains(&expected), "{written:?}");
    }
    for forged in [
        all.replace("open=all%2Cvehicle.vin", "open=all"),
        all.replace("proof=", "proof=A"),
        format!("{path}?open=all"),
        all.replace("until=", "until=9"),
    ] {
        assert!(!olga.page(&forged).await.contains("Тестова"), "{forged}");
    }
    // The address does not open anything in another session.
    let mut ivan = Browser::person(&mut olga, "ivan", "underwriter", "").await;
    assert!(!ivan.page(&all).await.contains("Тестова"));
    assert_eq!(olga.post(&format!("{path}/open"), &[("field", "vehicle.year")]).await.status, 400, "no personal data");
}

#[tokio::test]
async fn a_clearing_reaches_the_site_the_log_and_later_quotes() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 4, "default").await;
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    let page = olga.page(&path).await;
    for part in ["20\u{202f}000", "10\u{202f}000", "−50\u{a0}%", "data-key=\"c\"", "class=\"near\""] {
        assert!(page.contains(part), "{part} is missing");
    }
    let done = olga.post(&format!("{path}/rule"), &[("kind", "cleared"), ("revision", &revision(&page))]).await;
    assert_eq!((done.status.as_u16(), done.header("location")), (303, format!("{path}?done=ruled").as_str()));
    let now = status(&app, &referral).await;
    assert_eq!((&now["status"], &now["disposition"]["kind"]), (&json!("cleared"), &json!("cleared")));
    let page = olga.page(&path).await;
    assert!(page.contains("pill cleared") && !page.contains("data-key=\"c\"") && page.contains("value=\"reopened\""));
    assert!(olga.page("/console/referrals").await.contains("Nobody waits"));
    assert!(olga.page("/console/referrals?status=cleared").await.contains(&referral));
    // The applicant comes back with facts that were seen.
    let mut quote = quote_at("later", OffsetDateTime::now_utc(), 4);
    quote["submitted_at"] = json!(instant(OffsetDateTime::now_utc()));
    let answer = app.check(&quote).await.expect("answers").json();
    assert_eq!(answer["decision"], "accept", "{answer}");
    let reopened = olga.post(&format!("{path}/rule"), &[("kind", "reopened"), ("revision", "2")]).await;
    assert_eq!(reopened.status, 303);
    assert_eq!(status(&app, &referral).await["status"], "open");
    let written = audit(&app).await;
    let entry = format!("case.cleared {referral} {{\"ruling\":\"{referral}.1.cleared.");
    assert_eq!(written.iter().filter(|line| line.starts_with(&entry)).count(), 1, "{written:?}");
}

#[tokio::test]
async fn a_ruling_covers_what_was_shown_and_nothing_that_joined_since() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 6, "default").await;
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    let page = olga.page(&path).await;
    let shown = between(&page, "name=\"shown\" value=\"", "\"");
    let mut quote = quote_at("joins", OffsetDateTime::now_utc(), 6);
    quote["submitted_at"] = json!(instant(OffsetDateTime::now_utc()));
    quote["vehicle"]["vin"] = json!("XTA219010K7777777");
    let answer = app.check(&quote).await.expect("answers").json();
    assert_eq!(answer["referral_id"], referral, "{answer}");
    let joined = "SELECT quote_id FROM case_quotes WHERE quote_id = 'joins'";
    eventually("it is in the case", async || !desk(&app, joined).await.is_empty()).await;
    let snooze = [("rule", "picking-24h"), ("days", "7"), ("shown", shown)];
    assert_eq!(olga.post(&format!("{path}/snooze"), &snooze).await.status, 303);
    let fields = |shown| [("kind", "cleared"), ("revision", "1"), ("shown", shown)];
    for wrong in ["x", "0", "0.x", "0.999999"] {
        assert_eq!(olga.post(&format!("{path}/rule"), &fields(wrong)).await.status, 400, "{wrong}");
    }
    assert_eq!((revision(&page).as_str(), olga.post(&format!("{path}/rule"), &fields(shown)).await.status.as_u16()), ("1", 303));
    let logged = column(&app.database(), "SELECT CAST(body AS TEXT) FROM log WHERE kind = 3").await;
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!(logged.iter().all(|ruling| ruling.contains("\"p6-5\"") && !ruling.contains("\"joins\"")), "{logged:?}");
    // An older quote to which a new one links is none that was shown either: only what the form names is covered.
    assert_eq!(olga.post(&format!("{path}/rule"), &[("kind", "reopened"), ("revision", "2")]).await.status, 303);
    let (first, _) = shown.split_once(' ').expect("several");
    let fields = [("kind", "cleared"), ("revision", "3"), ("shown", first)];
    assert_eq!(olga.post(&format!("{path}/rule"), &fields).await.status, 303);
    let logged = column(&app.database(), "SELECT CAST(body AS TEXT) FROM log WHERE kind = 3").await;
    assert!(logged[3].contains(r#""quote_ids":["p6-0"]"#), "{}", logged[3]);
}

#[tokio::test]
async fn a_second_click_changes_nothing_and_a_stale_form_is_told_so() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 5, "default").await;
    let mut olga = Browser::admin(&app).await;
    let mut ivan = Browser::person(&mut olga, "ivan", "underwriter", "").await;
    let path = format!("/console/referrals/{referral}");
    let (hers, his) = (olga.page(&path).await, ivan.page(&path).await);
    let fields = |kind| [("kind", kind), ("revision", "1")];
    assert_eq!((revision(&hers), revision(&his)), ("1".to_owned(), "1".to_owned()));
    // Two clicks at once, and a third one later.
    let mut again = Browser { app: &app, cookies: olga.cookies.clone(), csrf: olga.csrf.clone(), headers: Vec::new() };
    let rule = format!("{path}/rule");
    let (first_fields, second_fields) = (fields("confirmed"), fields("confirmed"));
    let (first, second) = tokio::join!(olga.post(&rule, &first_fields), again.post(&rule, &second_fields));
    let third = olga.post(&rule, &fields("confirmed")).await;
    for answer in [first, second, third] {
        assert_eq!(answer.status, 303, "{}", answer.text());
    }
    assert_eq!(desk(&app, "SELECT count(*) FROM dispositions").await, ["1"]);
    // He has the old page.
    let stale = ivan.post(&rule, &fields("cleared")).await;
    assert_eq!(stale.status, 409);
    let text = stale.text();
    assert!(text.contains("Somebody has changed this case") && text.contains("pill confirmed"), "{text}");
    assert_eq!(desk(&app, "SELECT kind FROM dispositions").await, ["confirmed"]);
    let wrong = ivan.post(&rule, &[("kind", "cleared"), ("revision", "2")]).await;
    assert_eq!(wrong.status, 409, "a confirmed case is reopened first");
    for fields in [fields("erased"), fields("nonsense"), [("kind", "cleared"), ("revision", "x")]] {
        assert_eq!(ivan.post(&rule, &fields).await.status, 400, "{fields:?}");
    }
}

#[tokio::test]
async fn two_underwriters_do_not_take_the_same_case() {
    let app = TestApp::start(CONFIG).await;
    let cases = [plant(&app, 6, "default").await, plant(&app, 7, "default").await];
    let mut olga = Browser::admin(&app).await;
    let mut ivan = Browser::person(&mut olga, "ivan", "underwriter", "").await;
    olga.get("/console/referrals").await;
    ivan.get("/console/referrals").await;
    let (hers, his) = tokio::join!(olga.post("/console/referrals/next", &[]), ivan.post("/console/referrals/next", &[]));
    let mut taken = [hers.header("location").to_owned(), his.header("location").to_owned()];
    taken.sort();
    let mut expected = cases.each_ref().map(|case| format!("/console/referrals/{case}"));
    expected.sort();
    assert_eq!(taken, expected);
    let mine = hers.header("location").to_owned();
    let answer = ivan.post(&format!("{mine}/rule"), &[("kind", "cleared"), ("revision", "1")]).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("Somebody else works on this case: admin"), "{}", answer.text());
    assert!(ivan.page("/console/referrals").await.contains("admin is on it"));
    assert_eq!(ivan.post(&format!("{mine}/claim"), &[]).await.status, 409);
    assert_eq!(ivan.post("/console/referrals/next", &[]).await.header("location"), "/console/referrals?done=no-next");
    assert_eq!(olga.post(&format!("{mine}/claim"), &[("release", "1")]).await.status, 303);
    assert_eq!(ivan.post(&format!("{mine}/claim"), &[]).await.status, 303);
    assert_eq!(olga.post(&format!("{mine}/assign"), &[("assignee", "Ivan")]).await.status, 303);
    assert_eq!(olga.post(&format!("{mine}/assign"), &[("assignee", "nobody")]).await.status, 400);
    let id = mine.rsplit('/').next().expect("an id").to_owned();
    let page = ivan.page(&mine).await;
    for (what, who) in [("Taken", "admin"), ("Given back", "admin"), ("Taken", "ivan"), ("Assigned", "admin")] {
        assert!(page.contains(&format!("<b>{what}</b> <span class=\"soft\">{who}</span>")), "{what} {who} in {page}");
    }
    assert!(ivan.page("/console/referrals?who=me").await.contains(&id));
    assert!(!olga.page("/console/referrals?who=me").await.contains(&id));
}

#[tokio::test]
async fn comments_are_kept_once_and_within_their_bound() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 8, "default").await;
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    let page = olga.page(&path).await;
    let once = between(&page, "name=\"once\" value=\"", "\"").to_owned();
    let comment = format!("{path}/comment");
    let text = "Called her.\r\nSays: \u{202e}gnorw VIN <b>first</b>";
    for _ in 0..2 {
        assert_eq!(olga.post(&comment, &[("comment", text), ("once", &once)]).await.status, 303);
    }
    let long = "я".repeat(100_000);
    let answer = olga.post(&comment, &[("comment", &long), ("once", "b")]).await;
    assert_eq!(answer.status, 422);
    let shown = answer.text();
    assert!(shown.contains("100000, at most 10000") && shown.contains(&long), "the text is not lost");
    assert_eq!(olga.post(&comment, &[("comment", &"я".repeat(400_000)), ("once", "c")]).await.status, 413);
    assert_eq!(olga.post(&comment, &[("comment", " \n "), ("once", "d")]).await.status, 303, "nothing said, nothing kept");
    assert_eq!(desk(&app, "SELECT count(*) FROM comments").await, ["1"]);
    let page = olga.page(&path).await;
    assert!(page.contains("[U+202E]gnorw VIN") && !page.contains("<b>first</b>") && page.contains("Called her.\n"), "{page}");
    // The form that failed may be sent again, shorter.
    assert_eq!(olga.post(&comment, &[("comment", "shorter"), ("once", "b")]).await.status, 303);
    assert_eq!(desk(&app, "SELECT count(*) FROM comments").await, ["2"]);
}

#[tokio::test]
async fn a_snoozed_rule_is_told_to_the_log_and_on_the_page() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 9, "default").await;
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    let page = olga.page(&path).await;
    assert!(page.contains("<option>picking-24h</option>"), "{page}");
    for rule in ["picking-24h", "picking-30d"] {
        let done = olga.post(&format!("{path}/snooze"), &[("rule", rule), ("days", "7")]).await;
        assert_eq!(done.header("location"), format!("{path}?done=snooze"));
    }
    for days in ["0", "367", "x", ""] {
        assert_eq!(olga.post(&format!("{path}/snooze"), &[("rule", "picking-24h"), ("days", days)]).await.status, 400, "{days}");
    }
    eventually("both are on the desk", async || {
        desk(&app, "SELECT count(*) FROM dispositions WHERE kind = 'snooze'").await == ["2"]
    })
    .await;
    assert!(olga.page(&path).await.contains("rule snoozed"));
    assert_eq!(status(&app, &referral).await["status"], "open", "a snooze is no ruling on the case");
}

#[tokio::test]
async fn the_audit_lists_what_was_done_and_names_what_was_changed_behind_its_back() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 10, "default").await;
    let mut olga = Browser::admin(&app).await;
    olga.page(&format!("/console/referrals/{referral}")).await;
    let page = olga.page("/console/audit?action=case").await;
    assert!(page.contains("case.view") && !page.contains("session.open"), "{page}");
    assert!(olga.page(&format!("/console/audit?subject={referral}&actor=admin")).await.contains("case.view"));
    assert!(olga.page("/console/audit?actor=nobody").await.contains("No entry matches"));
    let whole = olga.post("/console/audit/verify", &[]).await.text();
    assert!(whole.contains("The chain is whole"), "{whole}");
    let file = app.dir.path().join("quoteguard-desk.db");
    let sql = "UPDATE audit SET subject = 'R-0' WHERE seq = 2";
    sqlx::query(sql).execute(&mut crate::app::connect(&file).await).await.expect("written");
    let broken = olga.post("/console/audit/verify", &[]).await.text();
    assert!(broken.contains("broken at entry 2: it was changed"), "{broken}");
}

#[tokio::test]
async fn the_history_tells_who_had_it() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 21, "default").await;
    let mut olga = Browser::admin(&app).await;
    let path = format!("/console/referrals/{referral}");
    olga.page(&path).await;
    for (act, field) in
        [("claim", ("take", "1")), ("claim", ("release", "1")), ("assign", ("assignee", "admin")), ("assign", ("assignee", ""))]
    {
        assert_eq!(olga.post(&format!("{path}/{act}"), &[field]).await.status, 303, "{act} {field:?}");
    }
    let page = olga.page(&path).await;
    let history = between(&page, "<ol class=\"timeline\">", "</ol>");
    for (what, text) in [("Taken", ""), ("Given back", ""), ("Assigned", "admin"), ("Assigned", "to nobody"), ("Case opened", "")]
    {
        let told = history.split("<li").any(|event| event.contains(&format!("<b>{what}</b>")) && event.contains(text));
        assert!(told, "{what} {text}: {history}");
    }
}
