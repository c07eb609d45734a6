//! What a replica remembers has a limit, or follows what there is (S11), whatever was asked of it, told to
//! it or claimed on the LAN.

use porter_core::Speaker;

use super::Violation;

/// How often it is looked, counted in how often a replica was woken: it costs more than to be woken does.
const EVERY: u32 = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    n_woken: u32,
}

impl Sizes {
    /// A replica was woken, and has done all that it wanted done.
    pub(super) fn woken(&mut self, name: &str, speaker: &Speaker) -> Result<(), Violation> {
        self.n_woken = self.n_woken.wrapping_add(1);
        if !self.n_woken.is_multiple_of(EVERY) {
            return Ok(());
        }
        match speaker.sizes().excesses().next() {
            Some(excess) => {
                let (of, entries, at_most) = (excess.of, excess.entries, excess.at_most);
                Err(Violation(format!("{name} remembers {entries} {of}, not {at_most} at most")))
            }
            None => Ok(()),
        }
    }
}
