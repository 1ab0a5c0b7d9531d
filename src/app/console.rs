//! The console of a service: its pages over the desk, and the first account.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use time::UtcOffset;
use tokio::time::{sleep, timeout};

use super::service::HttpParts;
use crate::adapters::desk::DeskStore;
use crate::adapters::oidc::{self, Provider};
use crate::config::Config;
use crate::console::access::cookies::Cookies;
use crate::console::show::Zone;
use crate::console::{Company, Console, FirstPassword, NotMade, Parts, Refused, Settings, first_account, router};
use crate::http::auth::Keys;
use crate::pipeline::access::Lifetime;
use crate::pipeline::health::{Health, Readiness};

/// A start does not wait longer for a desk that is away, and asks again so often.
const FIRST_ACCOUNT_WITHIN: Duration = Duration::from_secs(3);
const FIRST_ACCOUNT_RETRY: Duration = Duration::from_secs(1);

/// The pages; none where they are switched off.
pub(super) async fn pages(config: &Config, desk: &DeskStore, keys: &Arc<Keys>, behind: &HttpParts) -> Result<Router> {
    if !config.console.enabled {
        return Ok(Router::new());
    }
    let tell = config.console.first_password_file.clone().map_or(FirstPassword::Stderr, FirstPassword::File);
    make_first_account(desk.clone(), tell, behind.health.clone()).await?;
    let store = Arc::new(desk.clone());
    let parts = Parts {
        desk: store.clone(),
        access: store.clone(),
        api_keys: store,
        keys: keys.clone(),
        rulings: behind.rulings.clone(),
        books: behind.books.clone(),
        metrics: behind.metrics.clone(),
        health: behind.health.clone(),
        pipelines: behind.pipelines.clone(),
        company: company(config)?,
        refused: behind.letters.clone().map(|letters| Refused {
            letters,
            queue: behind.queue.clone(),
            clock: config.time.arrival.clock(),
        }),
    };
    Ok(router(Console::new(parts, settings(config))))
}

/// A desk that is away holds nothing up: its first account is made when it is back.
async fn make_first_account(desk: DeskStore, tell: FirstPassword, health: Arc<Health>) -> Result<()> {
    match timeout(FIRST_ACCOUNT_WITHIN, first_account(&desk, &tell)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(NotMade::Desk(_))) | Err(_) => {}
        Ok(Err(error)) => return Err(error).context("console"),
    }
    tracing::warn!("the desk does not answer yet: nobody can log in to the console before it does");
    tokio::spawn(async move {
        while health.get() != Readiness::Stopping {
            sleep(FIRST_ACCOUNT_RETRY).await;
            match first_account(&desk, &tell).await {
                Ok(()) => return,
                Err(NotMade::Desk(_)) => {}
                Err(error) => tracing::error!(%error, "the console's first account could not be made"),
            }
        }
    });
    Ok(())
}

/// The provider whose people log in, if there is one. It is not asked for anything before the first of them comes.
fn company(config: &Config) -> Result<Option<Company>> {
    let oidc = &config.console.oidc;
    let (Some(issuer), Some(public)) = (oidc.issuer.clone(), &oidc.public_url) else { return Ok(None) };
    let at = |path: &str| format!("{}{path}", public.trim_end_matches('/'));
    let roots = oidc
        .ca_file
        .as_ref()
        .map(|path| std::fs::read(path).with_context(|| format!("console.oidc.ca_file: {}", path.display())));
    let provider = Provider::new(oidc::Settings {
        issuer,
        client_id: oidc.client_id.clone().unwrap_or_default(),
        client_secret: oidc.secret()?,
        redirect_url: at("/console/login/company/back"),
        logged_out_url: at("/console/login"),
        scopes: oidc.scopes.clone(),
        name_claim: oidc.name_claim.clone(),
        role_claim: oidc.role_claim.clone(),
        tenant_claim: oidc.tenant_claim.clone(),
        roots: roots.transpose()?,
    });
    let provider = Arc::new(provider.context("console.oidc")?);
    Ok(Some(Company::new(provider, oidc.mapping(), oidc.label.clone())))
}

fn settings(config: &Config) -> Settings {
    let console = &config.console;
    Settings {
        cookies: Cookies { is_insecure: console.insecure_cookies },
        zone: Zone(console.offset().unwrap_or(UtcOffset::UTC)),
        lifetime: Lifetime {
            idle: Duration::from_secs(console.session_idle_secs),
            absolute: Duration::from_secs(console.session_max_secs),
        },
        address_header: console.address_header.as_deref().and_then(|name| name.parse().ok()),
        local_accounts: console.local_accounts,
        backtests: console.backtests.clone(),
    }
}
