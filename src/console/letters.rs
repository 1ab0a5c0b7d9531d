//! Dead letters on the page of operations: what was refused and why, and sending one again once its cause is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::json;
use tokio::time::timeout;

use super::Console;
use super::access::form::Form;
use super::access::guard::{Ctx, see_other};
use super::failure::Failure;
use super::show::visible;
use crate::contract::quote::{Decoded, decode};
use crate::engine::step::{ArrivalClock, Outcome};
use crate::pipeline::letters::{Letter, Letters, Record};
use crate::pipeline::pipelines::HTTP;
use crate::pipeline::queue::{Job, Payload, Queue};
use crate::pipeline::{Source, batch};

/// Letters that are listed, the newest.
const LETTERS_MAX: usize = 50;
/// How long the page waits for the decision. After that it is made all the same.
const DECIDED_WITHIN: Duration = Duration::from_secs(5);

/// Where the letters are, and the way back into the log.
pub struct Refused {
    pub letters: Arc<dyn Letters>,
    pub queue: Queue,
    /// Of quotes that came from no file.
    pub clock: ArrivalClock,
}

pub struct LetterLine {
    pub offset: u64,
    pub reason: String,
    pub error: String,
    pub place: String,
}

pub async fn newest(console: &Console) -> Result<Vec<LetterLine>, Failure> {
    let Some(refused) = &console.refused else { return Ok(Vec::new()) };
    Ok(refused.letters.newest(LETTERS_MAX).await?.into_iter().map(line).collect())
}

fn line(letter: Letter) -> LetterLine {
    let error = if letter.pointer.is_empty() { letter.error } else { format!("{}: {}", letter.pointer, letter.error) };
    let place = letter.place.map(|(file, line)| format!("{}:{line}", visible(&file)));
    LetterLine { offset: letter.offset, reason: letter.reason, error: visible(&error), place: place.unwrap_or_default() }
}

/// Sends the record of a letter again, as a new one; written down before it is done.
pub async fn send_again(State(console): State<Arc<Console>>, ctx: Ctx, form: Form) -> Result<Response<Body>, Failure> {
    let offset: u64 = form.0.given("offset").and_then(|offset| offset.parse().ok()).ok_or(Failure::BadForm)?;
    let refused = console.refused.as_ref().ok_or(Failure::NotFound)?;
    let record = refused.letters.record(offset).await?.ok_or(Failure::NotFound)?;
    console.record(&ctx.who.name, "letter.again", &offset.to_string(), json!({"reason": record.letter.reason})).await?;
    let done = again(&console, refused, record).await;
    Ok(see_other(&format!("/console/operations?done={done}")))
}

/// What became of it, as the page's query says it.
async fn again(console: &Console, refused: &Refused, record: Record) -> &'static str {
    let Record { letter, body, tenant, client } = record;
    // Whoever holds the checks holds those that come back as well.
    let door = console.pipelines.get(HTTP);
    let Some(_passage) = door.as_ref().map_or(Some(None), |door| door.enter().map(Some)) else { return "letter-held" };
    // For whom it came: a form need not say so.
    let tenant = Some(&*tenant).filter(|tenant| !tenant.is_empty());
    let Ok(Decoded { quote, .. }) = decode(&body, tenant) else { return "letter-no-quote" };
    let (reply, awaited) = refused.queue.reply(&quote.tenant, &quote.quote_id);
    let job = Job {
        payload: Payload::quote(quote, body),
        // As it came the first time.
        clock: if letter.place.is_some() { ArrivalClock::Event } else { refused.clock },
        source: if letter.place.is_some() { Source::File } else { Source::Http },
        client: client.map(Into::into),
        progress: None,
        reply: Some(reply),
        room: None,
        submitted: Instant::now(),
        span: None,
    };
    if refused.queue.try_submit(job).is_err() {
        return "letter-busy";
    }
    match timeout(DECIDED_WITHIN, awaited.answer).await {
        Ok(Ok(answered)) if matches!(answered.outcome, Outcome::Duplicate(_)) => "letter-known",
        Ok(Ok(answered)) if batch::refusal(&answered.outcome).is_some() => "letter-refused",
        Ok(Ok(_)) => "letter-decided",
        Ok(Err(_)) | Err(_) => "letter-pending",
    }
}
