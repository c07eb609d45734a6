//! What is said of an object on the object itself: conditions, which say what is, and events, which
//! say what happened.
//!
//! A condition is written when it changes and never otherwise; an event goes with the write that
//! made it true. So whoever leads next, finding the condition as it should be, repeats neither.

use std::fmt;

use crate::{EipName, ServiceName, Timestamp, Uid};

/// A condition in an object's `status.conditions` (KEP-1623), of a type that the reader knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Condition {
    /// `status`: whether it is met.
    pub met: bool,
    /// `reason`: one word from a documented list.
    pub reason: String,
    /// `message`: what stands in the way and what to do about it, for a person.
    pub message: String,
    /// `observedGeneration`: the `metadata.generation` that it was made of; 0 where there is none.
    pub generation: i64,
    /// `lastTransitionTime`: since when `status` is what it is.
    pub since: Timestamp,
}

impl Condition {
    /// Whether both say the same, whenever they began to.
    pub fn says_as(&self, other: &Self) -> bool {
        (self.met, &self.reason, &self.message, self.generation)
            == (other.met, &other.reason, &other.message, other.generation)
    }
}

/// A Kubernetes Event: something that happened to an object, for people to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// The object, `regarding`.
    pub about: About,
    /// Whether it is a `Warning`; otherwise it is `Normal`.
    pub warning: bool,
    /// `reason`: one word, the original's where it has one for this.
    pub reason: &'static str,
    /// `note`: a sentence.
    pub message: String,
}

/// The object that an event is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum About {
    /// An Eip.
    Eip(EipName, Option<Uid>),
    /// A Service.
    Service(ServiceName, Option<Uid>),
}

impl fmt::Display for About {
    /// Its kind and its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eip(name, _) => write!(f, "Eip {name}"),
            Self::Service(name, _) => write!(f, "Service {name}"),
        }
    }
}
