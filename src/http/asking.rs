//! Who asks, and whether they may: looked at once for each request, before its body is read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Shared;
use super::auth::{Caller, Client, Wrong};
use super::reply::Refusal;
use super::server::Peer;
use crate::config::Permission;
use crate::contract::problem::Problem;

pub struct Asking {
    caller: Caller,
    /// They ask too often: for how long to wait.
    wait: Option<Duration>,
}

impl Asking {
    /// Counts the request.
    pub fn of(shared: &Shared, parts: &Parts) -> Asking {
        let caller = shared.keys.caller(&parts.headers);
        let address = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        let wait = shared.keys.admit(&caller, address).err();
        if wait.is_some() {
            shared.metrics.rate_limited(if let Caller::Known(client) = &caller { Some(&client.name) } else { None });
        }
        Asking { caller, wait }
    }

    /// Who asks for what needs a permission; `None` where nobody needs a key, and everybody may.
    ///
    /// # Errors
    /// 401 without a valid key, 403 with one that does not open this, 429 when it asks too often, 503 while the keys are not known.
    pub fn authorise(self, permission: Permission) -> Result<Option<Client>, Refusal> {
        if let Some(wait) = self.wait {
            return Err(Refusal::until(Problem::rate_limited(), wait));
        }
        match self.caller {
            Caller::Anyone => Ok(None),
            Caller::Known(client) if client.may.contains(&permission) => Ok(Some(client)),
            Caller::Known(_) => Err(Problem::forbidden("the key was not given this: its `may` does not name it").into()),
            Caller::Unknown(wrong) => Err(Problem::unauthorized(said(wrong)).into()),
            Caller::NotYet => Err(Problem::unavailable("the API keys are kept on the desk, which was not read yet").into()),
        }
    }
}

/// Nothing that is not known to whoever has the key.
fn said(wrong: Wrong) -> String {
    match wrong {
        Wrong::Missing => "send a valid key in the header Authorization: Bearer".to_owned(),
        Wrong::Ended(id) => {
            format!("the key qg_{id} is not in force: it was revoked, has expired, or belongs to another service")
        }
        Wrong::Mistyped => "the key was cut or mistyped: its checksum does not fit".to_owned(),
        Wrong::Other => "this key is not known; send a valid one in the header Authorization: Bearer".to_owned(),
    }
}

impl FromRequestParts<Arc<Shared>> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Asking, Infallible> {
        Ok(Asking::of(shared, parts))
    }
}
