//! Real Kubernetes objects in, decision views out, and the JSON-lines formats of `marea decide`.

pub mod context;
pub mod hpa;
pub mod hpa_timeline;
pub mod input;
pub mod node;
pub mod nodes;
pub mod pod;
mod resources;
pub mod schedule;
mod selector;
mod time;
