//! Who may log in, as what, for which tenant.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};

use super::Console;
use super::access::form::{Fields, Form};
use super::access::guard::{Ctx, see_other};
use super::access::password;
use super::failure::Failure;
use super::page::{Flash, Frame, html, role};
use crate::engine::limits::TENANT_CHARS_MAX;
use crate::pipeline::access::{Account, NewAccount, Role};

#[derive(Template)]
#[template(path = "console/accounts.html")]
struct AccountsView {
    frame: Frame,
    accounts: Vec<Line>,
    roles: Vec<(&'static str, &'static str)>,
    /// Name and password, shown this once.
    fresh: Option<(String, String)>,
    /// Accounts with a password can be used.
    has_local: bool,
}

struct Line {
    name: String,
    role: &'static str,
    tenant: String,
    is_disabled: bool,
    has_password: bool,
    /// Its role and tenant are the provider's to say.
    is_company: bool,
    role_text: &'static str,
    last_login: String,
    is_self: bool,
}

pub async fn list(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    page(&console, &ctx, &query, None, None).await
}

async fn page(
    console: &Console,
    ctx: &Ctx,
    query: &Fields,
    wrong: Option<&str>,
    fresh: Option<(String, String)>,
) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let mut frame = Frame::of(console, ctx, t.accounts, query);
    frame.path = "/console/accounts".to_owned();
    if let Some(text) = wrong {
        frame.flash = Some(Flash { is_bad: true, text: text.to_owned() });
    }
    let accounts = console.access.accounts().await?;
    let line = |account: &Account| Line {
        name: account.name.clone(),
        role: account.role.name(),
        tenant: account.tenant.clone().unwrap_or_default(),
        is_disabled: account.is_disabled,
        has_password: account.password_hash.is_some(),
        is_company: account.identity.is_some(),
        role_text: role(t, account.role),
        last_login: account.last_login_at.map_or_else(|| t.never.to_owned(), |at| console.settings.zone.moment(t, at)),
        is_self: account.name == ctx.who.name,
    };
    let view = AccountsView {
        accounts: accounts.iter().filter(|account| ctx.manages(account)).map(line).collect(),
        roles: Role::ALL.iter().map(|of| (of.name(), role(t, *of))).collect(),
        fresh,
        has_local: console.has_local_log_in().await?,
        frame,
    };
    let mut response = html(&view, t)?;
    if wrong.is_some() {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

pub fn is_name(name: &str) -> bool {
    (2..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@-".contains(&b))
}

/// The tenant of the form; an administrator of one tenant gives no other.
fn tenant(ctx: &Ctx, form: &Fields) -> Result<Option<String>, Failure> {
    let tenant = ctx.tenant(form.given("tenant"));
    if tenant.as_ref().is_some_and(|tenant| tenant.chars().count() > TENANT_CHARS_MAX) {
        Err(Failure::BadForm)
    } else {
        Ok(tenant)
    }
}

pub async fn add(State(console): State<Arc<Console>>, ctx: Ctx, form: Form) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let name = form.0.given("name").unwrap_or_default().to_lowercase();
    let role = form.0.given("role").and_then(Role::parse).ok_or(Failure::BadForm)?;
    let tenant = tenant(&ctx, &form.0)?;
    if !console.has_local_log_in().await? {
        return page(&console, &ctx, &Fields::default(), Some(t.log_in_local_off), None).await;
    }
    if !is_name(&name) {
        return page(&console, &ctx, &Fields::default(), Some(t.account_bad_name), None).await;
    }
    let (password, hash) = fresh_password().await?;
    let account = NewAccount { name: name.clone(), role, tenant, password_hash: Some(hash), must_change: true };
    if !console.access.create(account, &ctx.who.name).await? {
        return page(&console, &ctx, &Fields::default(), Some(t.account_exists), None).await;
    }
    page(&console, &ctx, &Fields::default(), None, Some((name, password))).await
}

/// A password that has to be changed, and its hash.
pub async fn fresh_password() -> Result<(String, String), Failure> {
    let password = password::generate().ok_or(Failure::Internal)?;
    let hash = password::hash(password.clone()).await.ok_or(Failure::Internal)?;
    Ok((password, hash))
}

/// Role and tenant, active or not, a new password. Whatever changes, the sessions of the account end.
pub async fn change(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let before = console.access.account(&name).await?.filter(|account| ctx.manages(account)).ok_or(Failure::NotFound)?;
    let by = ctx.who.name.as_str();
    let mut fresh = None;
    let is_done = match form.0.given("do") {
        // The provider would say otherwise at the next log-in, and no password opens what is the company's.
        Some("role" | "password") if before.identity.is_some() => return Err(Failure::BadForm),
        Some("role") => {
            let role = form.0.given("role").and_then(Role::parse).ok_or(Failure::BadForm)?;
            console.access.set_role(&name, role, tenant(&ctx, &form.0)?.as_deref(), by).await?
        }
        Some("disable") => console.access.set_disabled(&name, true, by).await?,
        Some("enable") => console.access.set_disabled(&name, false, by).await?,
        // One's own is changed on the profile: here it would end the session before it was read.
        Some("password") if name != by => {
            let (password, hash) = fresh_password().await?;
            fresh = Some((name.clone(), password));
            console.access.set_password(&name, &hash, true, by).await?
        }
        _ => return Err(Failure::BadForm),
    };
    if !is_done {
        return page(&console, &ctx, &Fields::default(), Some(t.account_last_admin), None).await;
    }
    match fresh {
        Some(fresh) => page(&console, &ctx, &Fields::default(), None, Some(fresh)).await,
        None => Ok(see_other("/console/accounts?done=sessions")),
    }
}
