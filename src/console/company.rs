//! Logging in through the company's provider: there, back with a code, and out.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::access::cookies::Cookie;
use super::access::form::Fields;
use super::access::guard::see_other;
use super::access::pending::{PENDING_SECS, Pending};
use super::access::token::Token;
use super::accounts::is_name;
use super::failure::Failure;
use super::login::{self, Shown};
use super::look::Look;
use super::page::{Frame, html};
use super::{Console, page};
use crate::http::server::Peer;
use crate::pipeline::access::{Account, Admitted, Newcomer};
use crate::pipeline::desk::DeskError;
use crate::pipeline::sign_on::{Identity, Mapping, NotSignedOn, Person, SignOn};

/// Requests to the provider at one time, each on a thread of its own for ten seconds at most. Beyond: it counts as away.
const ASKING_MAX: usize = 8;

/// A provider, and whom of its people it lets in.
pub struct Company {
    provider: Arc<dyn SignOn>,
    mapping: Mapping,
    label: Option<String>,
    seats: Arc<Semaphore>,
}

impl Company {
    pub fn new(provider: Arc<dyn SignOn>, mapping: Mapping, label: Option<String>) -> Company {
        Company { provider, mapping, label, seats: Arc::new(Semaphore::new(ASKING_MAX)) }
    }

    /// What its button says.
    pub fn label(&self, look: Look) -> String {
        self.label.clone().unwrap_or_else(|| look.t.log_in_sso.to_owned())
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn SignOn) -> Result<T, NotSignedOn> + Send + 'static,
    ) -> Result<T, NotSignedOn> {
        let away = |why: &str| NotSignedOn::Away(why.to_owned());
        let seat = self.seats.clone().try_acquire_owned().map_err(|_| away("too many log-ins at once wait for it"))?;
        let provider = self.provider.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let _seat = seat;
            question(&*provider)
        });
        asked.await.unwrap_or_else(|_| Err(away("asking it failed")))
    }
}

/// To the provider, with a cookie that the way back is bound to.
pub async fn begin(State(console): State<Arc<Console>>, query: Fields, headers: HeaderMap) -> Response<Body> {
    let look = Look::of(&console, &headers);
    let Some(company) = &console.company else { return page::failure(&console, look, None, &Failure::NotFound) };
    let Some(pending) = Pending::new(console.now(), query.get("back")) else {
        return page::failure(&console, look, None, &Failure::Internal);
    };
    let (flow, language) = (pending.flow(), look.t.language().tag());
    match company.ask(move |provider| provider.address(&flow, language)).await {
        Ok(address) => {
            let mut response = see_other(&address);
            let cookie = console.settings.cookies.set(Cookie::Sso, &pending.text(), Some(PENDING_SECS));
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Err(error) => {
            tracing::warn!(%error, "nobody can log in to the console through the company");
            let shown = Shown { text: Some(look.t.sso_away), status: StatusCode::SERVICE_UNAVAILABLE };
            login::shown(&console, look, &headers, &query, shown).await
        }
    }
}

/// Why somebody who came back is not let in.
enum Refusal {
    /// Nothing that this browser has begun, or too long ago.
    State,
    /// The provider says so: mostly the person gave up.
    Declined,
    Provider(NotSignedOn),
    /// By its name in the audit.
    NoPlace(&'static str),
    Disabled,
    Locked(Duration),
    Failed(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Failed(failure)
    }
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Refusal {
        Refusal::Failed(error.into())
    }
}

/// Back from the provider.
pub async fn back(State(console): State<Arc<Console>>, query: Fields, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let look = Look::of(&console, &parts.headers);
    let Some(company) = &console.company else { return page::failure(&console, look, None, &Failure::NotFound) };
    let mut response = match enter(&console, company, &parts, &query).await {
        Ok((account, token, back)) => login::welcome(&console, &account, &token, &back),
        Err(refusal) => refused(&console, look, &parts.headers, refusal).await,
    };
    // A log-in is for once, however it ends.
    response.headers_mut().append(SET_COOKIE, console.settings.cookies.forget(Cookie::Sso));
    response
}

async fn enter(console: &Console, company: &Company, parts: &Parts, query: &Fields) -> Result<(Account, Token, String), Refusal> {
    // Without a log-in under way nothing is counted: a page elsewhere could lock whoever looks at it.
    let pending = console.settings.cookies.get(&parts.headers, Cookie::Sso).and_then(Pending::parse).ok_or(Refusal::State)?;
    let address = console.address(&parts.headers, parts.extensions.get::<Peer>());
    if let Some(wait) = console.access.locked(&[login::address_key(&address)]).await? {
        return Err(Refusal::Locked(wait));
    }
    if !pending.is_answered(query.get("state").unwrap_or_default(), console.now()) {
        login::count_address(console, &address).await?;
        return Err(Refusal::State);
    }
    let flow = pending.flow();
    let person = match (query.get("error"), query.given("code")) {
        (None, Some(code)) => {
            let (code, issuer) = (code.to_owned(), query.get("iss").map(str::to_owned));
            company.ask(move |provider| provider.person(&flow, &code, issuer.as_deref())).await
        }
        _ => {
            login::count_address(console, &address).await?;
            note_refused(console, None, "declined", &address).await?;
            return Err(Refusal::Declined);
        }
    };
    let person = match person {
        Ok(person) => person,
        Err(error) => {
            let reason = reason(&error);
            tracing::warn!(%error, "a log-in through the company failed");
            if reason != "away" {
                login::count_address(console, &address).await?;
                note_refused(console, None, reason, &address).await?;
            }
            return Err(Refusal::Provider(error));
        }
    };
    let account = admitted(console, company, person, &address).await?;
    if let Some(old) = console.settings.cookies.get(&parts.headers, Cookie::Session).and_then(Token::parse) {
        console.access.close_session(old.hash()).await?;
    }
    let token = login::begin(console, &account, "company").await?.ok_or(Refusal::Disabled)?;
    Ok((account, token, pending.back().to_owned()))
}

/// As the audit has it.
fn reason(error: &NotSignedOn) -> &'static str {
    match error {
        NotSignedOn::Away(_) => "away",
        NotSignedOn::Refused(_) => "refused",
        NotSignedOn::Untrusted(_) => "untrusted",
    }
}

/// The person's account with the role and tenant of now.
async fn admitted(console: &Console, company: &Company, person: Person, address: &str) -> Result<Account, Refusal> {
    let place = match company.mapping.place(&person) {
        Ok(place) => place,
        Err(no) => {
            let known = console.access.account_of(&person.identity).await?;
            if let Some(known) = &known {
                // What the role of before had opened is closed.
                console.access.close_sessions(&known.name).await?;
            }
            note_refused(console, known.as_ref(), no.name(), address).await?;
            return Err(Refusal::NoPlace(no.name()));
        }
    };
    let names = names(&person);
    let newcomer = Newcomer { identity: person.identity, names, place };
    let Admitted { account, .. } = console.access.admit(newcomer).await?.ok_or(Failure::Internal)?;
    if account.is_disabled {
        note_refused(console, Some(&account), "disabled", address).await?;
        return Err(Refusal::Disabled);
    }
    Ok(account)
}

async fn note_refused(console: &Console, account: Option<&Account>, reason: &str, address: &str) -> Result<(), Failure> {
    let subject = account.map_or("unknown", |account| account.name.as_str());
    let detail = json!({"by": "company", "reason": reason, "address": address});
    console.record(subject, "session.refused", subject, detail).await
}

/// What the account may be called: as the provider says, or where another is called so, with a mark of the identity.
fn names(person: &Person) -> Vec<String> {
    let Identity { issuer, subject } = &person.identity;
    let digest = Sha256::digest(format!("{issuer}\n{subject}"));
    let mark: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let said = person.name.as_deref().unwrap_or_default().trim().to_lowercase();
    if !is_name(&said) {
        return vec![format!("person-{mark}")];
    }
    let short: String = said.chars().take(48).collect();
    vec![said, format!("{short}-{mark}")]
}

async fn refused(console: &Console, look: Look, headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
    let t = look.t;
    let wait = if let Refusal::Locked(wait) = &refusal { Some(*wait) } else { None };
    let (text, status) = match refusal {
        Refusal::State => (t.sso_state, StatusCode::FORBIDDEN),
        Refusal::Declined => (t.sso_declined, StatusCode::FORBIDDEN),
        Refusal::Provider(NotSignedOn::Away(_)) => (t.sso_away, StatusCode::SERVICE_UNAVAILABLE),
        Refusal::Provider(_) => (t.sso_failed, StatusCode::FORBIDDEN),
        Refusal::Disabled => (t.sso_disabled, StatusCode::FORBIDDEN),
        Refusal::Locked(_) => (t.log_in_failed, StatusCode::TOO_MANY_REQUESTS),
        Refusal::NoPlace("no_tenant") => return no_place(console, look, t.sso_no_tenant).await,
        Refusal::NoPlace(_) => return no_place(console, look, t.sso_no_role).await,
        Refusal::Failed(failure) => return page::failure(console, look, None, &failure),
    };
    let mut response = login::shown(console, look, headers, &Fields::default(), Shown { text: Some(text), status }).await;
    if let Some(wait) = wait {
        login::wait_for(&mut response, wait);
    }
    response
}

#[derive(Template)]
#[template(path = "console/company.html")]
struct CompanyPage {
    frame: Frame,
    text: &'static str,
    /// Where the session with the provider ends.
    end: Option<String>,
}

async fn company_page(console: &Console, look: Look, title: &str, text: &'static str, status: StatusCode) -> Response<Body> {
    let end = match &console.company {
        // Away: there is a link less on the page.
        Some(company) => company.ask(|provider| provider.end_address()).await.ok().flatten(),
        None => None,
    };
    let frame = Frame::new(console, look, None, title, "/console/login");
    let response = html(&CompanyPage { frame, text, end }, look.t);
    let mut response = response.unwrap_or_else(|failure| page::failure(console, look, None, &failure));
    if status != StatusCode::OK {
        *response.status_mut() = status;
    }
    response
}

/// The way out leads to the provider, or the next attempt would be as the same person.
async fn no_place(console: &Console, look: Look, text: &'static str) -> Response<Body> {
    company_page(console, look, look.t.sso_no_place, text, StatusCode::FORBIDDEN).await
}

/// After a log-out here: the session with the provider goes on, and this is where to end it.
pub async fn out(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response<Body> {
    let look = Look::of(&console, &headers);
    company_page(&console, look, look.t.sso_out, look.t.sso_out_text, StatusCode::OK).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_providers_where_it_can_be_one() {
        let person = |name: Option<&str>| Person {
            identity: Identity { issuer: "https://i".into(), subject: "1".into() },
            name: name.map(str::to_owned),
            groups: Vec::new(),
            tenants: Vec::new(),
        };
        let marked = names(&person(None)).remove(0);
        let mark = marked.strip_prefix("person-").expect("a mark").to_owned();
        assert_eq!(mark.len(), 12);
        assert_eq!(
            names(&person(Some("Olga@Desk.example"))),
            ["olga@desk.example".to_owned(), format!("olga@desk.example-{mark}")]
        );
        for name in ["", "a", "ol ga", "<b>", "ольга", &"x".repeat(65)] {
            assert_eq!(names(&person(Some(name))), [marked.as_str()], "{name}");
        }
        let long = "x".repeat(64);
        assert!(names(&person(Some(&long))).iter().all(|name| is_name(name)));
    }
}
