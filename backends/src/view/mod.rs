//! What people are shown who ask how things are: made of what is on record, for a terminal or for
//! programs.

mod age;
mod explain;
mod status;
mod table;
mod tracing;

pub use age::{age, now};
pub use explain::Explained;
pub use status::{Leader, Record, Status};
pub use table::table;
pub use tracing::Tracing;
