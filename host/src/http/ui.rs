//! `/ui`: the dashboard. Its files are in the binary, hold no data and need no token; all that they show comes
//! from the API, with the token of whoever looks.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::problem::{Code, Problem};
use super::state::Api;

/// Nothing but what this host serves, and nothing that is written into a page: not a script, not a style. No
/// other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the dashboard.
struct File {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    /// The first digits of its SHA-256; the page asks for the others with it.
    digest: String,
}

/// The files that `cargo xtask ui` has made. The first one is the page.
static FILES: LazyLock<[File; 4]> = LazyLock::new(|| {
    let file = |name, media_type, bytes: &'static [u8]| {
        let digest = hex::encode(&Sha256::digest(bytes)[..8]);
        File { name, media_type, bytes, digest }
    };
    [
        file("", "text/html; charset=utf-8", include_bytes!("../../ui/dist/index.html")),
        file("app.js", "text/javascript; charset=utf-8", include_bytes!("../../ui/dist/app.js")),
        file("app.css", "text/css; charset=utf-8", include_bytes!("../../ui/dist/app.css")),
        file("icon.svg", "image/svg+xml", include_bytes!("../../ui/dist/icon.svg")),
    ]
});

/// The dashboard, unless the settings have none.
pub(super) fn routes(served: bool) -> Router<Api> {
    if !served {
        return Router::new();
    }
    let page = async |uri: Uri, headers: HeaderMap| answer("", &uri, &headers);
    let file = async |Path(name): Path<String>, uri: Uri, headers: HeaderMap| {
        answer(&name, &uri, &headers)
    };
    Router::new()
        .route("/ui", get(async || Redirect::permanent("/ui/")))
        .route("/ui/", get(page))
        .route("/ui/{file}", get(file))
}

fn answer(name: &str, uri: &Uri, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Problem::new(Code::NotFound, "the dashboard is at /ui/").into_response();
    };
    let tag = format!("\"{}\"", file.digest);
    // What is asked for by its digest never changes.
    let asked = uri.query().and_then(|query| query.strip_prefix("v="));
    let cache = match asked == Some(file.digest.as_str()) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let common = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (CACHE_CONTROL, cache),
        (ETAG, &tag),
    ];
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(','));
    if known.map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*") {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, file.media_type)], file.bytes).into_response()
}
