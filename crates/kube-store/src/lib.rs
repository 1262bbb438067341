//! What a Kubernetes API server does with objects, without any I/O: versioned storage with a watch log, selectors,
//! the four patches, field ownership, and the structural schemas that patches and validation need.
//!
//! The crate exists so that none of this can reach for a clock, a socket or a thread: time comes in as an argument,
//! and what a caller persists or publishes is the [`store::Change`] that it gets back.

pub mod apply;
pub mod patch;
pub mod path;
pub mod schema;
pub mod selector;
pub mod store;
