//! What every page has around its content.

use askama::Template;
use axum::body::Body;
use axum::http::header::{CONTENT_LANGUAGE, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use form_urlencoded::Serializer;

use super::Console;
use super::access::form::Fields;
use super::access::guard::Ctx;
use super::access::roles::Right;
use super::assets::url;
use super::failure::Failure;
use super::look::{Look, Theme};
use super::texts::Texts;
use crate::pipeline::access::Role;

/// A section of the console and where it is.
pub struct Section {
    pub path: &'static str,
    pub label: &'static str,
    pub is_here: bool,
}

pub struct Frame {
    pub t: &'static Texts,
    pub language: &'static str,
    pub other_language: (&'static str, &'static str),
    pub theme: &'static str,
    pub themes: Vec<(&'static str, &'static str)>,
    pub title: String,
    pub sections: Vec<Section>,
    pub who: String,
    pub role: &'static str,
    pub csrf: String,
    /// Where the switches come back to.
    pub path: String,
    pub zone: String,
    pub flash: Option<Flash>,
    /// It listens to what happens.
    pub is_live: bool,
    pub css: String,
    pub icon: String,
    pub js: [String; 3],
}

/// What the form before has done, or why it did not.
pub struct Flash {
    pub is_bad: bool,
    pub text: String,
}

impl Frame {
    pub fn new(console: &Console, look: Look, ctx: Option<&Ctx>, title: &str, path: &str) -> Frame {
        let t = look.t;
        let tag = t.language().tag();
        Frame {
            t,
            language: tag,
            other_language: if tag == "ru" { ("en", "English") } else { ("ru", "Русский") },
            theme: look.theme.name(),
            themes: Theme::ALL.iter().map(|theme| (theme.name(), theme.label(t))).collect(),
            title: title.to_owned(),
            sections: ctx.map_or_else(Vec::new, |ctx| sections(console, t, ctx, path)),
            who: ctx.map(|ctx| ctx.who.name.clone()).unwrap_or_default(),
            role: ctx.map(|ctx| role(t, ctx.who.role)).unwrap_or_default(),
            csrf: ctx.map(|ctx| ctx.token.csrf()).unwrap_or_default(),
            path: path.to_owned(),
            zone: console.settings.zone.label(),
            flash: None,
            is_live: false,
            css: url("console.css"),
            icon: url("icon.svg"),
            js: ["htmx.min.js", "htmx-sse.min.js", "console.js"].map(url),
        }
    }

    /// Of a page behind the log-in. What a form before has done is told by the query.
    pub fn of(console: &Console, ctx: &Ctx, title: &str, query: &Fields) -> Frame {
        let mut frame = Frame::new(console, ctx.look, Some(ctx), title, &ctx.path);
        frame.flash = query
            .get("done")
            .and_then(|done| done_text(ctx.look.t, done))
            .map(|text| Flash { is_bad: false, text: text.to_owned() });
        frame
    }

    pub fn live(mut self) -> Frame {
        self.is_live = true;
        self
    }

    /// The address of a switch: it comes back to this page.
    pub fn switch(&self, name: &str, value: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair(name, value).append_pair("back", &self.path);
        format!("/console/switch?{}", query.finish())
    }

    pub fn is_in(&self) -> bool {
        !self.who.is_empty()
    }
}

fn sections(console: &Console, t: &Texts, ctx: &Ctx, path: &str) -> Vec<Section> {
    let place = path.split('?').next().unwrap_or_default();
    let all = [
        ("/console", t.overview, Right::Overview),
        ("/console/referrals", t.referrals, Right::Cases),
        ("/console/explore", t.explore, Right::Explore),
        ("/console/rules", t.rules, Right::Rules),
        ("/console/backtests", t.backtests, Right::Backtests),
        ("/console/operations", t.operations, Right::Operations),
        ("/console/audit", t.audit, Right::Audit),
        ("/console/accounts", t.accounts, Right::Accounts),
        ("/console/keys", t.api_keys, Right::ApiKeys),
    ];
    let is_kept = |right: Right| right != Right::Backtests || console.settings.backtests.is_some();
    let seen = all.into_iter().filter(|(_, _, right)| ctx.may(*right) && is_kept(*right));
    let is_here = |path: &str| place == path || path != "/console" && place.starts_with(&format!("{path}/"));
    seen.map(|(path, label, _)| Section { path, label, is_here: is_here(path) }).collect()
}

pub fn role(t: &Texts, role: Role) -> &'static str {
    match role {
        Role::Underwriter => t.role_underwriter,
        Role::Analyst => t.role_analyst,
        Role::Admin => t.role_admin,
        Role::Auditor => t.role_auditor,
    }
}

/// A closed list: the query is anybody's to write.
fn done_text(t: &Texts, done: &str) -> Option<&'static str> {
    Some(match done {
        "ruled" => t.ruled,
        "ruled-slow" => t.ruled_slow,
        "comment" => t.done_comment,
        "assign" => t.done_assign,
        "claim" => t.done_claim,
        "release" => t.done_release,
        "snooze" => t.done_snooze,
        "password" => t.password_changed,
        "no-next" => t.no_next,
        "sessions" => t.sessions_ended,
        "pipeline" => t.done_pipeline,
        "letter-decided" => t.letter_decided,
        "letter-known" => t.letter_known,
        "letter-refused" => t.letter_refused,
        "letter-no-quote" => t.letter_no_quote,
        "letter-busy" => t.letter_busy,
        "letter-held" => t.letter_held,
        "letter-pending" => t.letter_pending,
        "key-revoked" => t.key_revoked,
        _ => return None,
    })
}

#[derive(Template)]
#[template(path = "console/failure.html")]
struct FailurePage {
    frame: Frame,
    text: String,
    back: &'static str,
}

/// A whole page that says what is wrong.
pub fn failure(console: &Console, look: Look, ctx: Option<&Ctx>, failure: &Failure) -> Response<Body> {
    let frame = Frame::new(console, look, ctx, look.t.wrong_title, "/console");
    let page = FailurePage { text: failure.text(look.t), back: "/console", frame };
    let mut response = html(&page, look.t).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    *response.status_mut() = failure.status();
    response
}

/// # Errors
/// None that the values of a page can cause.
pub fn html(page: &impl Template, t: &Texts) -> Result<Response<Body>, Failure> {
    let text = page.render()?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_LANGUAGE, HeaderValue::from_static(t.language().tag())),
    ];
    Ok((headers, text).into_response())
}
