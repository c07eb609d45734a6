//! Every decision of Porter's layer2 mode, as a pure state machine.
//!
//! Facts and instants go in, effects and deadlines come out. Nothing in here does I/O, reads a
//! clock, spawns, or knows a Kubernetes type; iteration order is fixed and randomness comes from a
//! seed, so that a run is a function of its inputs.

#![forbid(unsafe_code)]

mod announcer;
mod answer;
mod asked;
mod claim;
mod cluster;
mod condition;
mod config;
mod conflict;
mod controller;
#[cfg(test)]
mod deep;
mod election;
mod endpoints;
mod event;
mod facts;
mod few;
mod groups;
mod heed;
mod interface;
mod ipam;
pub mod keys;
mod ledger;
mod limits;
mod load;
mod names;
mod neighbor;
mod observer;
mod placement;
mod proxy;
mod publication;
mod random;
mod range;
mod reach;
mod request;
mod speaker;
mod store;
mod table;
mod time;
mod whereabouts;
pub mod wire;

pub use answer::{Answers, IsAt, Silence, WhoHas};
pub use asked::Asked;
pub use condition::{About, Condition, Event};
pub use config::{Config, LeaseTiming, Probing, ProbingError, TimingError};
pub use conflict::{ConflictProbing, Disputes, OnConflict};
pub use controller::{Move, MoveCause};
pub use election::{Election, Fitness, Wanted};
pub use event::{
    ConditionChange, EipChange, Generation, Got, Input, Kind, MetadataChange, Output, Probe,
    ProxyHealth, Read, ReadError, ReadId, ServiceChange, ServiceStatus, Write, WriteError, WriteId,
    Written,
};
pub use facts::{
    Eip, EipStatus, Endpoint, Family, Ingress, LeaseRecord, Link, Metadata, Namespace, Node, Port,
    Service, Slice, Texts, TrafficPolicy, Used, Version,
};
pub use few::Few;
pub use heed::Heed;
pub use interface::{Unroutable, Unusable};
pub use limits::Limits;
pub use names::{
    EipName, Identity, LinkName, NamespaceName, Namespaced, NodeName, ServiceName, SliceName, Uid,
};
pub use neighbor::Doubts;
pub use observer::{Announcement, Asks, Explanation, Held, Observer, Prospect, Standing};
pub use pnet::util::MacAddr;
pub use range::{AddressRange, RangeError};
pub use request::NotOurs;
pub use speaker::{Pool, Sight, Size, Sizes, Speaker, Station};
pub use store::Listing;
pub use time::{Instant, Timestamp};
pub use whereabouts::Whereabouts;
