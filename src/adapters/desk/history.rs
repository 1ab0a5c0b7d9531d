//! What happened to a case besides rulings and comments: who took it, whose it became, which decisions were amended.

use super::db::Db;
use super::value::Row;
use crate::contract::decision::DecisionV1;
use crate::pipeline::StoreError;
use crate::pipeline::desk::views::{CaseEvent, CaseQuote, Happened};

/// Events of each kind that are shown, the newest.
const SHOWN_MAX: usize = 100;

/// People's acts are kept by the audit alone.
const ACTS: &str = "SELECT at, actor, action, detail FROM audit \
    WHERE subject = $1 AND action IN ('case.claim', 'case.release', 'case.assign') ORDER BY seq DESC LIMIT $2";
const ARRIVAL: &str = "SELECT arrival FROM forms WHERE log_partition = $1 AND log_offset = $2";

/// The oldest first.
pub(super) async fn events(db: &Db, referral_id: &str, quotes: &[CaseQuote]) -> Result<Vec<CaseEvent>, StoreError> {
    let rows = db.all(ACTS, vec![referral_id.into(), (SHOWN_MAX as u64).into()]).await?;
    let mut events = rows.iter().map(act).collect::<Result<Vec<_>, _>>()?;
    for quote in quotes.iter().rev().filter(|quote| quote.decisions.len() > 1).take(SHOWN_MAX) {
        amendments(db, quote, &mut events).await?;
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn act(row: &Row) -> Result<CaseEvent, StoreError> {
    let (by, action, detail): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let what = match &*action {
        "case.claim" => Happened::Claimed { by },
        "case.release" => Happened::Released { by },
        _ => {
            let detail: serde_json::Value = serde_json::from_str(&detail).unwrap_or_default();
            Happened::Assigned { by, assignee: detail["assignee"].as_str().map(str::to_owned) }
        }
    };
    Ok(CaseEvent { at: row.get(0)?, what })
}

/// A decision holds no clock: an amendment happened when the quote that caused it arrived.
async fn amendments(db: &Db, quote: &CaseQuote, events: &mut Vec<CaseEvent>) -> Result<(), StoreError> {
    let mut decisions = Vec::with_capacity(quote.decisions.len());
    for json in &quote.decisions {
        let decision: DecisionV1 =
            serde_json::from_str(json).map_err(|error| StoreError::Damaged(format!("a decision of the desk: {error}")))?;
        decisions.push(decision);
    }
    for pair in decisions.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let arrival = match &after.cause {
            Some(cause) => db.first(ARRIVAL, vec![cause.position.partition.into(), cause.position.offset.into()]).await?,
            None => None,
        };
        // Its form may not be held any more.
        let at = arrival.map(|row| row.get(0)).transpose()?.unwrap_or(quote.event_time);
        let (before, verdict) = (before.decision, after.decision);
        let what = Happened::Amended { quote_id: quote.quote_id.clone(), revision: after.revision, before, after: verdict };
        events.push(CaseEvent { at, what });
    }
    Ok(())
}
