//! The world in memory for Porter, and the lab.

pub mod apiserver;
mod check;
pub mod lab;
pub mod standins;
mod world;

pub use world::{
    Manifest, ManifestError, Moment, Options, Step, Unreachable, Weather, World, tell,
};
