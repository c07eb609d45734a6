//! A timer that has fired is not due again at once: a speaker that asks to be woken now, over and
//! over, would keep a processor busy and get nowhere.

use porter_core::Instant;

use super::Violation;

pub(super) fn check(name: &str, now: Instant, next_at: Option<Instant>) -> Result<(), Violation> {
    match next_at {
        Some(next_at) if next_at <= now => {
            Err(Violation(format!("{name} was woken at {now} and asks to be woken at {next_at}")))
        }
        Some(_) | None => Ok(()),
    }
}
