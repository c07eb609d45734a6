//! Reads bytes as what is to happen.

/// What is left of an input.
///
/// Any bytes are a script, and one that a person has written is readable: white space means nothing, a
/// `#` begins a comment, a digit is the choice of that number, and those left out at the end are zeros.
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next thing to happen.
    pub(super) fn act(&mut self) -> Option<u8> {
        loop {
            match self.next()? {
                b' ' | b'\n' => {}
                b'#' => while !matches!(self.next()?, b'\n') {},
                act => return Some(act),
            }
        }
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        match self.0.first() {
            None | Some(b' ' | b'\n') => 0,
            Some(byte) => {
                self.0 = &self.0[1..];
                usize::from(byte.wrapping_sub(b'0')) % n
            }
        }
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}
