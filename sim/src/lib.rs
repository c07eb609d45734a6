//! The world in memory for Porter, and the lab.

pub mod apiserver;
mod check;
pub mod explore;
pub mod forecast;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod report;
pub mod standins;
mod world;

pub use world::{
    Client, Dump, DumpError, Happening, Lane, Manifest, ManifestError, Mark, Mode, Moment, Options,
    State, Step, Subject, Tick, Told, Trace, Trial, Unreachable, Weather, World, tell,
};
