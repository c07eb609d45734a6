//! What a replica is told, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = porter_fuzz::speaker(bytes);
});
