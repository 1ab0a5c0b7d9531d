//! The style and the scripts, inside the binary; their addresses hold their content, so browsers keep them for ever.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use xxhash_rust::xxh3::xxh3_64;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal, $kind:expr;)*) => {
        const ASSETS: &[Asset] = &[$(Asset {
            name: $name,
            kind: $kind,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/console/", $name)),
        },)*];
    };
}

assets! {
    "console.css", STYLE;
    "console.js", SCRIPT;
    "htmx.min.js", SCRIPT;
    "htmx-sse.min.js", SCRIPT;
    "icon.svg", "image/svg+xml";
}

static URLS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let url = |asset: &Asset| format!("/console/assets/{:016x}/{}", xxh3_64(asset.bytes), asset.name);
    ASSETS.iter().map(url).collect()
});

/// Where an asset is; empty for a name that is none.
pub fn url(name: &str) -> String {
    let at = ASSETS.iter().position(|asset| asset.name == name);
    at.map(|at| URLS[at].clone()).unwrap_or_default()
}

pub async fn asset(Path((hash, name)): Path<(String, String)>) -> Response<Body> {
    let path = format!("/console/assets/{hash}/{name}");
    match ASSETS.iter().zip(URLS.iter()).find(|(_, url)| **url == path) {
        Some((asset, _)) => {
            ([(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")], asset.bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
