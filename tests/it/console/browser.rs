//! A browser without scripts: it keeps cookies, reads forms, and follows nothing by itself.

use std::collections::BTreeMap;

use axum::http::Request;
use axum::http::header::{COOKIE, SET_COOKIE};
use form_urlencoded::Serializer;
use serde_json::{Value, json};
use sqlx::Row;
use time::{Duration, OffsetDateTime};

use crate::app::{Answer, TestApp, connect, eventually};
use crate::quotes::{instant, quote_at};

pub const PASSWORD: &str = "correct horse battery";

pub struct Browser<'a> {
    pub app: &'a TestApp,
    pub cookies: BTreeMap<String, String>,
    /// Of the last page that had a form.
    pub csrf: String,
    /// Sent with every request.
    pub headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }
}

impl<'a> Browser<'a> {
    pub fn new(app: &'a TestApp) -> Browser<'a> {
        Browser { app, cookies: BTreeMap::new(), csrf: String::new(), headers: Vec::new() }
    }

    /// The first administrator, past the change of the first password.
    pub async fn admin(app: &'a TestApp) -> Browser<'a> {
        let mut browser = Browser::new(app);
        browser.log_in("admin", first_password(app).trim()).await;
        browser.change_password(first_password(app).trim()).await;
        browser
    }

    /// A new account of this role, logged in with [`PASSWORD`].
    pub async fn person(admin: &mut Browser<'a>, name: &str, role: &str, tenant: &str) -> Browser<'a> {
        admin.get("/console/accounts").await;
        let page = admin.post("/console/accounts", &[("name", name), ("role", role), ("tenant", tenant)]).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let first = between(&page.text(), "<output>", "</output>").to_owned();
        let mut browser = Browser::new(admin.app);
        browser.log_in(name, &first).await;
        browser.change_password(&first).await;
        browser
    }

    pub async fn log_in(&mut self, name: &str, password: &str) -> Answer {
        self.get("/console/login").await;
        self.post("/console/login", &[("name", name), ("password", password)]).await
    }

    async fn change_password(&mut self, first: &str) {
        let page = self.get("/console").await;
        assert_eq!(
            (page.status.as_u16(), page.header("location")),
            (303, "/console/password"),
            "the first password must be changed"
        );
        self.get("/console/password").await;
        let done = self.post("/console/password", &[("now", first), ("new", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!((done.status.as_u16(), done.header("location")), (303, "/console?done=password"));
        assert_eq!(self.get("/console").await.status, 200);
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let request = Request::get(self.app.url(path));
        let answer = self.send(request, String::new()).await;
        let page = String::from_utf8_lossy(&answer.body);
        if page.contains("name=\"csrf\"") {
            self.csrf = between(&page, "name=\"csrf\" value=\"", "\"").to_owned();
        }
        answer
    }

    /// A form with the token of the last page.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf.clone();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend(fields);
        self.post_as_is(path, &all).await
    }

    pub async fn post_as_is(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::post(self.app.url(path)).header("content-type", "application/x-www-form-urlencoded");
        self.send(request, body).await
    }

    async fn send(&mut self, mut request: axum::http::request::Builder, body: String) -> Answer {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request = request.header(COOKIE, cookies.join("; "));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let answer = self.app.send(request.body(body.into()).expect("a request")).await.expect("answers");
        for set in answer.headers.get_all(SET_COOKIE) {
            let (name, rest) = set.to_str().expect("text").split_once('=').expect("a pair");
            let value = rest.split(';').next().expect("a value");
            match rest.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// The whole text of a page that must be there.
    pub async fn page(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }
}

pub const CONFIG: &str = "[console]\nfirst_password_file = 'first-password'\n";

pub fn first_password(app: &TestApp) -> String {
    std::fs::read_to_string(app.dir.path().join("first-password")).expect("written")
}

/// The first text between two others.
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let from = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len();
    let to = text[from..].find(after).unwrap_or_else(|| panic!("no {after} after {before}"));
    &text[from..from + to]
}

/// Sends the forms of somebody who changes facts until the price falls; gives the referral when it is on the desk.
pub async fn plant(app: &TestApp, person: u64, tenant: &str) -> String {
    plant_with(app, person, tenant, |_| {}).await
}

/// As [`plant`], with something else in each form.
pub async fn plant_with(app: &TestApp, person: u64, tenant: &str, change: impl Fn(&mut Value)) -> String {
    let now = OffsetDateTime::now_utc() - Duration::minutes(6);
    let mut referral = None;
    for i in 0..6 {
        let mut quote = quote_at(&format!("p{person}-{i}"), now, person);
        quote["tenant"] = json!(tenant);
        // The service's clock is the arrival: quotes seconds apart are not late.
        quote["submitted_at"] = json!(instant(OffsetDateTime::now_utc()));
        quote["premium"] = json!(20_000 - i * 2_000);
        if i > 0 {
            quote["vehicle"]["vin"] = json!(format!("XTA219010K{:07}", 1_000_003 * i + i64::try_from(person).expect("small")));
            quote["policyholder"]["birth_date"] = json!(format!("1970-01-{:02}", i));
        }
        change(&mut quote);
        let answer = app.check(&quote).await.expect("answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        referral = answer.json()["referral_id"].as_str().map(str::to_owned).or(referral);
    }
    let referral = referral.expect("six versions of the facts are referred");
    let path = format!("/v1/referrals/{referral}?tenant={tenant}");
    // All forms have to be there, not the first referral alone.
    let desk = app.dir.path().join("quoteguard-desk.db");
    eventually("the case is on the desk", async || {
        let rows =
            sqlx::query("SELECT count(*) FROM case_quotes q JOIN forms f ON f.quote_id = q.quote_id WHERE q.referral_id = $1")
                .bind(&referral)
                .fetch_one(&mut connect(&desk).await)
                .await;
        rows.is_ok_and(|row| row.get::<i64, _>(0) >= 6) && app.get(&path).await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    referral
}

/// One column of the desk's database, texts or whole numbers, as text.
pub async fn desk(app: &TestApp, sql: &'static str) -> Vec<String> {
    let file = app.dir.path().join("quoteguard-desk.db");
    let rows = sqlx::query(sql).fetch_all(&mut connect(&file).await).await.expect("reads");
    let text = |row: &sqlx::sqlite::SqliteRow| row.try_get(0).unwrap_or_else(|_| row.get::<i64, _>(0).to_string());
    rows.iter().map(text).collect()
}
