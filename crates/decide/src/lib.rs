//! The decisions of an autoscaling platform: how many replicas, which node, how many nodes.
//!
//! Pure: a snapshot and an instant come in; a decision, its reasons and the next deadline go out. The live controllers
//! and the simulator call the same functions, which is why this crate may not know a clock, a network or a runtime.

pub mod check;
pub mod hpa;
pub mod nodes;
pub mod report;
pub mod scheduling;
pub mod wire;
