//! What the outcome of a request says about its effect.

use std::{error::Error, time::Duration};

use kube::core::Status;
use porter_core::{ReadError, WriteError};

/// Why a write did not, or may not, have had its effect.
///
/// `creates` is whether it should have made the object.
pub(super) fn write_error(error: &kube::Error, creates: bool) -> WriteError {
    match status(error) {
        Some(Status { code: 409, .. }) => WriteError::Conflict,
        // What was to be changed is gone. Where it was to be created, its namespace is missing.
        Some(Status { code: 404 | 410, .. }) if !creates => WriteError::Conflict,
        Some(Status { code: 401 | 403, .. }) => WriteError::Forbidden(told(error)),
        Some(Status { code: 429, .. }) => WriteError::Busy(retry_after(error)),
        Some(Status { code: 400..=499, .. }) => WriteError::Rejected(told(error)),
        // Overloaded, broken, torn: an answer that says nothing of what became of the request.
        Some(_) | None => WriteError::Unknown,
    }
}

/// Why a read brought nothing.
pub(super) fn read_error(error: &kube::Error) -> ReadError {
    let busy = retry_after(error);
    match status(error) {
        Some(Status { code: 401 | 403, .. }) => ReadError::Forbidden(told(error)),
        Some(_) if !busy.is_zero() => ReadError::Busy(busy),
        Some(_) | None => ReadError::Failed(told(error)),
    }
}

/// Whether what was asked for does not exist.
pub(super) fn is_not_found(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| status.code == 404)
}

/// Whether the version to go on from is older than what the API server remembers.
pub(super) fn is_expired(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| status.code == 410)
}

/// How long the API server asks to be left alone.
pub(super) fn retry_after(error: &kube::Error) -> Duration {
    let Some(status) = status(error) else { return Duration::ZERO };
    let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    // A server that refuses for its load but does not say for how long means this much.
    let least = u32::from(status.code == 429);
    Duration::from_secs(asked.max(least).into())
}

/// The error in words, with the causes that its own text leaves out.
pub(super) fn told(error: &kube::Error) -> String {
    if let Some(Status { code, message, .. }) = status(error) {
        return match message.as_str() {
            "" => format!("the API server answered {code}"),
            message => message.to_owned(),
        };
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether there was an answer at all.
pub(super) fn is_answer(error: &kube::Error) -> bool {
    status(error).is_some()
}

fn status(error: &kube::Error) -> Option<&Status> {
    if let kube::Error::Api(status) = error { Some(status) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("no", "Because").with_code(code).boxed())
    }

    #[test]
    fn a_verdict_says_no_effect_only_where_there_was_none() {
        let verdict = |code| write_error(&refused(code), false);
        for code in [404, 409, 410] {
            assert_eq!(verdict(code), WriteError::Conflict, "{code}");
        }
        for code in [400, 413, 422] {
            assert_eq!(verdict(code), WriteError::Rejected("no".into()), "{code}");
        }
        for code in [401, 403] {
            assert_eq!(verdict(code), WriteError::Forbidden("no".into()), "{code}");
        }
        assert_eq!(verdict(429), WriteError::Busy(Duration::from_secs(1)));
        for code in [0, 500, 502, 503, 504] {
            assert_eq!(verdict(code), WriteError::Unknown, "{code}");
        }
    }

    #[test]
    fn creating_in_a_namespace_that_is_missing_is_refused_and_no_conflict() {
        assert_eq!(write_error(&refused(404), true), WriteError::Rejected("no".into()));
        assert_eq!(write_error(&refused(409), true), WriteError::Conflict);
    }

    #[test]
    fn a_read_that_failed_says_whether_to_wait_and_whether_it_is_any_use() {
        let error = |code| read_error(&refused(code));
        for code in [401, 403] {
            assert_eq!(error(code), ReadError::Forbidden("no".into()), "{code}");
        }
        assert_eq!(error(429), ReadError::Busy(Duration::from_secs(1)));
        for code in [400, 404, 500, 503] {
            assert_eq!(error(code), ReadError::Failed("no".into()), "{code}");
        }
    }

    #[test]
    fn an_overloaded_server_is_left_alone_for_a_second_at_least() {
        assert_eq!(retry_after(&refused(429)), Duration::from_secs(1));
        assert_eq!(retry_after(&refused(503)), Duration::ZERO);
    }
}
