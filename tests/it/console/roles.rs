//! Who may what: each row is a request, with those who may send it.

use super::browser::{Browser, CONFIG, plant};
use crate::app::TestApp;

const ROLES: [&str; 4] = ["underwriter", "analyst", "admin", "auditor"];

/// Method, path (`R` stands for a case), a field, and who may: underwriter, analyst, administrator, auditor.
type Line = (&'static str, &'static str, (&'static str, &'static str), [bool; 4]);

const TABLE: &[Line] = &[
    ("GET", "/console", ("", ""), [true, true, true, true]),
    ("GET", "/console/live/overview", ("", ""), [true, true, true, true]),
    ("GET", "/console/password", ("", ""), [true, true, true, true]),
    ("GET", "/console/referrals", ("", ""), [true, true, true, true]),
    ("GET", "/console/live/referrals", ("", ""), [true, true, true, true]),
    ("GET", "/console/referrals/R", ("", ""), [true, true, true, true]),
    ("POST", "/console/referrals/R/open", ("field", "all"), [true, false, true, false]),
    ("POST", "/console/referrals/R/claim", ("release", "1"), [true, false, true, false]),
    ("POST", "/console/referrals/R/assign", ("assignee", ""), [true, false, true, false]),
    ("POST", "/console/referrals/R/rule", ("kind", "nonsense"), [true, false, true, false]),
    ("POST", "/console/referrals/next", ("tenant", "nobody's"), [true, false, true, false]),
    ("POST", "/console/referrals/R/comment", ("comment", ""), [true, true, true, false]),
    ("POST", "/console/referrals/R/snooze", ("days", "nonsense"), [true, true, true, false]),
    ("GET", "/console/explore", ("", ""), [true, true, true, true]),
    ("GET", "/console/explore.csv", ("", ""), [false, true, true, true]),
    ("GET", "/console/rules", ("", ""), [true, true, true, true]),
    ("GET", "/console/rules/1", ("", ""), [true, true, true, true]),
    ("GET", "/console/backtests", ("", ""), [false, true, true, false]),
    ("GET", "/console/operations", ("", ""), [false, true, true, true]),
    ("POST", "/console/operations/pipelines", ("do", "nonsense"), [false, false, true, false]),
    ("POST", "/console/operations/letters", ("offset", "nonsense"), [false, false, true, false]),
    ("GET", "/console/audit", ("", ""), [false, false, true, true]),
    ("POST", "/console/audit/verify", ("", ""), [false, false, true, true]),
    ("GET", "/console/accounts", ("", ""), [false, false, true, false]),
    ("POST", "/console/accounts", ("role", "nonsense"), [false, false, true, false]),
    ("POST", "/console/accounts/admin", ("do", "nonsense"), [false, false, true, false]),
    ("GET", "/console/keys", ("", ""), [false, false, true, false]),
    ("POST", "/console/keys", ("burst", "nonsense"), [false, false, true, false]),
    ("POST", "/console/keys/000000000000", ("do", "nonsense"), [false, false, true, false]),
];

#[tokio::test]
async fn each_role_opens_what_the_table_says_and_nobody_else_anything() {
    let app = TestApp::start(CONFIG).await;
    let referral = plant(&app, 1, "default").await;
    let mut admin = Browser::admin(&app).await;
    let mut people = Vec::new();
    for role in ROLES {
        people.push(Browser::person(&mut admin, &format!("{role}-1"), role, "").await);
    }
    let mut nobody = Browser::new(&app);
    for (method, path, field, may) in TABLE {
        let path = path.replace("/R", &format!("/{referral}"));
        for ((role, browser), may) in ROLES.iter().zip(&mut people).zip(may) {
            browser.get("/console").await;
            let status = send(browser, method, &path, *field).await;
            assert_eq!(status != 403, *may, "{role}: {method} {path}: {status}");
            assert!(status != 500 && status != 404, "{role}: {method} {path}: {status}");
        }
        assert_eq!(send(&mut nobody, method, &path, *field).await, 303, "nobody: {method} {path}");
    }
}

async fn send(browser: &mut Browser<'_>, method: &str, path: &str, field: (&str, &str)) -> u16 {
    let answer = if method == "GET" { browser.get(path).await } else { browser.post(path, &[field]).await };
    answer.status.as_u16()
}

#[tokio::test]
async fn an_account_of_one_tenant_meets_no_other() {
    let app = TestApp::start(CONFIG).await;
    let (ours, theirs) = (plant(&app, 1, "ours").await, plant(&app, 2, "theirs").await);
    let mut admin = Browser::admin(&app).await;
    let mut olga = Browser::person(&mut admin, "olga", "admin", "ours").await;
    assert_eq!(olga.get(&format!("/console/referrals/{ours}")).await.status, 200);
    assert_eq!(olga.get(&format!("/console/referrals/{theirs}")).await.status, 404);
    for path in ["/console/referrals", "/console/referrals?tenant=theirs", "/console/live/referrals?tenant=theirs"] {
        let page = olga.page(path).await;
        assert!(page.contains(&ours) && !page.contains(&theirs), "{path}");
    }
    for path in ["/console/explore?tenant=theirs", "/console/explore.csv?tenant=theirs", "/console"] {
        let page = olga.page(path).await;
        assert!(!page.contains("p2-"), "{path}");
    }
    for path in ["/console/audit", "/console/operations", "/console/backtests"] {
        assert_eq!(olga.get(path).await.status, 403, "{path}");
    }
    // What is measured over all tenants together says something about the others.
    for (path, of_all) in [("/console", "Time to the answer"), ("/console/rules", "since the service started")] {
        assert!(admin.page(path).await.contains(of_all) && !olga.page(path).await.contains(of_all), "{path}");
    }
    let pause = [("name", "http"), ("do", "pause")];
    assert_eq!(olga.post("/console/operations/pipelines", &pause).await.status, 403);
    Browser::person(&mut admin, "boris", "underwriter", "theirs").await;
    let accounts = olga.page("/console/accounts").await;
    assert!(accounts.contains("olga") && !accounts.contains("boris"), "{accounts}");
    for name in ["admin", "boris"] {
        for fields in [[("do", "password"), ("role", "")], [("do", "role"), ("role", "admin")], [("do", "disable"), ("role", "")]]
        {
            assert_eq!(olga.post(&format!("/console/accounts/{name}"), &fields).await.status, 404, "{name} {fields:?}");
        }
    }
    let raised = [("name", "carl"), ("role", "admin"), ("tenant", "")];
    assert_eq!(olga.post("/console/accounts", &raised).await.status, 200);
    let mut carl = Browser::person(&mut admin, "dora", "admin", "ours").await;
    assert_eq!(carl.post("/console/accounts/carl", &[("do", "role"), ("role", "admin"), ("tenant", "")]).await.status, 303);
    let all = admin.page("/console/accounts").await;
    let carl = all.split("<tr").find(|row| row.contains("carl")).expect("carl is listed");
    assert!(carl.contains("ours"), "{carl}");
    for (what, field) in [
        ("rule", ("kind", "cleared")),
        ("comment", ("comment", "x")),
        ("claim", ("a", "")),
        ("assign", ("assignee", "")),
        ("open", ("field", "all")),
        ("snooze", ("rule", "picking-24h")),
    ] {
        let fields = [field, ("revision", "1"), ("days", "1")];
        assert_eq!(olga.post(&format!("/console/referrals/{theirs}/{what}"), &fields).await.status, 404, "{what}");
    }
}
