//! The adapter to the API server, over HTTP, against an API server in memory that fails as it is told and through a gate that
//! fails as networks do.

#[cfg(target_os = "linux")]
mod agent;
mod cluster;
mod faults;
mod gate;
mod watches;
mod writes;
