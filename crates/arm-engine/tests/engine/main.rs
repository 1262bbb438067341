//! The engine through its face: requests, effects, outcomes, records.

mod deployments;
mod platform;
mod providers;
mod support;
