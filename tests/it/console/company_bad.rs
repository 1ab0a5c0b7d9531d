//! Logging in through the company's provider, when somebody lies or nobody answers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::browser::{Browser, PASSWORD, desk};
use super::company::{SESSION, olga};
use super::issuer::{Behaviour, Issuer, Key, Signing};
use crate::app::{TestApp, connect};

const FAILED: &str = "log-in did not work";
const AWAY: &str = "log-in does not answer";

/// Of refusals the address is forgotten: it would have to wait.
async fn forget_failures(app: &TestApp) {
    let file = app.dir.path().join("quoteguard-desk.db");
    sqlx::query("DELETE FROM login_failures").execute(&mut connect(&file).await).await.expect("written");
}

async fn reasons(app: &TestApp) -> Vec<String> {
    desk(app, "SELECT json_extract(detail, '$.reason') FROM audit WHERE action = 'session.refused' ORDER BY seq").await
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[tokio::test]
async fn a_token_with_anything_wrong_opens_nothing() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    type Lie = (&'static str, fn(&mut Behaviour));
    fn says(of: &mut Behaviour, change: fn(&mut Value)) {
        of.claims = Box::new(change);
    }
    let lies: [Lie; 19] = [
        ("another nonce", |of| says(of, |claims| claims["nonce"] = json!("another"))),
        ("no nonce", |of| says(of, |claims| drop(claims.as_object_mut().expect("claims").remove("nonce")))),
        ("another audience", |of| says(of, |claims| claims["aud"] = json!("another"))),
        ("a second audience", |of| says(of, |claims| claims["aud"] = json!(["quoteguard", "another"]))),
        ("no audience", |of| says(of, |claims| drop(claims.as_object_mut().expect("claims").remove("aud")))),
        ("another party", |of| says(of, |claims| claims["azp"] = json!("another"))),
        ("another issuer", |of| says(of, |claims| claims["iss"] = json!("https://evil.example"))),
        ("almost the issuer", |of| {
            says(of, |claims| claims["iss"] = json!(format!("{}/", claims["iss"].as_str().expect("text"))))
        }),
        ("expired", |of| says(of, |claims| claims["exp"] = json!(now() - 120))),
        ("made too long ago", |of| says(of, |claims| claims["iat"] = json!(now() - 700))),
        ("made in the future", |of| says(of, |claims| claims["iat"] = json!(now() + 120))),
        ("no subject", |of| says(of, |claims| drop(claims.as_object_mut().expect("claims").remove("sub")))),
        ("an empty subject", |of| says(of, |claims| claims["sub"] = json!(""))),
        ("a long subject", |of| says(of, |claims| claims["sub"] = json!("x".repeat(256)))),
        ("no signature", |of| of.signing = Signing::None),
        ("a stranger's signature", |of| of.signing = Signing::Stranger),
        ("the client's secret as a key", |of| of.signing = Signing::Secret),
        ("altered claims", |of| of.signing = Signing::Altered),
        ("a stranger's signature beside an odd key", |of| {
            of.published = vec![json!({"kty": "EC", "crv": "P-256", "kid": "old", "x": "AA", "y": "AA"})];
            of.signing = Signing::Stranger;
        }),
    ];
    for (what, lie) in lies {
        issuer.behave().claims = Box::new(|_| {});
        issuer.behave().signing = Signing::Honest;
        lie(&mut issuer.behave());
        let mut browser = Browser::new(&app);
        let answer = issuer.log_in(&mut browser, olga(&["bosses"])).await;
        assert!([403, 503].contains(&answer.status.as_u16()), "{what}: {}", answer.status);
        assert!(answer.text().contains(FAILED) || answer.text().contains(AWAY), "{what}: {}", answer.text());
        assert!(!browser.cookies.contains_key(SESSION), "{what}");
        forget_failures(&app).await;
    }
    assert_eq!(desk(&app, "SELECT count(*) FROM sessions").await, ["0"]);
    assert_eq!(desk(&app, "SELECT count(*) FROM accounts WHERE subject IS NOT NULL").await, ["0"]);
    let reasons = reasons(&app).await;
    assert!(reasons.len() >= 17 && reasons.iter().all(|reason| reason == "untrusted"), "{reasons:?}");
    // The clocks may differ a little.
    issuer.behave().signing = Signing::Honest;
    issuer.behave().published.clear();
    issuer.behave().claims = Box::new(|claims| {
        claims["iat"] = json!(now() + 30);
        claims["exp"] = json!(now() - 30);
        claims["azp"] = json!("quoteguard");
        claims["aud"] = json!(["quoteguard"]);
    });
    assert_eq!(issuer.log_in(&mut Browser::new(&app), olga(&["bosses"])).await.status, 303);
}

#[tokio::test]
async fn only_the_browser_that_began_a_log_in_ends_it_and_once() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    let mut victim = Browser::new(&app);
    let mut attacker = Browser::new(&app);
    // The attacker's code in the victim's browser would log her in as the attacker.
    let back = issuer.begin(&mut attacker, olga(&["desk"])).await;
    for began in [false, true] {
        if began {
            issuer.begin(&mut victim, olga(&["desk"])).await;
        }
        let answer = victim.get(&back).await;
        assert!(answer.status == 403 && answer.text().contains("not begun in this browser"), "{}", answer.text());
        assert!(!victim.cookies.contains_key(SESSION));
    }
    for tampered in [
        back.replace("state=", "state=x"),
        back.replace("state=", "other="),
        back.split("&state").next().expect("a code").to_owned(),
        "/console/login/company/back".to_owned(),
    ] {
        let mut browser = Browser::new(&app);
        browser.cookies = attacker.cookies.clone();
        assert_eq!(browser.get(&tampered).await.status, 403, "{tampered}");
    }
    assert_eq!(issuer.asked("/token"), 0, "none of this has reached the provider");
    assert!(reasons(&app).await.is_empty(), "nor does a page elsewhere fill the audit, or lock anybody");

    // Too late: the cookie is its browser's to keep, but it ends what it began with.
    let old = attacker.cookies.clone();
    assert_eq!(attacker.get(&back).await.status, 303);
    assert_eq!(attacker.get(&back).await.status, 403, "the cookie is gone");
    attacker.cookies = old;
    let replayed = attacker.get(&back).await;
    assert!(replayed.status == 403 && replayed.text().contains(FAILED), "{}", replayed.text());
    assert_eq!((issuer.asked("/token"), reasons(&app).await), (2, vec!["refused".to_owned()]), "the code was for once");
}

#[tokio::test]
async fn a_code_from_another_issuer_or_for_another_verifier_is_not_taken() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    let mut browser = Browser::new(&app);
    let back = issuer.begin(&mut browser, olga(&["desk"])).await;
    let mixed =
        back.replace(&form_urlencoded::byte_serialize(issuer.url.as_bytes()).collect::<String>(), "https%3A%2F%2Fevil.example");
    assert_ne!(mixed, back);
    let answer = browser.get(&mixed).await;
    assert!(answer.status == 403 && issuer.asked("/token") == 0, "{}", answer.text());
    // A stolen code under a state of one's own: the provider holds the hash of another verifier.
    let (mut victim, mut thief) = (Browser::new(&app), Browser::new(&app));
    let stolen = issuer.begin(&mut victim, olga(&["bosses"])).await;
    let own = issuer.begin(&mut thief, olga(&["desk"])).await;
    let code = |path: &str| super::browser::between(path, "code=", "&").to_owned();
    let answer = thief.get(&own.replace(&code(&own), &code(&stolen))).await;
    assert_eq!((answer.status.as_u16(), thief.cookies.contains_key(SESSION)), (403, false));
    assert_eq!(reasons(&app).await, ["untrusted", "refused"]);
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_after_a_log_in() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    for back in [
        "//evil.example",
        "https://evil.example/console/",
        "/console/%5Cevil",
        "/consoles",
        "/console/%0d%0ax:y",
        &format!("/console/{}", "x".repeat(2000)),
    ] {
        let mut browser = Browser::new(&app);
        let there = browser.get(&format!("/console/login/company?back={back}")).await;
        let back = issuer.agree(there.header("location"), olga(&["desk"]));
        assert_eq!(browser.get(&back).await.header("location"), "/console", "{back}");
    }
}

#[tokio::test]
async fn somebody_who_gives_up_at_the_provider_is_told_so() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    let mut browser = Browser::new(&app);
    let back = issuer.begin(&mut browser, olga(&["desk"])).await;
    let state = super::browser::between(&back, "state=", "&").to_owned();
    let given_up = format!("/console/login/company/back?error=access_denied&error_description=%3Cb%3Eno&state={state}");
    let answer = browser.get(&given_up).await;
    let text = answer.text();
    assert!(answer.status == 403 && text.contains("broken off") && !text.contains("<b>no"), "{text}");
    assert_eq!((issuer.asked("/token"), reasons(&app).await), (0, vec!["declined".to_owned()]));
}

/// Log-ins that fail, each by a browser of its own, until the address has to wait: `answered` is what comes in place of the provider's answer.
async fn assert_locks(app: &TestApp, issuer: &Issuer, answered: impl Fn(&str) -> String) {
    let mut statuses = Vec::new();
    for _ in 0..22 {
        let mut browser = Browser::new(app);
        let back = issuer.begin(&mut browser, olga(&["desk"])).await;
        let answer = browser.get(&answered(&back)).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|secs| secs >= 1));
        }
        statuses.push(answer.status.as_u16());
    }
    assert!(statuses[..20].iter().all(|status| *status == 403) && statuses[20..].contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn log_ins_that_are_broken_off_or_answer_another_lock_their_address() {
    for broken in ["error=access_denied&state=", "code=code-1&state=x"] {
        let issuer = Issuer::start().await;
        let app = TestApp::start(&issuer.config("", "")).await;
        assert_locks(&app, &issuer, |back| {
            let state = super::browser::between(back, "state=", "&");
            format!("/console/login/company/back?{broken}{state}")
        })
        .await;
        assert_eq!(issuer.asked("/token"), 0);
        // Whoever has begun nothing counts nothing: a page elsewhere can send anybody there.
        forget_failures(&app).await;
        for _ in 0..25 {
            assert_eq!(Browser::new(&app).get("/console/login/company/back?error=x&state=y").await.status, 403);
        }
        assert_eq!(desk(&app, "SELECT count(*) FROM login_failures").await, ["0"]);
    }
}

#[tokio::test]
async fn keys_rotate_and_unknown_ones_lead_to_one_look_a_minute() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    assert_eq!(issuer.log_in(&mut Browser::new(&app), olga(&["desk"])).await.status, 303);
    assert_eq!(issuer.asked("/jwks"), 1);
    {
        let mut behaviour = issuer.behave();
        (behaviour.key, behaviour.kid) = (Key::es256(), "two".into());
    }
    assert_eq!(issuer.log_in(&mut Browser::new(&app), olga(&["desk"])).await.status, 303, "the new key is looked for");
    assert_eq!(issuer.asked("/jwks"), 2);
    assert_eq!(issuer.log_in(&mut Browser::new(&app), olga(&["desk"])).await.status, 303, "and known");
    issuer.behave().kid = "three".into();
    for _ in 0..5 {
        assert_eq!(issuer.log_in(&mut Browser::new(&app), olga(&["desk"])).await.status, 403);
    }
    assert_eq!(issuer.asked("/jwks"), 2, "not for every token that names an unknown one");
}

#[tokio::test]
async fn guessed_codes_lock_their_address() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    assert_locks(&app, &issuer, |back| back.replace("code-", "guess-")).await;
    assert!(issuer.asked("/token") <= 21);
}

#[tokio::test]
async fn a_provider_that_is_away_is_said_to_be_and_local_accounts_go_on() {
    let issuer = Issuer::start().await;
    let config = issuer.config("", "");
    let app = TestApp::start(&config).await;
    drop(Browser::admin(&app).await);
    let mut browser = Browser::new(&app);
    let back = issuer.begin(&mut browser, olga(&["desk"])).await;
    for (what, spoil) in [
        ("a proxy's page", (|of: &mut Behaviour| of.status = Some(("/token", 502))) as fn(&mut Behaviour)),
        ("no JSON", |of| of.status = Some(("/token", 200))),
        ("a flood", |of| of.flood = Some(("/token", 20_000_000))),
    ] {
        issuer.behave().status = None;
        spoil(&mut issuer.behave());
        let kept = browser.cookies.clone();
        let answer = browser.get(&back).await;
        assert!(answer.status == 503 && answer.text().contains(AWAY), "{what}: {}", answer.text());
        browser.cookies = kept;
    }
    assert!(reasons(&app).await.is_empty(), "that is nobody's fault");
    drop(issuer);
    assert_eq!(browser.get(&back).await.status, 503, "nobody listens");
    // After a restart nothing is known of it.
    let (dir, _) = app.stop().await;
    let app = TestApp::start_in(dir, &config).await;
    let mut browser = Browser::new(&app);
    let began = Instant::now();
    let page = browser.get("/console/login/company?back=/console/rules").await;
    assert!(page.status == 503 && page.text().contains(AWAY) && page.text().contains("type=\"password\""), "{}", page.text());
    let local = browser.log_in("admin", PASSWORD).await;
    assert_eq!((local.status.as_u16(), local.header("location")), (303, "/console"));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn documents_that_cannot_be_the_providers_are_not_followed() {
    for (what, spoil) in [
        (
            "another issuer",
            (|of: &mut Behaviour| of.document = Box::new(|document| document["issuer"] = json!("https://evil.example")))
                as fn(&mut Behaviour),
        ),
        ("a script", |of| of.document = Box::new(|document| document["end_session_endpoint"] = json!("javascript:alert(1)"))),
        ("a file", |of| of.document = Box::new(|document| document["authorization_endpoint"] = json!("file:///etc/passwd"))),
        ("no keys", |of| of.status = Some(("/jwks", 500))),
        ("a redirect", |of| of.status = Some(("/.well-known/openid-configuration", 302))),
        ("a flood", |of| of.flood = Some(("/.well-known/openid-configuration", 20_000_000))),
        ("a flood of keys", |of| of.flood = Some(("/jwks", 20_000_000))),
    ] {
        let issuer = Issuer::start().await;
        let app = TestApp::start(&issuer.config("", "")).await;
        spoil(&mut issuer.behave());
        let answer = Browser::new(&app).get("/console/login/company").await;
        assert!(answer.status == 503 && answer.text().contains(AWAY), "{what}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_slow_provider_holds_nobody_up() {
    let issuer = Issuer::start().await;
    let app = TestApp::start(&issuer.config("", "")).await;
    drop(Browser::admin(&app).await);
    issuer.behave().delay = Duration::from_secs(30);
    let began = Instant::now();
    let many =
        futures_util::future::join_all((0..40).map(async |_| Browser::new(&app).get("/console/login/company").await.status));
    let others = async {
        // Meanwhile: pages, local log-ins and quotes.
        let before = Instant::now();
        let mut local = Browser::new(&app);
        assert_eq!(local.log_in("admin", PASSWORD).await.status, 303);
        assert_eq!(local.get("/console").await.status, 200);
        let quote = crate::quotes::quote_at("q1", OffsetDateTime::now_utc(), 1);
        assert_eq!(app.check(&quote).await.expect("answers").status, 200);
        before.elapsed()
    };
    let (statuses, took) = futures_util::future::join(many, others).await;
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(took < Duration::from_secs(4), "{took:?}");
}
