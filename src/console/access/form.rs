//! Fields of a form or a query; a form is read only with the token of its session.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::guard::Ctx;
use crate::console::failure::Failure;

/// A comment of 10,000 characters, each of six bytes when it is encoded, and room. Beyond: the form is refused.
pub const FORM_BYTES_MAX: usize = 1024 * 1024;
/// Beyond: the connection breaks off.
const HEARD_BYTES_MAX: usize = 16 * FORM_BYTES_MAX;
const READ_WITHIN: Duration = Duration::from_secs(10);

/// Names and values in their order; the first of a name counts.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn parse(encoded: &[u8]) -> Fields {
        Fields(form_urlencoded::parse(encoded).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// Without the space around it; `None` when nothing is left.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The fields after the question mark.
impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Fields, Self::Rejection> {
        Ok(Fields::parse(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

/// A form of this session: whoever has one knows that its owner sent it from a page of ours.
#[derive(Clone, Debug)]
pub struct Form(pub Fields);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Form, Failure> {
        let ctx = request.extensions().get::<Ctx>().cloned().ok_or(Failure::Forged)?;
        let fields = read(request.into_body()).await?;
        if !ctx.token.is_csrf(fields.get("csrf").unwrap_or_default()) {
            return Err(Failure::Forged);
        }
        Ok(Form(fields))
    }
}

/// # Errors
/// A form that is too large, too slow or breaks off.
pub async fn read(body: Body) -> Result<Fields, Failure> {
    let bytes = timeout(READ_WITHIN, collect(body)).await.map_err(|_| Failure::BadForm)??;
    Ok(Fields::parse(&bytes))
}

/// What is too large is read on for a while: a browser hears an answer only once it has sent its form.
async fn collect(mut body: Body) -> Result<Vec<u8>, Failure> {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Failure::BadForm)?.into_data() else { continue };
        bytes += data.len();
        if bytes > HEARD_BYTES_MAX {
            return Err(Failure::TooLarge);
        }
        if bytes <= FORM_BYTES_MAX {
            kept.extend_from_slice(&data);
        }
    }
    if bytes > FORM_BYTES_MAX { Err(Failure::TooLarge) } else { Ok(kept) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_the_first_counts() {
        let fields = Fields::parse("name=%D0%98%D0%B2%D0%B0%D0%BD+&name=x&empty=&csrf=%41%".as_bytes());
        assert_eq!(fields.get("name"), Some("Иван "));
        assert_eq!(fields.given("name"), Some("Иван"));
        assert_eq!((fields.given("empty"), fields.has("empty"), fields.has("absent")), (None, true, false));
        assert_eq!(fields.get("csrf"), Some("A%"));
    }
}
