//! What must hold for any input, as plain functions: a fuzzer calls them with inputs that it makes
//! up, and a test with those in `corpus`, which a person has named.
//!
//! Each returns what it has seen happen, by which the files in its corpus are named.

mod frame;
mod object;
mod request;
mod speaker;

pub use frame::{OWN, frame};
pub use object::{Reading, object};
pub use request::request;
pub use speaker::{Milestone, speaker};
