//! What is decided follows every fact at once, though only those are looked at whom it concerns: a
//! replica that looks at everything again finds nothing to do.

use porter_core::{Instant, Speaker};

use super::Violation;

/// So many times a replica is woken before it looks at everything again, which costs more than all else.
const EVERY: u64 = 8;

/// How often each replica was woken.
#[derive(Clone, Debug, Default)]
pub(super) struct Afterthoughts(u64);

impl Afterthoughts {
    /// A replica was woken, and has done what it wanted.
    pub(super) fn woken(
        &mut self,
        name: &str,
        now: Instant,
        speaker: &mut Speaker,
    ) -> Result<(), Violation> {
        self.0 += 1;
        if !self.0.is_multiple_of(EVERY) {
            return Ok(());
        }
        speaker.look_again(now);
        match speaker.poll_output() {
            Some(output) => {
                Err(Violation(format!("{name} looks at everything again and wants {output:?}")))
            }
            None => Ok(()),
        }
    }
}
