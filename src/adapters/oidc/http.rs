//! Requests to the provider, with a deadline and a bound on what is read.

use std::time::{Duration, Instant};

use openidconnect::{HttpRequest, HttpResponse};
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Of one answer. Beyond: it is none.
const BYTES_MAX: u64 = 256 * 1024;
/// Of one request, within the deadline.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(transparent)]
    Ureq(#[from] ureq::Error),
    #[error("no time is left")]
    Late,
}

pub struct Http(Agent);

impl Http {
    /// Through the proxy of the environment, where there is one. No redirects are followed: what is sent holds secrets.
    ///
    /// # Errors
    /// Roots without a certificate.
    pub fn new(roots: Option<&[u8]>) -> Result<Http, String> {
        let roots = roots.map(certificates).transpose()?.map_or(RootCerts::WebPki, |roots| RootCerts::new_with_certs(&roots));
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        Ok(Http(config.build().into()))
    }

    /// What sends requests until then.
    pub fn until(&self, deadline: Instant) -> impl Fn(HttpRequest) -> Result<HttpResponse, HttpError> {
        move |request| self.send(request, deadline)
    }

    fn send(&self, request: HttpRequest, deadline: Instant) -> Result<HttpResponse, HttpError> {
        let left = deadline.saturating_duration_since(Instant::now()).min(PATIENCE);
        if left.is_zero() {
            return Err(HttpError::Late);
        }
        let answer = if request.body().is_empty() {
            // Else it would have a body of no bytes.
            self.0.run(self.0.configure_request(request.map(|_| ())).timeout_global(Some(left)).build())?
        } else {
            self.0.run(self.0.configure_request(request).timeout_global(Some(left)).build())?
        };
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(BYTES_MAX).read_to_vec()?;
        Ok(HttpResponse::from_parts(parts, body))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err("there is none".into()) } else { Ok(found) }
}
