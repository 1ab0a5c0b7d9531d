//! `/v1/rules`: which rule book is in force, and how another takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::asking::Asking;
use super::body::{parsed, read_json};
use super::reply::Refusal;
use super::{Shared, reply};
use crate::config::Permission;
use crate::contract::error::{FieldCode, FieldError};
use crate::contract::instant;
use crate::contract::problem::Problem;
use crate::contract::rule_books::{
    ActivateV1, ApproveV1, BookSourceV1, BookV1, ChangeStatus, ChangedV1, CheckedV1, ProposalV1, ProposedV1, ReloadState,
    ReloadV1, RollbackV1, RuleFilesV1, RuleHitsV1, RuleV1, RulesV1,
};
use crate::contract::rule_diff::diff;
use crate::contract::rule_file::{canonical_source, load_within};
use crate::engine::decision::RuleBookRef;
use crate::engine::limits::RULE_BOOK_BYTES_MAX;
use crate::engine::rules::RuleBook;
use crate::engine::time::{ArrivalTime, EventTime};
use crate::metrics::Metrics;
use crate::pipeline::books::{Activated, Change, Changed, Listed, NotActivated, Proposal, Reload};

/// JSON escapes at most double a text of letters.
const BODY_BYTES_MAX: usize = 2 * RULE_BOOK_BYTES_MAX;
/// Versions listed.
const VERSIONS_SHOWN_MAX: usize = 1_000;

/// The rule book that judges quotes from now on.
#[utoipa::path(
    get,
    path = "/v1/rules",
    tag = "rules",
    security((), ("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "The last version, and what waits for approval", body = RulesV1),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not see rules", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "The service is starting", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn current(State(shared): State<Arc<Shared>>, asking: Asking) -> Response<Body> {
    answer(shared, asking, |shared, _| {
        let last = shared.books.shelf.last().ok_or_else(starting)?;
        let reload = match shared.books.shelf.reload() {
            Reload::None => ReloadV1 { state: ReloadState::None, error: None, held: Vec::new() },
            Reload::Done(held) => {
                ReloadV1 { state: ReloadState::Done, error: None, held: held.into_iter().map(String::from).collect() }
            }
            Reload::Refused(error) => ReloadV1 { state: ReloadState::Refused, error: Some(error), held: Vec::new() },
        };
        let proposals = shared.books.shelf.proposals().iter().map(proposal).collect();
        let rules = rules(&last.book).into_iter().map(|rule| counted(&shared.metrics, rule)).collect();
        let book = book(&Listed::of(&last));
        let current = RulesV1 { book, rules, reload, four_eyes: shared.books.four_eyes, proposals };
        Ok(reply::json(StatusCode::OK, &current))
    })
    .await
}

/// Every version of the log, newest first.
#[utoipa::path(
    get,
    path = "/v1/rules/versions",
    tag = "rules",
    security((), ("bearer" = []), ("api_key" = [])),
    responses(
        (status = 200, description = "At most 1,000", body = Vec<BookV1>),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not see rules", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "Not now; come again after `Retry-After`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn versions(State(shared): State<Arc<Shared>>, asking: Asking) -> Response<Body> {
    answer(shared, asking, |shared, _| {
        let versions: Vec<BookV1> = shared.books.shelf.newest(VERSIONS_SHOWN_MAX).iter().map(book).collect();
        Ok(reply::json(StatusCode::OK, &versions))
    })
    .await
}

/// One version with its content.
#[utoipa::path(
    get,
    path = "/v1/rules/versions/{version}",
    tag = "rules",
    security((), ("bearer" = []), ("api_key" = [])),
    params(("version" = u32, Path, description = "From 1")),
    responses(
        (status = 200, description = "The version", body = BookSourceV1),
        (status = 400, description = "Not a number", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not see rules", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The log has no such version", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "Not now; come again after `Retry-After`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn version(
    State(shared): State<Arc<Shared>>,
    asking: Asking,
    path: Result<Path<u32>, PathRejection>,
) -> Response<Body> {
    answer(shared, asking, |shared, _| {
        let Path(number) = path.map_err(|_| Problem::bad_request("the version in the path must be a whole number from 1"))?;
        let version = shared.books.shelf.get(number).ok_or_else(|| no_version(number))?;
        let source = serde_json::value::RawValue::from_string(canonical_source(&version.book));
        let source = source.map_err(|_| Problem::internal())?;
        Ok(reply::json(StatusCode::OK, &BookSourceV1 { book: book(&Listed::of(&version)), source }))
    })
    .await
}

/// What is proposed, and what it says otherwise than the last version.
#[utoipa::path(
    get,
    path = "/v1/rules/proposals/{hash}",
    tag = "rules",
    security((), ("bearer" = []), ("api_key" = [])),
    params(("hash" = String, Path, description = "Of the proposed book, 16 hex digits")),
    responses(
        (status = 200, description = "The proposal", body = ProposedV1),
        (status = 400, description = "Not a hash", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not see rules", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Nothing of this hash is proposed", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "The service is starting", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn proposed(
    State(shared): State<Arc<Shared>>,
    asking: Asking,
    path: Result<Path<String>, PathRejection>,
) -> Response<Body> {
    answer(shared, asking, |shared, _| {
        let Path(hash) = path.map_err(|_| Problem::bad_request(HASH))?;
        let hash = parse_hash(&hash)?;
        let last = shared.books.shelf.last().ok_or_else(starting)?.book;
        let found = shared.books.shelf.proposal(hash).ok_or(NotActivated::NotProposed(hash))?;
        let source = serde_json::value::RawValue::from_string(canonical_source(&found.book));
        let source = source.map_err(|_| Problem::internal())?;
        let (against, diff) = (last.version(), diff(&last, &found.book));
        Ok(reply::json(StatusCode::OK, &ProposedV1 { proposal: proposal(&found), against, diff, source }))
    })
    .await
}

/// Compiles rule files without putting them in force.
#[utoipa::path(
    post,
    path = "/v1/rules/check",
    tag = "rules",
    security((), ("bearer" = []), ("api_key" = [])),
    request_body = RuleFilesV1,
    responses(
        (status = 200, description = "They compile", body = CheckedV1),
        (status = 400, description = "Not this JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not see rules", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too many or too long files", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Every error with file, line, column and caret", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "Not now; come again after `Retry-After`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn check(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    change(shared, request, |shared, RuleFilesV1 { files }, _| {
        let checked = compiled(&shared, &files)?;
        let is_in_force = shared.books.shelf.last().is_some_and(|last| last.book.hash() == checked.hash());
        let (hash, rules) = (hex(checked.hash()), rules(&checked));
        Ok(reply::json(StatusCode::OK, &CheckedV1 { hash, is_in_force, rules }))
    })
    .await
}

/// Puts rule files in force, or, with four eyes, proposes them.
///
/// They take effect at one position of the log: quotes before it are judged by the book before, quotes after it by this one.
#[utoipa::path(
    post,
    path = "/v1/rules/activate",
    tag = "rules",
    security((), ("bearer" = []), ("api_key" = [])),
    request_body = ActivateV1,
    responses(
        (status = 200, description = "In force", body = ChangedV1),
        (status = 202, description = "Proposed: somebody else approves it", body = ChangedV1),
        (status = 400, description = "Not this JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not change rules", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another version is the last by now", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too many or too long files", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "They do not compile, or change what was live under the same version", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "It is not known whether it is in the log", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub async fn activate(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    change(shared, request, |shared, ActivateV1 { files, after }, by| {
        let book = compiled(&shared, &files)?;
        changed(shared.books.change(Change { book, after, by })?)
    })
    .await
}

/// Puts the content of an earlier version in force again, as a new version; with four eyes, proposes it.
#[utoipa::path(
    post,
    path = "/v1/rules/rollback",
    tag = "rules",
    security((), ("bearer" = []), ("api_key" = [])),
    request_body = RollbackV1,
    responses(
        (status = 200, description = "In force", body = ChangedV1),
        (status = 202, description = "Proposed: somebody else approves it", body = ChangedV1),
        (status = 400, description = "Not this JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not change rules", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The log has no such version", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another version is the last by now", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "It is not known whether it is in the log", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub async fn rollback(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    change(shared, request, |shared, RollbackV1 { version, after }, by| {
        let version = shared.books.shelf.get(version).ok_or_else(|| no_version(version))?;
        let book = RuleBook::clone(&version.book);
        changed(shared.books.change(Change { book, after, by })?)
    })
    .await
}

/// Puts a proposed book in force; whoever proposed it cannot. What the folder proposes needs two keys.
#[utoipa::path(
    post,
    path = "/v1/rules/approve",
    tag = "rules",
    security(("bearer" = []), ("api_key" = [])),
    request_body = ApproveV1,
    responses(
        (status = 200, description = "In force", body = ChangedV1),
        (status = 202, description = "Approved; the folder proposed it, and somebody else approves it, too", body = ChangedV1),
        (status = 400, description = "Not this JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid API key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The key may not change rules, or proposed or approved this itself", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Nothing of this hash is proposed", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Another version has come between", body = Problem,
            content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too often; come again after `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "It is not known whether it is in the log", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub async fn approve(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    change(shared, request, |shared, ApproveV1 { hash }, by| changed(shared.books.approve(parse_hash(&hash)?, &by)?)).await
}

/// Answers whoever may ask.
async fn answer(
    shared: Arc<Shared>,
    asking: Asking,
    act: impl FnOnce(Arc<Shared>, Box<str>) -> Result<Response<Body>, Refusal> + Send + 'static,
) -> Response<Body> {
    match authorised(asking) {
        Ok(by) => apart(shared, by, act).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// As [`answer`], with the JSON of the body.
async fn change<T: DeserializeOwned + Send + 'static>(
    shared: Arc<Shared>,
    request: Request,
    act: impl FnOnce(Arc<Shared>, T, Box<str>) -> Result<Response<Body>, Refusal> + Send + 'static,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let asked = async {
        // Before a body of megabytes is read.
        let by = authorised(Asking::of(&shared, &parts))?;
        Ok::<_, Refusal>((by, read_json(&shared, &parts.headers, body, BODY_BYTES_MAX).await?))
    };
    match asked.await {
        Ok((by, body)) => apart(shared, by, move |shared, by| act(shared, parsed(&body)?, by)).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Who asks, as the history names them.
fn authorised(asking: Asking) -> Result<Box<str>, Refusal> {
    let client = asking.authorise(Permission::Rules)?;
    Ok(client.map_or_else(|| "anyone".into(), |client| Box::from(&*client.name)))
}

/// Off the runtime's threads: the log may be waited for, as long as by a check.
async fn apart(
    shared: Arc<Shared>,
    by: Box<str>,
    act: impl FnOnce(Arc<Shared>, Box<str>) -> Result<Response<Body>, Refusal> + Send + 'static,
) -> Response<Body> {
    let patience = shared.answer_timeout;
    let act = move || {
        shared.books.log.catch_up(&shared.books.shelf);
        act(shared, by).unwrap_or_else(Refusal::into_response)
    };
    match timeout(patience, tokio::task::spawn_blocking(act)).await {
        Ok(done) => done.unwrap_or_else(|_| reply::problem(&Problem::internal())),
        Err(_) => reply::problem(&NotActivated::Unavailable("the log did not answer in time".to_owned()).into()),
    }
}

fn compiled(shared: &Shared, files: &BTreeMap<String, String>) -> Result<RuleBook, Refusal> {
    if files.is_empty() {
        return Err(Problem::bad_request("`files` is empty: send every file of the folder").into());
    }
    let texts: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let loaded = load_within(1, &texts, shared.retention_secs).map_err(|errors| {
        let field = |file: &str| format!("/files/{}", file.replace('~', "~0").replace('/', "~1"));
        let errors = errors.iter().map(|error| FieldError {
            pointer: field(&error.file),
            code: FieldCode::Format,
            detail: error.to_string(),
        });
        Problem::invalid_rules("the last good rule book stays in force", errors.collect())
    })?;
    if loaded.rules.is_empty() {
        return Err(Problem::invalid_rules("the files hold no rule: that book would accept everything", Vec::new()).into());
    }
    Ok(loaded.book)
}

fn changed(changed: Changed) -> Result<Response<Body>, Refusal> {
    let (status, version, hash) = match &changed {
        Changed::Activated(Activated { book, is_new }) => {
            (if *is_new { ChangeStatus::Activated } else { ChangeStatus::InForce }, book.version, book.hash)
        }
        Changed::Proposed(Proposal { book, .. }) => (ChangeStatus::Proposed, book.version(), book.hash()),
    };
    let code = if status == ChangeStatus::Proposed { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(reply::json(code, &ChangedV1 { status, version, hash: hex(hash) }))
}

impl From<NotActivated> for Problem {
    fn from(refused: NotActivated) -> Problem {
        let detail = refused.to_string();
        match refused {
            NotActivated::Overtaken { .. } => Problem::overtaken(detail),
            NotActivated::Edited(_) | NotActivated::RolledBack(_) => Problem::invalid_rules(detail, Vec::new()),
            NotActivated::NotProposed(_) => Problem::not_found(detail),
            NotActivated::SamePerson(_) | NotActivated::ApprovedAlready(_) => Problem::forbidden(detail),
            NotActivated::Unavailable(_) => Problem::unavailable(detail),
        }
    }
}

fn starting() -> Problem {
    Problem::unavailable("the window of earlier quotes is being loaded")
}

fn no_version(version: u32) -> Problem {
    Problem::not_found(format!("the log has no version {version}; GET /v1/rules/versions lists them"))
}

const HASH: &str = "`hash` has 16 hex digits: that of the proposal";

fn parse_hash(hash: &str) -> Result<u64, Refusal> {
    let parsed = u64::from_str_radix(hash, 16).ok().filter(|_| hash.len() == 16);
    parsed.ok_or_else(|| Problem::bad_request(HASH).into())
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

fn book(listed: &Listed) -> BookV1 {
    let Listed { book: RuleBookRef { version, hash }, offset, since, by } = listed;
    BookV1 { version: *version, hash: hex(*hash), since: told(*since), by: by.as_deref().map(str::to_owned), offset: *offset }
}

fn rules(book: &RuleBook) -> Vec<RuleV1> {
    let rule = |rule: &crate::engine::rules::RuleSource| RuleV1 {
        id: rule.id.to_string(),
        version: rule.version,
        title: rule.title.to_string(),
        owner: rule.owner.to_string(),
        mode: rule.mode.name().to_owned(),
        then: rule.then.name().to_owned(),
        hits: None,
    };
    book.rules().map(rule).collect()
}

fn counted(metrics: &Metrics, rule: RuleV1) -> RuleV1 {
    let (live, shadow, errors) = metrics.rule_hits(&rule.id);
    RuleV1 { hits: Some(RuleHitsV1 { live, shadow, errors }), ..rule }
}

fn proposal(proposal: &Proposal) -> ProposalV1 {
    let Proposal { book, by, since, .. } = proposal;
    let approvals_needed = proposal.approvals_needed();
    ProposalV1 { hash: hex(book.hash()), by: by.to_string(), since: told(*since), version: book.version(), approvals_needed }
}

fn told(since: ArrivalTime) -> String {
    instant::Utc(EventTime(since.0)).to_string()
}
