//! What answering costs, beside the Linux kernel's own responder, and what it costs others.
//!
//! `cargo bench -p porter-tests --bench wire`, as root or where user namespaces are allowed. Nothing leaves
//! the machine: everything happens on veth pairs between network namespaces that are gone afterwards.
//!
//! Rounds are interleaved: the kernel, then ours, then the kernel again. What disturbs a machine disturbs
//! both, so that the ratios of a round mean something where its figures do not.

#[cfg(target_os = "linux")]
#[path = "../../link/apart.rs"]
#[expect(dead_code, reason = "only tests run tests")]
mod apart;
#[cfg(target_os = "linux")]
mod bulk;
#[cfg(target_os = "linux")]
mod cpu;
#[cfg(target_os = "linux")]
mod generator;
#[cfg(target_os = "linux")]
#[path = "../../link/host.rs"]
#[expect(dead_code, reason = "the tests do more with hosts")]
mod host;
#[cfg(target_os = "linux")]
mod questions;
#[cfg(target_os = "linux")]
mod responder;
#[cfg(target_os = "linux")]
mod round_trip;
#[cfg(target_os = "linux")]
mod storm;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod wire;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    wire::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
