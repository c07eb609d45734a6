//! Names the cluster makes up: a template's hash and a pod's suffix, in the alphabet that
//! Kubernetes uses for them.

/// No vowels and nothing that looks like another character, so that no name is a word or is
/// misread.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// What tells one pod template from another in names and labels.
pub(super) fn template_hash(template: &str) -> String {
    letters(fold(template), 9)
}

/// Five characters drawn from `seed`, as behind the last dash of a pod's name.
pub(super) fn suffix(seed: &str) -> String {
    letters(fold(seed), 5)
}

fn letters(mut number: u64, count: usize) -> String {
    let base = ALPHABET.len() as u64;
    let mut letter = || {
        let digit = usize::try_from(number % base).expect("a digit is less than the base");
        number /= base;
        char::from(ALPHABET[digit])
    };
    (0..count).map(|_| letter()).collect()
}

/// FNV-1a: the same number on every run and machine, which std's hasher does not promise.
fn fold(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_its_seed_alone() {
        assert_eq!(suffix("mylbapp"), suffix("mylbapp"));
        assert_ne!(suffix("mylbapp"), suffix("mylbapp "));
        assert_eq!(template_hash("{}").len(), 9);
    }
}
