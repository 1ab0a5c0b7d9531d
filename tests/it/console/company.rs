//! Logging in through the company's provider, when all goes well, and what follows from what it says.

use serde_json::{Value, json};

use super::browser::{Browser, CONFIG, PASSWORD, desk, first_password};
use super::issuer::{Issuer, Key};
use crate::app::TestApp;

pub const SESSION: &str = "__Host-quoteguard-session";
const PENDING: &str = "__Host-quoteguard-sso";

pub fn olga(groups: &[&str]) -> Value {
    json!({"sub": "0001", "preferred_username": "Olga", "email": "admin@desk.example", "groups": groups})
}

async fn accounts(app: &TestApp) -> Vec<String> {
    desk(
        app,
        "SELECT name || ' ' || role || ' ' || coalesce(tenant, '*') || ' ' || coalesce(subject, '-') FROM accounts ORDER BY name",
    )
    .await
}

#[tokio::test]
async fn somebody_of_the_company_comes_in_with_the_role_of_now() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "label = 'Acme & Co'\nscopes = ['profile', 'groups']")).await;
    assert_eq!(issuer.asked("/.well-known/openid-configuration"), 0, "the start does not wait for it");
    let mut browser = Browser::new(&app);
    let page = browser.page("/console/login?back=/console/referrals%3Fstatus=open").await;
    assert!(page.contains("Acme &#38; Co") && page.contains("type=\"password\""), "{page}");
    let there = browser.get("/console/login/company?back=/console/referrals?status=open").await;
    let location = there.header("location").to_owned();
    assert!(location.starts_with(&format!("{}/auth?", issuer.url)), "{location}");
    for part in [
        "scope=openid+profile+groups",
        "code_challenge_method=S256",
        "redirect_uri=http%3A%2F%2Flocalhost%3A1%2Fconsole%2Flogin%2Fcompany%2Fback",
    ] {
        assert!(location.contains(part), "{part}: {location}");
    }
    let cookie = there.headers.get("set-cookie").expect("a cookie").to_str().expect("text");
    let parts = [PENDING, "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=600"];
    assert!(parts.iter().all(|part| cookie.contains(part)), "{cookie}");
    let back = issuer.agree(&location, olga(&["x", "desk"]));
    let welcome = browser.get(&back).await;
    assert_eq!(
        (welcome.status.as_u16(), welcome.header("location")),
        (303, "/console/referrals?status=open"),
        "{}",
        welcome.text()
    );
    assert!(!browser.cookies.contains_key(PENDING), "a log-in is for once");
    let page = browser.page("/console").await;
    assert!(page.contains("olga") && page.contains("underwriter"), "{page}");
    assert_eq!(browser.get("/console/audit").await.status, 403);

    // The provider says otherwise: from the next log-in on.
    let first = browser.cookies[SESSION].clone();
    assert_eq!(issuer.log_in(&mut browser, olga(&["books"])).await.status, 303);
    assert_ne!(browser.cookies[SESSION], first, "another session");
    let mut old = Browser::new(&app);
    old.cookies.insert(SESSION.into(), first);
    assert_eq!(old.get("/console").await.status, 303, "and the one of before has ended");
    assert_eq!(browser.get("/console/audit").await.status, 200);
    assert_eq!(accounts(&app).await, ["admin admin * -", "olga auditor * 0001"]);
    let told = desk(&app, "SELECT action || ' ' || detail FROM audit WHERE actor = 'olga' ORDER BY seq").await;
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("account.create") && told[0].contains("\"underwriter\""), "{told:?}");
    assert!(told[1].starts_with("session.open") && told[1].contains("\"company\""), "{told:?}");
    assert!(told[2].starts_with("account.role") && told[2].contains("\"auditor\""), "{told:?}");
    assert!(told[3].starts_with("session.open"), "{told:?}");
    assert_eq!(issuer.asked("/.well-known/openid-configuration"), 1, "what is known is kept for a while");
}

#[tokio::test]
async fn keys_of_rsa_are_believed_as_well() {
    let issuer = Issuer::start().await;
    issuer.behave().key = Key::rs256();
    let app = TestApp::start(&issuer.config("", "")).await;
    let mut browser = Browser::new(&app);
    assert_eq!(issuer.log_in(&mut browser, olga(&["desk"])).await.status, 303);
    assert_eq!(browser.get("/console").await.status, 200);
}

#[tokio::test]
async fn an_identity_takes_over_no_account_of_its_name_or_address() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    let mut admin = Browser::admin(&app).await;
    let person = |subject: &str, name: &str| json!({"sub": subject, "preferred_username": name, "email": "admin@desk.example", "groups": ["desk"]});
    for (subject, name) in [("a", "admin"), ("b", "ADMIN"), ("c", "olga"), ("d", "olga"), ("e", "<b>"), ("a", "somebody else")] {
        let mut browser = Browser::new(&app);
        assert_eq!(issuer.log_in(&mut browser, person(subject, name)).await.status, 303, "{name}");
        assert_eq!(browser.get("/console/accounts").await.status, 403, "{name} is no administrator");
    }
    let sql = "SELECT coalesce(subject, '-') || ' ' || name FROM accounts ORDER BY coalesce(subject, ''), name";
    let named = desk(&app, sql).await;
    let expected = ["- admin", "a admin-", "b admin-", "c olga", "d olga-", "e person-"];
    assert!(named.iter().zip(expected).all(|(name, begins)| name.starts_with(begins)), "{named:?}");
    assert_eq!((named.len(), named[0].as_str(), named[3].as_str()), (6, "- admin", "c olga"));
    assert!(admin.page("/console/accounts").await.contains("through the company"));

    // Nor does an administrator here give such an account a password, or what the provider says otherwise.
    for fields in [&[("do", "password")][..], &[("do", "role"), ("role", "admin")]] {
        assert_eq!(admin.post("/console/accounts/olga", fields).await.status, 400, "{fields:?}");
    }
    assert_eq!(admin.post("/console/accounts", &[("name", "olga"), ("role", "analyst")]).await.status, 422, "the name is taken");
    assert_eq!(Browser::new(&app).log_in("olga", PASSWORD).await.status, 401, "there is no password");
    // Another issuer's people are others, whatever their subject.
    let second = Issuer::start().await;
    let (dir, _) = app.stop().await;
    let app = TestApp::start_in(dir, &second.config("", "")).await;
    assert_eq!(second.log_in(&mut Browser::new(&app), person("c", "olga")).await.status, 303);
    assert_eq!(desk(&app, "SELECT count(*) FROM accounts WHERE subject = 'c'").await, ["2"]);
}

#[tokio::test]
async fn whoever_has_no_place_here_is_told_so_and_loses_the_one_of_before() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "tenant_claim = 'org.tenant'")).await;
    let of = |groups: &[&str], tenant: Value| json!({"sub": "0001", "preferred_username": "olga", "groups": groups, "org": {"tenant": tenant}});
    let mut browser = Browser::new(&app);
    assert_eq!(issuer.log_in(&mut browser, of(&["desk"], json!("north"))).await.status, 303);
    assert_eq!(accounts(&app).await, ["admin admin * -", "olga underwriter north 0001"]);
    for (groups, tenant, said) in [
        (&["Desk", "admin"][..], json!("north"), "has given you no role here"),
        (&[], json!("north"), "has given you no role here"),
        (&["desk"], Value::Null, "does not say which tenant"),
        (&["desk"], json!(["north", "south"]), "does not say which tenant"),
    ] {
        let mut again = Browser::new(&app);
        let page = issuer.log_in(&mut again, of(groups, tenant.clone())).await;
        assert_eq!(page.status, 403, "{groups:?} {tenant}");
        let text = page.text();
        assert!(text.contains(said) && text.contains(&format!("{}/out?", issuer.url)), "{text}");
        assert!(!again.cookies.contains_key(SESSION) && !again.cookies.contains_key(PENDING));
        assert_eq!(browser.get("/console").await.status, 303, "the open session has ended");
        assert_eq!(issuer.log_in(&mut browser, of(&["desk"], json!("*"))).await.status, 303);
    }
    assert_eq!(accounts(&app).await, ["admin admin * -", "olga underwriter * 0001"]);
    let refused = desk(
        &app,
        "SELECT subject || ' ' || json_extract(detail, '$.reason') FROM audit WHERE action = 'session.refused' ORDER BY seq",
    )
    .await;
    assert_eq!(refused, ["olga no_role", "olga no_role", "olga no_tenant", "olga no_tenant"]);
    let strangers = json!({"sub": "0002", "preferred_username": "stranger", "groups": []});
    assert_eq!(issuer.log_in(&mut Browser::new(&app), strangers).await.status, 403);
    assert_eq!(accounts(&app).await.len(), 2, "nobody without a place has an account");

    let mut admin = Browser::admin(&app).await;
    admin.get("/console/accounts").await;
    assert_eq!(admin.post("/console/accounts/olga", &[("do", "disable")]).await.status, 303);
    assert_eq!(browser.get("/console").await.status, 303);
    let page = issuer.log_in(&mut browser, of(&["bosses"], json!("*"))).await;
    assert!(page.status == 403 && page.text().contains("account is disabled"), "{}", page.text());
    assert_eq!(accounts(&app).await[1], "olga underwriter * 0001", "and nothing about it changes");
}

#[tokio::test]
async fn a_log_out_leads_to_the_provider_and_can_be_everywhere() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    let (mut one, mut two) = (Browser::new(&app), Browser::new(&app));
    for browser in [&mut one, &mut two] {
        assert_eq!(issuer.log_in(browser, olga(&["desk"])).await.status, 303);
    }
    one.get("/console").await;
    let out = one.post("/console/logout", &[("everywhere", "1")]).await;
    assert_eq!((out.status.as_u16(), out.header("location")), (303, "/console/logout/company"));
    let page = one.page("/console/logout/company").await;
    let end = format!(
        "{}/out?client_id=quoteguard&#38;post_logout_redirect_uri=http%3A%2F%2Flocalhost%3A1%2Fconsole%2Flogin",
        issuer.url
    );
    assert!(page.contains(&end), "{page}");
    assert_eq!(two.get("/console").await.status, 303, "the other session has ended, too");
    assert_eq!(desk(&app, "SELECT count(*) FROM sessions").await, ["0"]);

    // Of a provider that ends no sessions nothing is promised.
    issuer.behave().document =
        Box::new(|document| drop(document.as_object_mut().expect("an object").remove("end_session_endpoint")));
    let (dir, _) = app.stop().await;
    let app = TestApp::start_in(dir, &issuer.config("", "")).await;
    let page = Browser::new(&app).page("/console/logout/company").await;
    assert!(!page.contains("/out?") && page.contains("/console/login"), "{page}");
}

#[tokio::test]
async fn local_accounts_are_the_way_in_until_an_administrator_comes_through_the_company() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("local_accounts = false", "")).await;
    let mut local = Browser::admin(&app).await;
    assert_eq!(issuer.log_in(&mut Browser::new(&app), olga(&["desk"])).await.status, 303);
    assert_eq!(local.get("/console/accounts").await.status, 200, "an underwriter is no administrator");
    let mut early = Browser::new(&app);
    early.get("/console/login").await;
    let mut boss = Browser::new(&app);
    let claims = json!({"sub": "0009", "preferred_username": "boss", "groups": ["bosses"]});
    assert_eq!(issuer.log_in(&mut boss, claims.clone()).await.status, 303);

    assert_eq!(local.get("/console/accounts").await.status, 303, "sessions of local accounts have ended");
    let page = Browser::new(&app).page("/console/login").await;
    assert!(!page.contains("type=\"password\"") && page.contains("/console/login/company"), "{page}");
    let answer = early.post("/console/login", &[("name", "admin"), ("password", PASSWORD)]).await;
    assert!(answer.status == 403 && answer.text().contains("are switched off"), "{}", answer.text());
    assert!(!boss.page("/console/accounts").await.contains("id=\"add\""));
    assert_eq!(boss.post("/console/accounts", &[("name", "new"), ("role", "analyst")]).await.status, 422);

    // The provider takes the role back: there is no administrator but the local one.
    assert_eq!(
        issuer.log_in(&mut boss, json!({"sub": "0009", "preferred_username": "boss", "groups": ["desk"]})).await.status,
        303
    );
    assert_eq!(boss.get("/console/accounts").await.status, 403);
    assert_eq!(Browser::new(&app).log_in("admin", PASSWORD).await.status, 303, "so that somebody has a way in");
}

#[tokio::test]
async fn without_a_provider_there_is_no_button_and_nothing_behind_it() {
    let app = TestApp::start(CONFIG).await;
    let mut browser = Browser::new(&app);
    assert!(!browser.page("/console/login").await.contains("/console/login/company"));
    for path in ["/console/login/company", "/console/login/company/back?code=a&state=b"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
    assert!(!first_password(&app).is_empty());
}
