//! Azure Resource Manager's behaviour as a pure state machine.
//!
//! Requests, outcomes and the time come in; responses, effects and records to store go out. This crate exists so that what ARM does
//! can be tested, replayed and imagined (what-if runs on a copy) without a clock, a network or a disk.

mod actions;
mod activity;
mod cidr;
mod computed;
mod deletion;
mod deployment;
mod directory;
pub mod effect;
mod engine;
mod expression;
mod fault;
mod ids;
mod lenient_json;
mod linked_access;
mod lists;
mod namespaces;
mod operations;
mod outcomes;
mod providers;
mod rbac;
mod request;
mod resource_http;
mod resources;
mod roles;
mod router;
mod stack;
mod state;
mod subscription;
mod table;
mod tags;

pub use directory::SignIn;
pub use engine::{Engine, Settings};
pub use fault::Fault;
pub use ids::Ids;
pub use outcomes::{ClusterView, DnsRecord};
pub use request::{Method, Principal, Request, Response};
pub use router::is_poll;
pub use table::Record;
