//! A page for people: who leads, how full Eips are, where each address is, and what is seen of nodes.
//!
//! One page with all that it needs, which asks `/status` again and again.

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Serialize;

use super::{Sources, health, text_of};
use crate::{
    Picture,
    view::{Leader, now},
};

const PAGE: &str = include_str!("page.html");

/// Nothing is loaded from elsewhere, and nobody puts the page into another.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What the page shows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    version: &'static str,
    /// Who tells this.
    replica: String,
    /// Whether it could take over, and if not, why; as `/readyz`.
    ready: bool,
    readiness: String,
    leader: Leader,
    #[serde(flatten)]
    picture: &'a Picture,
}

/// How things are, as JSON.
pub(super) async fn status(sources: &Sources) -> Result<String, String> {
    let picture = health::picture(sources).await?;
    let ready = health::readyz(sources).await;
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        replica: sources.identity.to_string(),
        ready: ready.is_ok(),
        readiness: ready.unwrap_or_else(|why| why),
        leader: Leader::of(&sources.lease, picture.lease.as_ref(), now()),
        picture: &picture,
    };
    Ok(serde_json::to_string(&status).expect("names and numbers are JSON"))
}

/// The page.
pub(super) fn page() -> Response<Full<Bytes>> {
    let mut response = text_of(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_owned());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}
