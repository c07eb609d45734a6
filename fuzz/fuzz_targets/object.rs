//! Objects from an API server or a person, whatever they are.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = porter_fuzz::object(bytes);
});
