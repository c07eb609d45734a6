//! The adapter to the API server, over HTTP, against an API server in memory and through a gate that
//! fails as networks do.

#[cfg(target_os = "linux")]
mod agent;
mod cluster;
mod gate;
mod watches;
mod writes;
