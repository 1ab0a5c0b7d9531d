//! What a page can fail with, told in the reader's language.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use super::texts::Texts;
use crate::pipeline::StoreError;
use crate::pipeline::desk::DeskError;

/// A handler answers it, and the guard makes a page of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    NotAllowed,
    NotFound,
    NoCase,
    /// A form without the token of this session, or from a page elsewhere.
    Forged,
    BadForm,
    TooLarge,
    Stale,
    Transition,
    Taken(String),
    TooLong {
        chars: usize,
        max: usize,
    },
    BadTime,
    StoreDown,
    /// Nobody knows whether the ruling is in the log.
    NotRecorded,
    Internal,
}

impl Failure {
    pub fn status(&self) -> StatusCode {
        match self {
            Failure::NotAllowed | Failure::Forged => StatusCode::FORBIDDEN,
            Failure::NotFound | Failure::NoCase => StatusCode::NOT_FOUND,
            Failure::BadForm => StatusCode::BAD_REQUEST,
            Failure::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::Stale | Failure::Transition | Failure::Taken(_) => StatusCode::CONFLICT,
            Failure::TooLong { .. } | Failure::BadTime => StatusCode::UNPROCESSABLE_ENTITY,
            Failure::StoreDown | Failure::NotRecorded => StatusCode::SERVICE_UNAVAILABLE,
            Failure::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn text(&self, t: &Texts) -> String {
        match self {
            Failure::NotAllowed => t.not_allowed.to_owned(),
            Failure::NotFound => t.not_found.to_owned(),
            Failure::NoCase => t.no_case.to_owned(),
            Failure::Forged => t.form_forged.to_owned(),
            Failure::BadForm => t.form_bad.to_owned(),
            Failure::TooLarge => t.form_large.to_owned(),
            Failure::Stale => t.stale.to_owned(),
            Failure::Transition => t.no_transition.to_owned(),
            Failure::Taken(by) => format!("{} {by}.", t.taken),
            Failure::TooLong { chars, max } => format!("{} {chars}, {} {max}.", t.too_long, t.at_most),
            Failure::BadTime => t.bad_time.to_owned(),
            Failure::StoreDown => t.store_down.to_owned(),
            Failure::NotRecorded => t.not_recorded.to_owned(),
            Failure::Internal => t.wrong_title.to_owned(),
        }
    }
}

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Failure {
        match error {
            DeskError::NoCase(_) => Failure::NoCase,
            DeskError::Stale { .. } => Failure::Stale,
            DeskError::Transition { .. } => Failure::Transition,
            DeskError::Taken { by, .. } => Failure::Taken(by),
            DeskError::TooLong { chars, max, .. } => Failure::TooLong { chars, max },
            DeskError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Unavailable(_) => Failure::StoreDown,
            StoreError::Damaged(_) | StoreError::Refused(_) => {
                tracing::error!(%error, "the desk could not be read");
                Failure::Internal
            }
        }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Failure {
        tracing::error!(%error, "a page could not be written");
        Failure::Internal
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
