//! The adapter to the API server, over HTTP and through a gate that fails as networks do: against an API server in
//! memory that fails as it is told, or, where nothing but a working one is needed, against a real one if there is one.

#[cfg(target_os = "linux")]
mod agent;
#[cfg(target_os = "linux")]
mod budget;
mod cluster;
#[path = "../envtest.rs"]
mod envtest;
mod events;
mod faults;
mod gate;
#[cfg(target_os = "linux")]
mod metrics;
#[cfg(target_os = "linux")]
mod rbac;
#[cfg(target_os = "linux")]
mod uninstall;
mod watches;
mod writes;
