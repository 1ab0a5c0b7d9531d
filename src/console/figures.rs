//! The figures of the first page, read once for all who look at them: every open page asks anew whenever something has happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;

use super::Console;
use super::failure::Failure;
use crate::engine::time::{EventTime, HOUR};
use crate::pipeline::desk::{DecisionFilter, DecisionRow, Overview};

const LATEST_ROWS: usize = 12;
/// The last hour moves on by itself: figures are read anew after this even if nothing has happened.
const HELD_FOR: Duration = Duration::from_secs(1);
/// Tenants whose figures are held. Beyond: all are let go.
const TENANTS_MAX: usize = 256;

pub struct Read {
    pub overview: Overview,
    pub latest: Vec<DecisionRow>,
}

struct Held {
    /// Of the desk, asked before the figures were read.
    pulse: i64,
    since: Instant,
    read: Arc<Read>,
}

/// By tenant; `None` is all of them.
#[derive(Default)]
pub struct Figures(Mutex<BTreeMap<Option<String>, Slot>>);

/// Whoever comes while it is being filled waits, and takes the same.
type Slot = Arc<AsyncMutex<Option<Held>>>;

impl Figures {
    fn slot(&self, tenant: Option<&str>) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = tenant.map(str::to_owned);
        if slots.len() >= TENANTS_MAX && !slots.contains_key(&tenant) {
            slots.clear();
        }
        slots.entry(tenant).or_default().clone()
    }

    /// As they are, or as they were when the desk last changed.
    pub async fn of(&self, console: &Console, tenant: Option<&str>) -> Result<Arc<Read>, Failure> {
        let slot = self.slot(tenant);
        let mut held = slot.lock().await;
        let pulse = console.live.pulse(&console.desk).await?;
        if let Some(held) = held.as_ref().filter(|held| held.pulse == pulse && held.since.elapsed() < HELD_FOR) {
            return Ok(held.read.clone());
        }
        let since = Instant::now();
        let read = Arc::new(read(console, tenant).await?);
        *held = Some(Held { pulse, since, read: read.clone() });
        Ok(read)
    }
}

async fn read(console: &Console, tenant: Option<&str>) -> Result<Read, Failure> {
    let now = console.now();
    let latest = DecisionFilter {
        tenant: tenant.map(str::to_owned),
        from: EventTime(now.0 - HOUR),
        to: EventTime(now.0 + HOUR),
        verdict: None,
        rule: None,
        quote_id: None,
    };
    let overview = console.desk.overview(tenant, now, console.settings.zone.midnight(now));
    let latest = console.desk.decisions(latest, None, LATEST_ROWS);
    Ok(Read { overview: overview.await?, latest: latest.await?.rows })
}
