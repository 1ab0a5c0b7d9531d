//! Logging in, sessions, forged forms, lock-out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use sqlx::Row;

use super::browser::{Browser, CONFIG, PASSWORD, between, desk, first_password};
use crate::app::{BINARY, TestApp, connect};

const SESSION: &str = "__Host-quoteguard-session";

#[tokio::test]
async fn the_first_password_is_told_once_and_opens_nothing_but_its_change() {
    let app = TestApp::start(CONFIG).await;
    let first = first_password(&app);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(app.dir.path().join("first-password")).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let mut browser = Browser::new(&app);
    let welcome = browser.log_in("ADMIN", first.trim()).await;
    assert_eq!((welcome.status.as_u16(), welcome.header("location")), (303, "/console/password"));
    for path in ["/console", "/console/referrals", "/console/audit"] {
        assert_eq!(browser.get(path).await.header("location"), "/console/password");
    }
    browser.get("/console/password").await;
    for (now, new, again) in [
        ("wrong", PASSWORD, PASSWORD),
        (first.trim(), "short", "short"),
        (first.trim(), PASSWORD, "another one indeed"),
        (first.trim(), first.trim(), first.trim()),
    ] {
        assert_eq!(browser.post("/console/password", &[("now", now), ("new", new), ("again", again)]).await.status, 422, "{new}");
    }
    let before = browser.cookies[SESSION].clone();
    let done = browser.post("/console/password", &[("now", first.trim()), ("new", PASSWORD), ("again", PASSWORD)]).await;
    assert_eq!(done.header("location"), "/console?done=password");
    assert_ne!(browser.cookies[SESSION], before, "another session");
    assert_eq!(browser.get("/console").await.status, 200);

    let dir = app.kill().await;
    std::fs::remove_file(dir.path().join("first-password")).expect("removed");
    let (_, _, said) = {
        let app = TestApp::start_in(dir, CONFIG).await;
        let mut again = Browser::new(&app);
        assert_eq!(again.log_in("admin", first.trim()).await.status, 401, "the first password is gone");
        assert_eq!(again.log_in("admin", PASSWORD).await.status, 303);
        assert!(!app.dir.path().join("first-password").exists(), "there is an account");
        app.terminate();
        app.wait_and_hear().await
    };
    assert!(!said.contains(PASSWORD) && !said.contains("Password"), "{said}");
}

#[tokio::test]
async fn without_a_file_it_is_told_on_stderr_and_not_in_the_log() {
    let app = TestApp::start("").await;
    app.terminate();
    let (_, _, said) = app.wait_and_hear().await;
    let told: Vec<&str> = said.lines().filter(|line| line.contains("Password, told this once")).collect();
    assert_eq!(told.len(), 1, "{said}");
    let password = told[0].rsplit(' ').next().expect("a word");
    assert_eq!(password.len(), 23, "{password}");
    assert!(said.lines().filter(|line| line.starts_with('{')).all(|line| !line.contains(password)), "no record of the log");
}

#[tokio::test]
async fn the_database_knows_the_hash_of_a_session_alone() {
    let app = TestApp::start(CONFIG).await;
    let browser = Browser::admin(&app).await;
    let secret = URL_SAFE_NO_PAD.decode(&browser.cookies[SESSION]).expect("base64");
    assert_eq!(secret.len(), 32);
    let hash: String = Sha256::digest(&secret).iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(desk(&app, "SELECT hex(hash) FROM sessions").await, [hash], "one session, and not its secret");
}

#[tokio::test]
async fn unknown_and_known_names_are_refused_and_locked_alike() {
    let app = TestApp::start(CONFIG).await;
    let admin = Browser::admin(&app).await;
    drop(admin);
    let mut told = Vec::new();
    for name in ["admin", "nobody"] {
        let mut browser = Browser::new(&app);
        let mut statuses = Vec::new();
        for _ in 0..7 {
            let answer = browser.log_in(name, "a wrong password").await;
            statuses.push(answer.status.as_u16());
            if answer.status == 429 {
                assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|secs| secs >= 1));
            }
            let csrf = browser.csrf.clone();
            told.push(answer.text().replace(name, "NAME").replace(&csrf, "CSRF"));
        }
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429], "{name}");
    }
    let (known, unknown) = told.split_at(7);
    assert_eq!(known, unknown, "the answer tells nothing");
    // The lock holds for a second: a slow machine would see it end.
    let file = app.dir.path().join("quoteguard-desk.db");
    let longer = "UPDATE login_failures SET locked_until = locked_until + 600000000 WHERE locked_until > 0";
    sqlx::query(longer).execute(&mut connect(&file).await).await.expect("written");
    let mut right = Browser::new(&app);
    assert_eq!(right.log_in("admin", PASSWORD).await.status, 429, "nor does the right password while it is locked");
    let refused = desk(&app, "SELECT subject FROM audit WHERE action = 'session.refused' ORDER BY seq").await;
    assert_eq!(refused.iter().filter(|subject| *subject == "admin").count(), 5);
    assert!(!refused.contains(&"nobody".to_owned()), "what was typed may be a password");

    // Time passes: the lock has ended, and the next failure locks for twice as long.
    let sql = "UPDATE login_failures SET locked_until = 0";
    sqlx::query(sql).execute(&mut connect(&file).await).await.expect("written");
    let mut browser = Browser::new(&app);
    assert_eq!(browser.log_in("admin", "a wrong password").await.status, 401);
    let longest = "SELECT max(locked_until - last_at) / 1000000 FROM login_failures WHERE key LIKE 'name:%'";
    let row = sqlx::query(longest).fetch_one(&mut connect(&file).await).await.expect("read");
    assert_eq!(row.get::<i64, _>(0), 2);
    sqlx::query(sql).execute(&mut connect(&file).await).await.expect("written");
    assert_eq!(browser.log_in("admin", PASSWORD).await.status, 303);
}

#[tokio::test]
async fn guesses_sent_all_at_once_are_counted_one_by_one() {
    let app = TestApp::start(CONFIG).await;
    drop(Browser::admin(&app).await);
    let guess = async || Browser::new(&app).log_in("admin", "a wrong password").await.status.as_u16();
    let statuses = futures_util::future::join_all((0..24).map(|_| guess())).await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5, "{statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn forged_forms_do_nothing() {
    let app = TestApp::start(CONFIG).await;
    let mut admin = Browser::admin(&app).await;
    let mut other = Browser::person(&mut admin, "olga", "admin", "").await;
    other.get("/console/accounts").await;
    admin.get("/console/accounts").await;
    let fields = [("name", "mallory"), ("role", "admin")];
    let foreign = other.csrf.clone();
    for csrf in ["", "AAAA", foreign.as_str()] {
        let mut all = vec![("csrf", csrf)];
        all.extend(fields);
        let answer = admin.post_as_is("/console/accounts", &all).await;
        assert_eq!(answer.status, 403, "{csrf}");
    }
    assert_eq!(admin.post_as_is("/console/accounts", &fields).await.status, 403, "no token");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        admin.headers = vec![(name, value.to_owned())];
        assert_eq!(admin.post("/console/accounts", &fields).await.status, 403, "{name}: {value}");
    }
    admin.headers = vec![("sec-fetch-site", "cross-site".to_owned())];
    assert_eq!(admin.get("/console/accounts").await.status, 200, "a link from elsewhere opens a page");
    admin.headers.clear();
    assert_eq!(desk(&app, "SELECT count(*) FROM accounts WHERE name = 'mallory'").await, ["0"]);
    assert_eq!(admin.post("/console/accounts", &fields).await.status, 200, "the real form");
    let get = admin.get("/console/logout").await;
    assert_eq!(get.status, 405, "a link does nothing");
}

#[tokio::test]
async fn nobody_is_logged_in_by_a_page_elsewhere() {
    let app = TestApp::start(CONFIG).await;
    drop(Browser::admin(&app).await);
    let mut victim = Browser::new(&app);
    let fields = [("name", "admin"), ("password", PASSWORD)];
    assert_eq!(victim.post_as_is("/console/login", &fields).await.status, 403, "no form was asked for");
    let mut attacker = Browser::new(&app);
    attacker.get("/console/login").await;
    victim.csrf = attacker.csrf.clone();
    assert_eq!(victim.post("/console/login", &fields).await.status, 403, "the form of another browser");
    victim.get("/console/login").await;
    victim.headers = vec![("origin", "https://evil.example".into())];
    assert_eq!(victim.post("/console/login", &fields).await.status, 403);
    assert!(!victim.cookies.contains_key(SESSION));
}

#[tokio::test]
async fn sessions_end_when_they_are_told_to_and_when_their_time_is_over() {
    let app = TestApp::start(CONFIG).await;
    let mut one = Browser::admin(&app).await;
    let mut two = Browser::new(&app);
    two.log_in("admin", PASSWORD).await;
    let old = one.cookies.clone();
    one.get("/console").await;
    assert_eq!(one.post("/console/logout", &[]).await.header("location"), "/console/login");
    assert!(!one.cookies.contains_key(SESSION));
    one.cookies = old;
    assert_eq!(one.get("/console").await.header("location"), "/console/login", "the cookie opens nothing any more");
    assert_eq!(two.get("/console").await.status, 200, "the other one goes on");
    one.log_in("admin", PASSWORD).await;
    two.get("/console").await;
    two.post("/console/logout", &[("everywhere", "1")]).await;
    assert_eq!(one.get("/console/audit").await.header("location"), "/console/login?back=/console/audit");

    let file = app.dir.path().join("quoteguard-desk.db");
    for sql in ["UPDATE sessions SET seen_at = seen_at - 3600000000", "UPDATE sessions SET expires_at = 1"] {
        one.log_in("admin", PASSWORD).await;
        assert_eq!(one.get("/console").await.status, 200);
        sqlx::query(sql).execute(&mut connect(&file).await).await.expect("written");
        let posted = one.post("/console/logout", &[("everywhere", "1")]).await;
        assert_eq!((posted.status.as_u16(), posted.header("location")), (303, "/console/login?ended"), "{sql}");
        one.headers = vec![("hx-request", "true".into())];
        let fragment = one.get("/console/live/overview").await;
        assert_eq!((fragment.status.as_u16(), fragment.header("hx-redirect")), (401, "/console/login?ended"));
        one.headers.clear();
    }
}

#[tokio::test]
async fn a_change_of_an_account_ends_its_sessions_and_an_administrator_stays() {
    let app = TestApp::start(CONFIG).await;
    let mut admin = Browser::admin(&app).await;
    let mut olga = Browser::person(&mut admin, "olga", "underwriter", "").await;
    admin.get("/console/accounts").await;
    admin.post("/console/accounts/olga", &[("do", "role"), ("role", "auditor")]).await;
    assert_eq!(olga.get("/console").await.status, 303, "her session has ended");
    assert_eq!(olga.log_in("olga", PASSWORD).await.status, 303);
    assert!(olga.page("/console").await.contains("auditor"));
    admin.post("/console/accounts/olga", &[("do", "disable")]).await;
    assert_eq!(olga.get("/console").await.status, 303);
    assert_eq!(olga.log_in("olga", PASSWORD).await.status, 401);
    for fields in [&[("do", "disable")][..], &[("do", "role"), ("role", "analyst")]] {
        let answer = admin.post("/console/accounts/admin", fields).await;
        assert_eq!(answer.status, 422, "{fields:?}");
    }
    for name in ["a", "Ol ga", "o/lga", "<b>", "a'--", &"x".repeat(65)] {
        assert_eq!(admin.post("/console/accounts", &[("name", name), ("role", "analyst")]).await.status, 422, "{name}");
    }
    assert_eq!(admin.post("/console/accounts", &[("name", "olga"), ("role", "analyst")]).await.status, 422, "the name is taken");
}

/// A command of the binary in the folder of a service: whether it succeeded, stdout, stderr.
async fn run(app: &TestApp, args: &[&str]) -> (bool, String, String) {
    let mut command = tokio::process::Command::new(BINARY);
    command.args(args).args(["--config", "quoteguard.toml"]).current_dir(app.dir.path());
    let output = command.output().await.expect("runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn who_has_the_machine_lets_a_locked_out_administrator_in_again() {
    let app = TestApp::start(CONFIG).await;
    let mut admin = Browser::admin(&app).await;
    for _ in 0..6 {
        Browser::new(&app).log_in("admin", "a wrong password").await;
    }
    assert_eq!(Browser::new(&app).log_in("admin", PASSWORD).await.status, 429);
    let (done, password, said) = run(&app, &["accounts", "reset", "Admin", "--data", "quoteguard.db"]).await;
    assert!(done && said.contains("shown this once") && !said.contains(password.trim()), "{said}");
    assert_eq!(admin.get("/console/audit").await.status, 303, "its sessions have ended");
    assert_eq!(Browser::new(&app).log_in("admin", PASSWORD).await.status, 401, "the old password is gone");
    let mut again = Browser::new(&app);
    let welcome = again.log_in("admin", password.trim()).await;
    assert_eq!((welcome.status.as_u16(), welcome.header("location")), (303, "/console/password"));
    let reset = desk(&app, "SELECT subject FROM audit WHERE action = 'account.password_reset' AND actor LIKE 'cli%'").await;
    assert_eq!(reset, ["admin"]);
    let (done, _, said) = run(&app, &["accounts", "reset", "nobody", "--data", "quoteguard.db"]).await;
    assert!(!done && said.contains("there is no account nobody"), "{said}");
}

#[tokio::test]
async fn a_head_that_was_noted_tells_that_the_end_of_the_audit_was_cut() {
    let app = TestApp::start(CONFIG).await;
    drop(Browser::admin(&app).await);
    let verify = async |more: &[&str]| run(&app, &[&["audit", "verify", "--data", "quoteguard.db"][..], more].concat()).await;
    let (whole, said, _) = verify(&[]).await;
    assert!(whole && said.contains("whoever can write to the database can write them anew"), "{said}");
    let head = between(&said, "the last hash is ", "\n").to_owned();
    let (hash, _) = head.split_once('@').expect("a number");
    for noted in [head.as_str(), hash] {
        let (whole, said, _) = verify(&["--head", noted]).await;
        assert!(whole, "{said}");
    }
    let (done, _, said) = verify(&["--head", "nonsense"]).await;
    assert!(!done && said.contains("64 hex digits"), "{said}");
    // The last entry is taken away as if it had never been.
    let file = app.dir.path().join("quoteguard-desk.db");
    for sql in [
        "UPDATE audit_head SET seq = seq - 1, hash = (SELECT prev FROM audit ORDER BY seq DESC LIMIT 1)",
        "DELETE FROM audit WHERE seq > (SELECT seq FROM audit_head)",
    ] {
        sqlx::query(sql).execute(&mut connect(&file).await).await.expect("written");
    }
    assert!(verify(&[]).await.0, "by itself the chain is whole");
    let (whole, said, _) = verify(&["--head", &head]).await;
    assert!(!whole && said.contains("the head that was noted is not in the chain"), "{said}");
}

#[tokio::test]
async fn pages_are_hardened_and_assets_kept() {
    let app = TestApp::start(CONFIG).await;
    let mut browser = Browser::new(&app);
    let page = browser.get("/console/login").await;
    let policy = page.header("content-security-policy").to_owned();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    let text = page.text();
    assert!(
        !text.contains(" style=") && !text.contains("<style") && !text.contains("onclick") && !text.contains("<script>"),
        "{text}"
    );
    let cookie = page.headers.get("set-cookie").expect("a visitor").to_str().expect("text").to_owned();
    assert!(
        cookie.starts_with("__Host-")
            && cookie.contains("HttpOnly")
            && cookie.contains("Secure")
            && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    for mark in ["rel=\"stylesheet\" href=\"", "<script src=\""] {
        let asset = browser.get(between(&text, mark, "\"")).await;
        assert_eq!((asset.status.as_u16(), asset.header("cache-control")), (200, "public, max-age=31536000, immutable"));
    }
    assert_eq!(browser.get("/console/assets/0000000000000000/console.css").await.status, 404);
    assert_eq!(browser.get("/console/nowhere").await.status, 303, "to the log-in");
    let mut admin = Browser::admin(&app).await;
    let page = admin.get("/console").await;
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(admin.get("/console/nowhere").await.status, 404);
}

#[tokio::test]
async fn language_and_colours_are_switched_and_kept() {
    let app = TestApp::start(CONFIG).await;
    let mut browser = Browser::new(&app);
    assert!(browser.page("/console/login").await.contains("lang=\"en\" data-theme=\"auto\""));
    browser.headers = vec![("accept-language", "ru-RU,ru;q=0.9".into())];
    assert!(browser.page("/console/login").await.contains("lang=\"ru\""));
    let back = browser.get("/console/switch?language=en&theme=dark&back=/console/login").await;
    assert_eq!((back.status.as_u16(), back.header("location")), (303, "/console/login"));
    assert!(browser.page("/console/login").await.contains("lang=\"en\" data-theme=\"dark\""));
    let away = browser.get("/console/switch?language=xx&theme=pink&back=//evil.example").await;
    assert_eq!((away.header("location"), away.headers.get("set-cookie")), ("/console", None));
}
