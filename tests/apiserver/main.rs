//! The lab's API server over real HTTP: what kube-rs and kubectl ask of it, and what they get.

mod apply;
mod cel;
mod client;
mod columns;
#[path = "../envtest.rs"]
mod envtest;
mod events;
mod faults;
mod guide;
mod kubectl;
mod manifests;
mod patches;
mod recorded;
mod selectors;
mod server;
mod verbs;
