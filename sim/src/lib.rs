//! The world in memory for Porter, and the lab.

pub mod apiserver;
mod check;
#[cfg(target_os = "linux")]
pub mod lab;
pub mod standins;
mod world;

pub use world::{
    Manifest, ManifestError, Moment, Options, Step, Unreachable, Weather, World, tell,
};
