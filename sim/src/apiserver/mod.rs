//! The lab's API server: the semantics of a Kubernetes object store, over HTTP, for kubectl and kube-rs.
//!
//! It exists so that the user guide can be followed, and Porter's own client tested, without a
//! cluster. It keeps objects in memory, knows the handful of built-in kinds that Porter and its guide
//! touch, and learns further kinds from CustomResourceDefinitions. There is no authentication, there
//! are no admission plugins and no controllers: whoever needs a scheduler or an EndpointSlice controller
//! brings one that speaks to the [`Store`]. Whoever connects may do everything, and act for others
//! (`kubectl --as`), who may do what RBAC grants them.
//!
//! [`Store`] is the whole behaviour, synchronous and usable without any network; [`answer`] is the same in requests and
//! answers, and [`serve`] puts it on a listener. A write goes through `write` (metadata, preconditions), `schema` (types, unknown fields, defaults and
//! rules in CEL of the definition) and `rules` (what a built-in kind adds), and reaches the objects in `state`;
//! `history` remembers what changed, for watches. `patch` and `apply` make the object that is to be written out of the
//! one that is there; `managed_fields` notes who changed what. [`serve_with`] also takes what should go wrong: requests
//! that are refused, never answered, or cut off.
//!
//! Not there, and refused with a [`Status`] that says so: objects in protobuf (but for namespaces) or YAML, applying to
//! a scale, subresources other than `status` and `scale`, conversion between versions that differ in more than their
//! name. Accepted without effect: grace periods. Events stay until they are deleted.

mod apply;
mod authorization;
mod crd;
mod discovery;
mod faults;
mod follow;
mod history;
mod http;
mod managed_fields;
mod metadata;
mod openapi;
mod patch;
mod protobuf;
mod reads;
mod request;
mod resource;
mod rules;
mod scale;
mod schema;
mod selector;
mod shape;
mod state;
mod status;
mod store;
mod strategic;
mod table;
mod views;
mod write;
mod writes;

pub use authorization::Permission;
pub use faults::{Fault, Faults, Met, Requests, Verb};
pub use history::{Event, EventKind, Watch};
pub use http::{answer, serve, serve_with};
pub use patch::Patch;
pub use resource::Resource;
pub use selector::Selectors;
pub use status::Status;
pub use store::{Listing, Preconditions, Propagation, Store, Subresource};
