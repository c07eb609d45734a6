//! The world in memory for Porter, and the lab.

pub mod apiserver;
pub mod lab;
pub mod standins;
