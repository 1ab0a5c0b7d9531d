//! The console of a service: its pages over the desk, and the first account.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use time::UtcOffset;

use std::time::Duration;

use crate::adapters::desk::DeskStore;
use crate::config::Config;
use crate::console::access::cookies::Cookies;
use crate::console::show::Zone;
use crate::console::{Console, FirstPassword, Parts, Settings, first_account, router};
use crate::metrics::Metrics;
use crate::pipeline::access::Lifetime;
use crate::pipeline::books::Books;
use crate::pipeline::health::Health;
use crate::pipeline::rulings::Rulings;

/// What the pages show besides the desk.
pub(super) struct Beside {
    pub rulings: Arc<dyn Rulings>,
    pub books: Arc<Books>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}

/// The pages; none where they are switched off.
pub(super) async fn pages(config: &Config, desk: &DeskStore, beside: Beside) -> Result<Router> {
    if !config.console.enabled {
        return Ok(Router::new());
    }
    let tell = config.console.first_password_file.clone().map_or(FirstPassword::Stderr, FirstPassword::File);
    first_account(desk, &tell).await.context("console")?;
    let Beside { rulings, books, metrics, health } = beside;
    let parts = Parts { desk: Arc::new(desk.clone()), access: Arc::new(desk.clone()), rulings, books, metrics, health };
    Ok(router(Console::new(parts, settings(config))))
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
    }
}
