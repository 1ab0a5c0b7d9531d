//! The underwriter's pages: rendered here, readable without scripts, open to whom the table of roles says.
//!
//! `access` is who is there and what they may; the other modules are the pages, one each, over the traits of the desk.

pub mod access;
mod accounts;
mod api_keys;
mod asked;
mod assets;
mod audit_page;
mod backtests;
mod case;
mod company;
mod explore;
mod failure;
mod figures;
mod first;
mod letters;
mod live;
mod login;
mod look;
mod matrix;
mod once;
mod opening;
mod operations;
mod overview;
mod page;
mod queue;
mod reasons;
mod rule_pages;
mod ruling;
pub mod show;
mod svg;
mod texts;
mod values;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};

use access::cookies::Cookies;
use access::doors::Doors;
use access::guard::guard;
use access::roles::Right;
pub use company::Company;
use failure::Failure;
use figures::Figures;
pub use first::{FirstPassword, NotMade, first_account};
pub use letters::Refused;
use live::Live;
pub use login::{name_key, password_key};
use once::Once;
use show::Zone;

use crate::contract::ruling::RulingV1;
use crate::engine::time::EventTime;
use crate::http::auth::Keys;
use crate::http::server::Peer;
use crate::metrics::Metrics;
use crate::pipeline::Clock;
use crate::pipeline::access::{Access, Lifetime};
use crate::pipeline::api_keys::ApiKeys;
use crate::pipeline::books::Books;
use crate::pipeline::clock::SystemClock;
use crate::pipeline::desk::{NewAudit, SharedDesk};
use crate::pipeline::health::Health;
use crate::pipeline::pipelines::Pipelines;
use crate::pipeline::rulings::{NotRuled, Rulings};

/// What the console is a window to.
pub struct Parts {
    pub desk: SharedDesk,
    pub access: Arc<dyn Access>,
    pub api_keys: Arc<dyn ApiKeys>,
    pub keys: Arc<Keys>,
    pub rulings: Arc<dyn Rulings>,
    pub books: Arc<Books>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub pipelines: Arc<Pipelines>,
    /// The provider whose people log in.
    pub company: Option<Company>,
    /// `None` where dead letters are on a topic.
    pub refused: Option<Refused>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub cookies: Cookies,
    pub zone: Zone,
    pub lifetime: Lifetime,
    /// Header in which a proxy of ours names the client's address.
    pub address_header: Option<HeaderName>,
    /// Log in with a name and a password; when not, only until an administrator has come in through the company.
    pub local_accounts: bool,
    /// Folder with reports of backtests.
    pub backtests: Option<PathBuf>,
}

pub struct Console {
    desk: SharedDesk,
    access: Arc<dyn Access>,
    api_keys: Arc<dyn ApiKeys>,
    keys: Arc<Keys>,
    rulings: Arc<dyn Rulings>,
    books: Arc<Books>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    pipelines: Arc<Pipelines>,
    company: Option<Company>,
    refused: Option<Refused>,
    settings: Settings,
    live: Live,
    figures: Figures,
    once: Once,
    doors: Doors,
}

impl Console {
    /// Must be called on the runtime: it begins to look for news.
    pub fn new(parts: Parts, settings: Settings) -> Arc<Console> {
        let Parts { desk, access, api_keys, keys, rulings, books, metrics, health, pipelines, company, refused } = parts;
        let live = Live::start(desk.clone(), health.clone());
        Arc::new(Console {
            desk,
            access,
            api_keys,
            keys,
            rulings,
            books,
            metrics,
            health,
            pipelines,
            company,
            refused,
            settings,
            live,
            figures: Figures::default(),
            once: Once::default(),
            doors: Doors::default(),
        })
    }

    fn now(&self) -> EventTime {
        EventTime(SystemClock.now().0)
    }

    /// Whether a name and a password open the console.
    async fn has_local_log_in(&self) -> Result<bool, Failure> {
        Ok(self.settings.local_accounts || !self.access.has_company_admin().await?)
    }

    /// Writes down who did what. What cannot be written down is not done, where the order allows it.
    async fn record(&self, actor: &str, action: &str, subject: &str, detail: serde_json::Value) -> Result<(), Failure> {
        let entry = NewAudit { actor: actor.to_owned(), action: action.to_owned(), subject: subject.to_owned(), detail };
        Ok(self.desk.audit(entry).await?)
    }

    /// Appends a ruling to the log; it is durable when this comes back.
    async fn rule(&self, record: RulingV1) -> Result<(), Failure> {
        let rulings = self.rulings.clone();
        // The log may be waited for.
        let ruled = tokio::task::spawn_blocking(move || rulings.rule(&record)).await.map_err(|_| Failure::NotRecorded)?;
        ruled.map(drop).map_err(|error| {
            tracing::warn!(%error, "a ruling was not taken");
            match error {
                NotRuled::IdReused => Failure::Stale,
                NotRuled::TooMany | NotRuled::Unavailable(_) => Failure::NotRecorded,
                NotRuled::Unreadable(_) => Failure::Internal,
            }
        })
    }

    /// The client's address, as far as it is known.
    fn address(&self, headers: &HeaderMap, peer: Option<&Peer>) -> String {
        let told = self.settings.address_header.as_ref().and_then(|name| forwarded(headers, name));
        told.or_else(|| peer.map(|peer| peer.0.ip().to_string())).unwrap_or_else(|| "unknown".to_owned())
    }
}

/// What the proxy in front saw. It appends, to the last line or a line of its own: whatever comes before was sent by the client.
fn forwarded(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let last = line.rsplit(',').next().map(str::trim);
    last.filter(|last| last.len() <= 64 && !last.is_empty()).map(str::to_owned)
}

pub fn router(console: Arc<Console>) -> Router {
    let needs =
        |right: Right, route: MethodRouter<Arc<Console>>| route.layer(from_fn_with_state((console.clone(), right), guard));
    let own = |route| needs(Right::Own, route);
    Router::new()
        .route("/console/login", get(login::form).post(login::log_in))
        .route("/console/login/company", get(company::begin))
        .route("/console/login/company/back", get(company::back))
        .route("/console/logout/company", get(company::out))
        .route("/console/switch", get(login::switches))
        .route("/console/assets/{hash}/{name}", get(assets::asset))
        .route("/console", needs(Right::Overview, get(overview::overview)))
        .route("/console/live/overview", needs(Right::Overview, get(overview::fragment)))
        .route("/console/live/referrals", needs(Right::Cases, get(queue::rows)))
        .route("/console/events", needs(Right::Overview, get(live::events)))
        .route("/console/logout", own(post(login::log_out)))
        .route("/console/password", own(get(login::password_form).post(login::change_password)))
        .route("/console/referrals", needs(Right::Cases, get(queue::queue)))
        .route("/console/referrals/next", needs(Right::Rule, post(queue::take_next)))
        .route("/console/referrals/{id}", needs(Right::Cases, get(case::case)))
        .route("/console/referrals/{id}/rule", needs(Right::Rule, post(ruling::rule)))
        .route("/console/referrals/{id}/claim", needs(Right::Rule, post(ruling::claim)))
        .route("/console/referrals/{id}/assign", needs(Right::Rule, post(ruling::assign)))
        .route("/console/referrals/{id}/comment", needs(Right::Comment, post(ruling::comment)))
        .route("/console/referrals/{id}/snooze", needs(Right::Snooze, post(ruling::snooze)))
        .route("/console/referrals/{id}/open", needs(Right::OpenFields, post(opening::open)))
        .route("/console/explore", needs(Right::Explore, get(explore::explore)))
        .route("/console/explore.csv", needs(Right::Export, get(explore::csv)))
        .route("/console/rules", needs(Right::Rules, get(rule_pages::current)))
        .route("/console/rules/{version}", needs(Right::Rules, get(rule_pages::version)))
        .route("/console/backtests", needs(Right::Backtests, get(backtests::list)))
        .route("/console/backtests/{name}", needs(Right::Backtests, get(backtests::report)))
        .route("/console/operations", needs(Right::Operations, get(operations::operations)))
        .route("/console/operations/pipelines", needs(Right::Operate, post(operations::order)))
        .route("/console/operations/letters", needs(Right::Operate, post(letters::send_again)))
        .route("/console/audit", needs(Right::Audit, get(audit_page::list)))
        .route("/console/audit/verify", needs(Right::Audit, post(audit_page::verify)))
        .route("/console/accounts", needs(Right::Accounts, get(accounts::list).post(accounts::add)))
        .route("/console/accounts/{name}", needs(Right::Accounts, post(accounts::change)))
        .route("/console/keys", needs(Right::ApiKeys, get(api_keys::list).post(api_keys::add)))
        .route("/console/keys/{id}", needs(Right::ApiKeys, post(api_keys::change)))
        .route("/console/{*rest}", own(get(nothing)))
        .with_state(console)
        .layer(from_fn(harden))
}

async fn nothing() -> Failure {
    Failure::NotFound
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What every page tells the browser not to do.
async fn harden(request: Request, next: Next) -> Response<Body> {
    let mut response = next.run(request).await;
    // A report that is served as it lies in its folder has a stricter one.
    response.headers_mut().entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        // Heeded over TLS only.
        (STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_what_the_proxy_wrote_last() {
        let name = HeaderName::from_static("x-forwarded-for");
        for (lines, expected) in [
            (&["192.0.2.7"][..], Some("192.0.2.7")),
            (&["10.0.0.1, 192.0.2.7"], Some("192.0.2.7")),
            (&["10.0.0.1", "192.0.2.7"], Some("192.0.2.7")),
            (&["192.0.2.7", "10.0.0.1, 2001:db8::1 "], Some("2001:db8::1")),
            (&["192.0.2.7", ""], None),
            (&["192.0.2.7", "10.0.0.1,"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(&name, HeaderValue::from_static(line));
            }
            assert_eq!(forwarded(&headers, &name).as_deref(), expected, "{lines:?}");
        }
    }
}
