//! The OpenAPI document, made from the handlers and the wire types. `docs/openapi.json` is its checked-in copy.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{check, decisions, ops, pipelines, referrals, rules, rulings};
use crate::contract::check::CheckAnswer;
use crate::contract::decision::DecisionV1;
use crate::contract::problem::Problem;
use crate::contract::quote::QuoteV1;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "quoteguard",
        description = "Recognises the same car-insurance applicant in disguise while the quote form is still open.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        check::check,
        decisions::decision,
        referrals::referral,
        rules::current,
        rules::versions,
        rules::version,
        rules::check,
        rules::activate,
        rules::rollback,
        rules::approve,
        rulings::rule,
        rules::proposed,
        pipelines::list,
        pipelines::order,
        ops::livez,
        ops::readyz,
        ops::metrics,
        ops::openapi,
    ),
    components(schemas(QuoteV1, CheckAnswer, DecisionV1, Problem)),
    modifiers(&Keys),
    tags(
        (name = "quotes", description = "For the insurer's site"),
        (name = "rules", description = "For fraud analysts"),
        (name = "rulings", description = "For underwriters"),
        (name = "operations", description = "For operators"),
    ),
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key")).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKeyValue::with_description("X-Api-Key", "An API key");
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_OPENAPI=1 cargo test openapi` writes the file anew.
    #[test]
    fn the_checked_in_document_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let now = document().to_pretty_json().expect("serialises") + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).expect("a folder");
            std::fs::write(path, &now).expect("written");
        }
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(checked_in == now, "docs/openapi.json is stale: run UPDATE_OPENAPI=1 cargo test openapi");
    }
}
