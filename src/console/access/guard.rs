//! Around every page behind the log-in: who asks, whether they may, whether the form is ours; and a page for what fails.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse;

use super::cookies::Cookie;
use super::origin;
use super::roles::{Right, may};
use super::token::Token;
use crate::console::failure::Failure;
use crate::console::look::Look;
use crate::console::{Console, page};
use crate::pipeline::access::Account;

/// Who asks, and how they want their pages.
#[derive(Clone)]
pub struct Ctx {
    pub who: Arc<Account>,
    pub token: Token,
    pub look: Look,
    /// Path and query.
    pub path: Arc<str>,
}

impl Ctx {
    pub fn may(&self, right: Right) -> bool {
        // These show what all tenants did.
        let is_of_all = matches!(right, Right::Backtests | Right::Operations | Right::Operate | Right::Audit);
        may(self.who.role, right) && !(is_of_all && self.who.tenant.is_some())
    }

    /// Who is bound to a tenant has nothing to do with accounts that are not bound to the same.
    pub fn manages(&self, account: &Account) -> bool {
        self.who.tenant.is_none() || self.who.tenant == account.tenant
    }

    /// The only tenant that the account sees, or the one that it asks for.
    pub fn tenant(&self, asked: Option<&str>) -> Option<String> {
        self.who.tenant.clone().or_else(|| asked.map(str::to_owned))
    }
}

impl<S: Sync> FromRequestParts<S> for Ctx {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Ctx, StatusCode> {
        // Only a route that was left without its guard.
        parts.extensions.get::<Ctx>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A request that the page makes by itself: it does not keep a session alive.
const BY_ITSELF: [&str; 2] = ["/console/live", "/console/events"];

pub async fn guard(State((console, right)): State<(Arc<Console>, Right)>, mut request: Request, next: Next) -> Response<Body> {
    let look = Look::of(&console, request.headers());
    let path: Arc<str> = request.uri().path_and_query().map_or("/console", |path| path.as_str()).into();
    let ctx = match session(&console, request.headers(), look, path).await {
        Ok(Some(ctx)) => ctx,
        Ok(None) => return to_login(request.method(), request.headers(), request.uri().path()),
        Err(failure) => return page::failure(&console, look, None, &failure),
    };
    if ctx.who.must_change && right != Right::Own {
        return see_other("/console/password");
    }
    let refused = if !ctx.may(right) {
        Some(Failure::NotAllowed)
    } else if request.method() != Method::GET && request.method() != Method::HEAD && !origin::is_own(request.headers()) {
        Some(Failure::Forged)
    } else {
        None
    };
    if let Some(failure) = refused {
        return page::failure(&console, look, Some(&ctx), &failure);
    }
    request.extensions_mut().insert(ctx.clone());
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() {
        response = page::failure(&console, look, Some(&ctx), &failure);
    }
    // What a person may see must not be kept where another one looks.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn session(console: &Console, headers: &HeaderMap, look: Look, path: Arc<str>) -> Result<Option<Ctx>, Failure> {
    let cookie = console.settings.cookies.get(headers, Cookie::Session);
    let Some(token) = cookie.and_then(Token::parse) else { return Ok(None) };
    let is_used = !BY_ITSELF.iter().any(|prefix| path.starts_with(prefix));
    let session = console.access.session(token.hash(), console.settings.lifetime.idle, is_used).await?;
    let Some(session) = session else { return Ok(None) };
    if session.account.identity.is_none() && !console.has_local_log_in().await? {
        return Ok(None);
    }
    Ok(Some(Ctx { who: Arc::new(session.account), token, look, path }))
}

/// A page leads to the log-in; what a script asks for is told so.
fn to_login(method: &Method, headers: &HeaderMap, path: &str) -> Response<Body> {
    if headers.contains_key("hx-request") || path == "/console/events" {
        return (StatusCode::UNAUTHORIZED, [("hx-redirect", "/console/login?ended")]).into_response();
    }
    let is_page = method == Method::GET && path != "/console";
    let back = if is_page { format!("?back={path}") } else { String::new() };
    let ended = if method == Method::GET { "" } else { "?ended" };
    see_other(&format!("/console/login{back}{ended}"))
}

/// The answer to a form that was taken: the browser asks for this page next, and a reload repeats nothing.
pub fn see_other(path: &str) -> Response<Body> {
    let location = HeaderValue::try_from(path).unwrap_or_else(|_| HeaderValue::from_static("/console"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// A path of the console that a form or link wants to go back to; nothing else is followed.
pub fn own_path(path: Option<&str>) -> &str {
    let is_own = |path: &&str| {
        let is_console = *path == "/console" || path.starts_with("/console/") || path.starts_with("/console?");
        is_console && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'"')
    };
    path.filter(is_own).unwrap_or("/console")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_are_gone_back_to() {
        for (path, expected) in [
            (None, "/console"),
            (Some("/console/referrals?status=open"), "/console/referrals?status=open"),
            (Some("/console?x"), "/console?x"),
            (Some("//evil.example"), "/console"),
            (Some("/consoles"), "/console"),
            (Some("https://evil.example/console/"), "/console"),
            (Some("/console/\\evil"), "/console"),
            (Some("/console/a b"), "/console"),
            (Some("/console/\r\nx: y"), "/console"),
        ] {
            assert_eq!(own_path(path), expected, "{path:?}");
        }
    }
}
