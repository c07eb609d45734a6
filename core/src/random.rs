//! Randomness from the seed: jitter for timers, and the hash that breaks ties.
//!
//! SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one word of state and a full period, which is
//! more than jitter needs.

#[cfg(test)]
use std::sync::LazyLock;
use std::time::Duration;

/// A generator owned by the part that uses it, so that a run is a function of its seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One whose next span is neither longer nor shorter: for tests that look at every state.
    #[cfg(test)]
    pub(crate) fn still() -> Self {
        static SEED: LazyLock<u64> = LazyLock::new(|| {
            let is_still = |&seed: &u64| Random(seed).next() % 201 == 100;
            (0..).find(is_still).expect("one in 201 is")
        });
        Self(*SEED)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let below = self.next() % u64::try_from(end).expect("a usize has 64 bits at most");
        usize::try_from(below).expect("it is below a usize")
    }

    /// `span`, longer or shorter by up to a tenth.
    pub(crate) fn about(&mut self, span: Duration) -> Duration {
        let permille = 900 + u32::try_from(self.next() % 201).expect("a remainder below 201");
        span * permille / 1_000
    }
}

/// A hash of some texts, the same on every replica and in every version of this project.
pub(crate) fn hash(texts: &[&str]) -> u64 {
    let mut state = 0;
    for text in texts {
        for byte in text.bytes().chain([0xff]) {
            state = mix(state ^ u64::from(byte)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }
    mix(state)
}

/// A hash of a number, of which every bit depends on every bit.
pub(crate) fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth() {
        let mut random = Random::new(7);
        let span = Duration::from_secs(1);
        for _ in 0..1_000 {
            let jittered = random.about(span);
            assert!(jittered >= span * 9 / 10 && jittered <= span * 11 / 10);
        }
    }

    #[test]
    fn where_one_text_ends_and_the_next_begins_counts() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
