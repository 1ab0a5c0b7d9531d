//! Logging in and out, and one's own password.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use form_urlencoded::Serializer;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::access::cookies::Cookie;
use super::access::form::{Fields, Form, read};
use super::access::guard::{Ctx, own_path, see_other};
use super::access::origin;
use super::access::password::{self, Weak};
use super::access::token::Token;
use super::failure::Failure;
use super::look::{Look, Theme};
use super::page::{Flash, Frame, html};
use super::texts::Texts;
use super::{Console, page};
use crate::http::server::Peer;
use crate::pipeline::access::Account;

/// Failures of one name before it has to wait, and the longest wait.
const NAME_FREE: u32 = 5;
const NAME_LONGEST: Duration = Duration::from_secs(15 * 60);
/// Of one address, which many people may share.
const ADDRESS_FREE: u32 = 20;
const ADDRESS_LONGEST: Duration = Duration::from_secs(15 * 60);
/// How long a switch of language or colours is remembered.
const YEAR_SECS: u64 = 365 * 86_400;

#[derive(Template)]
#[template(path = "console/login.html")]
struct LoginPage {
    frame: Frame,
    back: String,
    name: String,
    has_form: bool,
    /// What the button of the company says, and where it leads.
    company: Option<String>,
    company_path: String,
}

/// What a log-in page is shown for.
pub struct Shown<'t> {
    pub text: Option<&'t str>,
    pub status: StatusCode,
}

pub async fn form(State(console): State<Arc<Console>>, query: Fields, headers: HeaderMap) -> Response<Body> {
    let look = Look::of(&console, &headers);
    let text = query.has("ended").then_some(look.t.log_in_expired);
    shown(&console, look, &headers, &query, Shown { text, status: StatusCode::OK }).await
}

/// The log-in form, bound to a cookie of the browser that asks for it.
pub async fn shown(console: &Console, look: Look, headers: &HeaderMap, fields: &Fields, shown: Shown<'_>) -> Response<Body> {
    let Shown { text, status } = shown;
    let cookies = console.settings.cookies;
    let known = cookies.get(headers, Cookie::Visitor).and_then(Token::parse);
    let is_new = known.is_none();
    let Some(visitor) = known.or_else(Token::new) else { return page::failure(console, look, None, &Failure::Internal) };
    let mut frame = Frame::new(console, look, None, look.t.log_in_title, "/console/login");
    frame.csrf = visitor.csrf();
    frame.flash = text.map(|text| Flash { is_bad: true, text: text.to_owned() });
    let back = own_path(fields.get("back")).to_owned();
    let name = fields.given("name").unwrap_or_default().chars().take(64).collect();
    // While the desk is away the form tells so when it is sent.
    let has_form = console.has_local_log_in().await.unwrap_or(true);
    let company = console.company.as_ref().map(|company| company.label(look));
    let company_path = format!("/console/login/company?{}", Serializer::new(String::new()).append_pair("back", &back).finish());
    let page = LoginPage { frame, back, name, has_form, company, company_path };
    let mut response = html(&page, look.t).unwrap_or_else(|failure| page::failure(console, look, None, &failure));
    if status != StatusCode::OK {
        *response.status_mut() = status;
    }
    if is_new {
        response.headers_mut().append(SET_COOKIE, cookies.set(Cookie::Visitor, &visitor.text(), None));
    }
    response
}

pub async fn log_in(State(console): State<Arc<Console>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let look = Look::of(&console, &parts.headers);
    let fields = match read(body).await {
        Ok(fields) => fields,
        Err(failure) => return page::failure(&console, look, None, &failure),
    };
    let visitor = console.settings.cookies.get(&parts.headers, Cookie::Visitor).and_then(Token::parse);
    // A page elsewhere must not log somebody in as another person either.
    let is_ours = visitor.is_some_and(|visitor| visitor.is_csrf(fields.get("csrf").unwrap_or_default()));
    if !is_ours || !origin::is_own(&parts.headers) {
        return again(&console, look, &parts, &fields, look.t.log_in_form_expired, StatusCode::FORBIDDEN).await;
    }
    let address = console.address(&parts.headers, parts.extensions.get::<Peer>());
    match enter(&console, &fields, &address).await {
        Ok(Entered::In(account)) => match begin(&console, &account, "password").await {
            Ok(Some(token)) => welcome(&console, &account, &token, own_path(fields.get("back"))),
            // The password was changed while it was looked at.
            Ok(None) => again(&console, look, &parts, &fields, look.t.log_in_failed, StatusCode::UNAUTHORIZED).await,
            Err(failure) => page::failure(&console, look, None, &failure),
        },
        Ok(Entered::Off) => again(&console, look, &parts, &fields, look.t.log_in_local_off, StatusCode::FORBIDDEN).await,
        Ok(Entered::Wrong) => again(&console, look, &parts, &fields, look.t.log_in_failed, StatusCode::UNAUTHORIZED).await,
        Ok(Entered::Locked(wait)) => {
            let (text, status) = (look.t.log_in_failed, StatusCode::TOO_MANY_REQUESTS);
            let mut response = again(&console, look, &parts, &fields, text, status).await;
            wait_for(&mut response, wait);
            response
        }
        Err(failure) => page::failure(&console, look, None, &failure),
    }
}

/// The form once more, with what is wrong.
async fn again(console: &Console, look: Look, parts: &Parts, fields: &Fields, text: &str, status: StatusCode) -> Response<Body> {
    shown(console, look, &parts.headers, fields, Shown { text: Some(text), status }).await
}

/// Tells when to come back.
pub fn wait_for(response: &mut Response<Body>, wait: Duration) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
}

/// What failed log-ins of an address are counted by: of IPv6 by its /64, for one client has all of it to come from.
pub fn address_key(address: &str) -> String {
    let ip = address.parse::<IpAddr>().or_else(|_| address.parse::<SocketAddr>().map(|address| address.ip()));
    match ip.map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V6(ip)) => format!("address:{}/64", Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        Ok(ip) => format!("address:{ip}"),
        Err(_) => format!("address:{address}"),
    }
}

/// What failed log-ins with a name are counted by.
pub fn name_key(name: &str) -> String {
    format!("name:{}", hashed(name))
}

/// What failed changes of an account's password are counted by.
pub fn password_key(name: &str) -> String {
    format!("password:{name}")
}

/// Counts a failure of this address.
pub async fn count_address(console: &Console, address: &str) -> Result<(), Failure> {
    Ok(console.access.failed(&address_key(address), ADDRESS_FREE, ADDRESS_LONGEST).await?)
}

/// What was typed may be a password in the wrong box: it is not kept.
fn hashed(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

enum Entered {
    In(Account),
    Wrong,
    Locked(Duration),
    /// Local accounts do not open the console.
    Off,
}

/// The same for a name that there is and one that there is not: the same answer after the same work, locked after the same failures.
async fn enter(console: &Console, fields: &Fields, address: &str) -> Result<Entered, Failure> {
    if !console.has_local_log_in().await? {
        return Ok(Entered::Off);
    }
    let name = fields.given("name").unwrap_or_default().to_lowercase();
    let given = fields.get("password").unwrap_or_default().to_owned();
    let keys = [name_key(&name), address_key(address)];
    // Guesses at one name come one after another: many at once would all pass the count before the first has failed.
    let _turn = console.doors.enter(&keys[0]).await;
    if let Some(wait) = console.access.locked(&keys).await? {
        return Ok(Entered::Locked(wait));
    }
    let account = console.access.account(&name).await?.filter(|account| !account.is_disabled);
    let hash = account.as_ref().and_then(|account| account.password_hash.clone());
    if let (true, Some(account)) = (password::is_right(given, hash).await, account) {
        console.access.succeeded(&keys[0]).await?;
        return Ok(Entered::In(account));
    }
    console.access.failed(&keys[0], NAME_FREE, NAME_LONGEST).await?;
    count_address(console, address).await?;
    // What was typed may be a password in the wrong box: only names of accounts are written down.
    let is_known = console.access.account(&name).await?.is_some();
    let subject = if is_known { name.as_str() } else { "unknown" };
    console.record(subject, "session.refused", subject, json!({"address": address})).await?;
    Ok(Entered::Wrong)
}

/// Opens a session with an id of its own; `None` when the account is not any more what was let in.
pub async fn begin(console: &Console, account: &Account, way: &str) -> Result<Option<Token>, Failure> {
    let token = Token::new().ok_or(Failure::Internal)?;
    let is_open = console.access.open_session(token.hash(), account, console.settings.lifetime, way).await?;
    Ok(is_open.then_some(token))
}

pub fn welcome(console: &Console, account: &Account, token: &Token, back: &str) -> Response<Body> {
    let mut response = see_other(if account.must_change { "/console/password" } else { back });
    let cookies = console.settings.cookies;
    let age = console.settings.lifetime.absolute.as_secs();
    response.headers_mut().append(SET_COOKIE, cookies.set(Cookie::Session, &token.text(), Some(age)));
    response.headers_mut().append(SET_COOKIE, cookies.forget(Cookie::Visitor));
    response
}

pub async fn log_out(State(console): State<Arc<Console>>, ctx: Ctx, form: Form) -> Result<Response<Body>, Failure> {
    let is_everywhere = form.0.has("everywhere");
    console.access.log_out(&ctx.who.name, ctx.token.hash(), is_everywhere).await?;
    // The provider's session goes on: that page says so.
    let is_company = ctx.who.identity.is_some() && console.company.is_some();
    let mut response = see_other(if is_company { "/console/logout/company" } else { "/console/login" });
    let forget = console.settings.cookies.forget(Cookie::Session);
    response.headers_mut().append(SET_COOKIE, forget);
    Ok(response)
}

#[derive(Template)]
#[template(path = "console/password.html")]
struct PasswordPage {
    frame: Frame,
    is_first: bool,
    /// Accounts of the company have none here.
    has_password: bool,
}

pub async fn password_form(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    password_page(&console, &ctx, &query, None)
}

fn password_page(console: &Console, ctx: &Ctx, query: &Fields, wrong: Option<&str>) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let mut frame = Frame::of(console, ctx, t.account, query);
    if let Some(text) = wrong {
        frame.flash = Some(Flash { is_bad: true, text: text.to_owned() });
    }
    let mut response =
        html(&PasswordPage { frame, is_first: ctx.who.must_change, has_password: ctx.who.password_hash.is_some() }, t)?;
    if wrong.is_some() {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

pub async fn change_password(State(console): State<Arc<Console>>, ctx: Ctx, form: Form) -> Result<Response<Body>, Failure> {
    let (t, fields) = (ctx.look.t, &form.0);
    let [now, new, again] = ["now", "new", "again"].map(|name| fields.get(name).unwrap_or_default());
    let key = [password_key(&ctx.who.name)];
    let _turn = console.doors.enter(&key[0]).await;
    let is_locked = console.access.locked(&key).await?.is_some();
    let wrong = if is_locked || !password::is_right(now.to_owned(), ctx.who.password_hash.clone()).await {
        console.access.failed(&key[0], NAME_FREE, NAME_LONGEST).await?;
        Some(t.password_wrong)
    } else if new != again {
        Some(t.password_differs)
    } else {
        password::check(new, &ctx.who.name, now).err().map(|weak| weak_text(t, weak))
    };
    if wrong.is_some() {
        return password_page(&console, &ctx, &Fields::default(), wrong);
    }
    let hash = password::hash(new.to_owned()).await.ok_or(Failure::Internal)?;
    if !console.access.set_password(&ctx.who.name, &hash, false, &ctx.who.name).await? {
        return Err(Failure::BadForm);
    }
    let account = Account { must_change: false, password_hash: Some(hash), ..Account::clone(&ctx.who) };
    // Whoever gave it another one at the same time was last.
    let Some(token) = begin(&console, &account, "password").await? else { return Ok(see_other("/console/login?ended")) };
    Ok(welcome(&console, &account, &token, "/console?done=password"))
}

pub fn weak_text(t: &Texts, weak: Weak) -> &'static str {
    match weak {
        Weak::Short => t.password_short,
        Weak::Long => t.password_long,
        Weak::Plain => t.password_plain,
    }
}

/// The switches of language and colours: links, so that they work for whoever is not logged in yet.
pub async fn switches(State(console): State<Arc<Console>>, query: Fields) -> Response<Body> {
    let mut response = see_other(own_path(query.get("back")));
    let cookies = console.settings.cookies;
    if let Some(language) = query.get("language").filter(|language| ["ru", "en"].contains(language)) {
        response.headers_mut().append(SET_COOKIE, cookies.set(Cookie::Language, language, Some(YEAR_SECS)));
    }
    if let Some(theme) = query.get("theme").and_then(Theme::parse) {
        response.headers_mut().append(SET_COOKIE, cookies.set(Cookie::Theme, theme.name(), Some(YEAR_SECS)));
    }
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_counted_as_one() {
        for (address, expected) in [
            ("192.0.2.7", "address:192.0.2.7"),
            ("192.0.2.7:4711", "address:192.0.2.7"),
            ("::ffff:192.0.2.7", "address:192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::1", "address:2001:db8:1:2::/64"),
            ("[2001:db8:1:2::9]:443", "address:2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "address:2001:db8:1:3::/64"),
            ("unknown", "address:unknown"),
        ] {
            assert_eq!(address_key(address), expected, "{address}");
        }
    }
}
