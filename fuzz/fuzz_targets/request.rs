//! Requests to the lab's API server, whatever they are.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = porter_fuzz::request(bytes);
});
