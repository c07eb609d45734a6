//! The links of a host, on a LAN of the kernel's own: veth pairs between network namespaces, and
//! hosts with real neighbour caches.

#![cfg(target_os = "linux")]

mod apart;
mod filter;
mod flood;
mod host;
mod interfaces;
mod lan;
mod ndp;
