//! Azure Resource Manager's behaviour as a pure state machine.
//!
//! Requests, outcomes and the time come in; responses, effects and records to store go out. This crate exists so that what ARM does
//! can be tested, replayed and imagined (what-if runs on a copy) without a clock, a network or a disk.

mod cidr;
mod deletion;
mod deployment;
pub mod effect;
mod engine;
mod expression;
mod fault;
mod ids;
mod operations;
mod outcomes;
mod providers;
mod request;
mod resources;
mod router;
mod stack;
mod state;
mod subscription;
mod table;

pub use engine::{Engine, Settings};
pub use fault::Fault;
pub use ids::Ids;
pub use outcomes::{ClusterView, DnsRecord};
pub use request::{Method, Principal, Request, Response};
pub use table::Record;
