//! Real Kubernetes objects in, decision views out, and the JSON-lines formats of `marea decide`.

pub mod hpa;
pub mod hpa_timeline;
pub mod input;
