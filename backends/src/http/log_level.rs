//! How much the process logs, to be read and changed while it runs.
//!
//! Changed only from this host, and by no web page: a browser names the page's origin.

use std::{fmt::Debug, net::SocketAddr};

use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

/// The longest directives that are read, in bytes.
const DIRECTIVES_MAX: usize = 1_024;

/// What the log is told of, in the words of `--log-level`.
pub trait LogLevel: Debug + Send + Sync {
    /// The directives that are in force.
    fn get(&self) -> String;

    /// Puts others in force. The error says what is wrong with them.
    fn set(&self, directives: &str) -> Result<(), String>;
}

/// Whether a request came from this host, and from no web page.
pub(super) fn may_set(peer: SocketAddr, headers: &HeaderMap) -> bool {
    peer.ip().to_canonical().is_loopback() && !headers.contains_key(header::ORIGIN)
}

/// Changes the level as the body says, if whoever asks may. Answers what is in force.
pub(super) async fn set(
    level: &dyn LogLevel,
    peer: SocketAddr,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<String, (StatusCode, String)> {
    if !may_set(peer, headers) {
        let reason = "the log level is changed from this host only, and by no web page";
        return Err((StatusCode::FORBIDDEN, reason.to_owned()));
    }
    let refused = |reason: String| (StatusCode::BAD_REQUEST, reason);
    let body = Limited::new(body, DIRECTIVES_MAX).collect().await;
    let body = body.map_err(|error| refused(error.to_string()))?.to_bytes();
    let directives = std::str::from_utf8(&body).map_err(|error| refused(error.to_string()))?;
    level.set(directives.trim()).map_err(refused)?;
    Ok(level.get())
}
