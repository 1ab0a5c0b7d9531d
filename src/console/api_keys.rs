//! Keys of the API: who has one, what it opens, when it was used; making, rotating and revoking them.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};

use super::Console;
use super::access::form::{Fields, Form};
use super::access::guard::{Ctx, see_other};
use super::failure::Failure;
use super::page::{Flash, Frame, html};
use super::show::visible;
use super::texts::Texts;
use crate::contract::quote::TENANT_DEFAULT;
use crate::pipeline::api_keys::{Actor, Fault, Fresh, KeyId, KeyState, Limit, ListedKey, NewKey, NotDone, Permission};

/// For how long a key and the one that takes its place may hold together, hours.
const OVERLAPS: [u64; 4] = [24, 0, 1, 168];

#[derive(Template)]
#[template(path = "console/keys.html")]
struct KeysView {
    frame: Frame,
    keys: Vec<Line>,
    overlaps: Vec<(u64, String)>,
    /// Nobody needs a key yet.
    is_open: bool,
    /// The only tenant that who looks may make keys for.
    tenant: Option<String>,
    tenant_default: &'static str,
    permissions: Vec<(&'static str, &'static str)>,
    /// Id and key, shown this once.
    fresh: Option<(String, String)>,
}

struct Line {
    id: String,
    name: String,
    tenant: String,
    may: String,
    rate: String,
    state: &'static str,
    is_in_force: bool,
    is_replaced: bool,
    created: String,
    created_by: String,
    expires: String,
    last_used: String,
}

pub async fn list(State(console): State<Arc<Console>>, ctx: Ctx, query: Fields) -> Result<Response<Body>, Failure> {
    page(&console, &ctx, &query, Ok(None)).await
}

/// With a key that was made just now, or why nothing was done.
async fn page(
    console: &Console,
    ctx: &Ctx,
    query: &Fields,
    done: Result<Option<Fresh>, NotDone>,
) -> Result<Response<Body>, Failure> {
    let t = ctx.look.t;
    let mut frame = Frame::of(console, ctx, t.api_keys, query);
    frame.path = "/console/keys".to_owned();
    let is_refused = done.is_err();
    let fresh = match done {
        Ok(fresh) => fresh.map(|fresh| (fresh.id.to_string(), fresh.text().to_owned())),
        Err(refused) => {
            frame.flash = Some(Flash { is_bad: true, text: why(t, refused).to_owned() });
            None
        }
    };
    let keys = console.api_keys.api_keys(ctx.who.tenant.as_deref()).await?;
    let hours = |hours: u64| match hours {
        0 => t.key_at_once.to_owned(),
        hours if hours % 24 == 0 => format!("{} {}", hours / 24, t.days),
        hours => format!("{hours} {}", t.hours),
    };
    let permission = |of: Permission| (of.name(), opens(t, of));
    let view = KeysView {
        // One that was made just now is known here before the desk is read anew.
        is_open: console.keys.is_open() && keys.is_empty(),
        keys: keys.iter().map(|key| line(console, t, key)).collect(),
        overlaps: OVERLAPS.iter().map(|overlap| (*overlap, hours(*overlap))).collect(),
        tenant: ctx.who.tenant.clone(),
        tenant_default: TENANT_DEFAULT,
        permissions: Permission::ALL
            .into_iter()
            .filter(|of| ctx.who.tenant.is_none() || !of.is_of_all())
            .map(permission)
            .collect(),
        fresh,
        frame,
    };
    let mut response = html(&view, t)?;
    if is_refused {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

fn line(console: &Console, t: &Texts, key: &ListedKey) -> Line {
    let moment = |at| console.settings.zone.moment(t, at);
    let rate = match key.limit {
        Limit { per_sec: None, .. } => "—".to_owned(),
        Limit { per_sec: Some(0), .. } => t.key_no_limit.to_owned(),
        Limit { per_sec: Some(rate), burst } => format!("{rate}/{}, {}", t.seconds, burst.unwrap_or(rate)),
    };
    Line {
        id: key.id.to_string(),
        name: visible(&key.name),
        tenant: visible(&key.tenant),
        may: Permission::join(&key.may).replace(',', ", "),
        rate,
        state: match key.state {
            KeyState::InForce => t.key_in_force,
            KeyState::Replaced => t.key_replaced,
            KeyState::Expired => t.key_expired,
            KeyState::Revoked => t.key_state_revoked,
        },
        is_in_force: key.state.is_in_force(),
        is_replaced: key.state == KeyState::Replaced,
        created: moment(key.created_at),
        created_by: visible(&key.created_by),
        expires: key.expires_at.map_or_else(|| t.never.to_owned(), moment),
        last_used: key.last_used_at.map_or_else(|| t.never.to_owned(), moment),
    }
}

fn opens(t: &Texts, permission: Permission) -> &'static str {
    match permission {
        Permission::Checks => t.key_checks,
        Permission::Rules => t.key_rules,
        Permission::Rulings => t.key_rulings,
        Permission::Ops => t.key_ops,
    }
}

fn why(t: &Texts, refused: NotDone) -> &'static str {
    match refused {
        NotDone::Fault(Fault::Name) => t.key_bad_name,
        NotDone::Fault(Fault::May) => t.key_bad_may,
        NotDone::Fault(Fault::Tenant | Fault::Limit | Fault::Expires) => t.key_bad_number,
        NotDone::WouldClose => t.key_would_close,
        NotDone::NameTaken => t.key_name_taken,
        NotDone::TooMany => t.key_too_many,
        NotDone::NotAllowed => t.not_allowed,
        NotDone::NoKey | NotDone::Ended => t.key_gone,
        NotDone::Replaced => t.key_already_replaced,
    }
}

fn actor(ctx: &Ctx) -> Actor {
    Actor { name: ctx.who.name.clone(), tenant: ctx.who.tenant.clone() }
}

pub async fn add(State(console): State<Arc<Console>>, ctx: Ctx, form: Form) -> Result<Response<Body>, Failure> {
    let fields = &form.0;
    let number = |name: &str| fields.given(name).map(|number| number.parse::<u32>().map_err(|_| Failure::BadForm)).transpose();
    let tenant = ctx.who.tenant.as_deref().or(fields.given("tenant")).unwrap_or(TENANT_DEFAULT);
    let new = NewKey {
        name: fields.given("name").unwrap_or_default().to_lowercase(),
        tenant: tenant.to_owned(),
        may: Permission::ALL.into_iter().filter(|of| fields.has(of.name())).collect(),
        limit: Limit { per_sec: number("rate_per_sec")?, burst: number("burst")? },
        expires_days: number("expires_days")?,
    };
    let fresh = Fresh::new().map_err(|_| Failure::Internal)?;
    let closes = fields.has("close") || !console.keys.is_open();
    let done = console.api_keys.create_api_key(&fresh, new, actor(&ctx), closes).await?;
    console.keys.have_changed();
    page(&console, &ctx, &Fields::default(), done.map(|()| Some(fresh))).await
}

/// Rotates or revokes one.
pub async fn change(
    State(console): State<Arc<Console>>,
    ctx: Ctx,
    Path(id): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let act = form.0.given("do").filter(|act| ["rotate", "revoke"].contains(act)).ok_or(Failure::BadForm)?;
    let id = KeyId::parse(&id).ok_or(Failure::NotFound)?;
    if act == "revoke" {
        let done = console.api_keys.revoke_api_key(id, actor(&ctx)).await?;
        console.keys.have_changed();
        return match done {
            Ok(()) => Ok(see_other("/console/keys?done=key-revoked")),
            Err(refused) => page(&console, &ctx, &Fields::default(), Err(refused)).await,
        };
    }
    let hours: u64 = form.0.given("overlap").and_then(|hours| hours.parse().ok()).ok_or(Failure::BadForm)?;
    if !OVERLAPS.contains(&hours) {
        return Err(Failure::BadForm);
    }
    let fresh = Fresh::new().map_err(|_| Failure::Internal)?;
    let overlap = Duration::from_secs(hours * 3_600);
    let done = console.api_keys.rotate_api_key(id, &fresh, actor(&ctx), overlap).await?;
    console.keys.have_changed();
    page(&console, &ctx, &Fields::default(), done.map(|()| Some(fresh))).await
}
