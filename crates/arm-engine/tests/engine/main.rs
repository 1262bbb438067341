//! The engine through its face: requests, effects, outcomes, records.

mod access;
mod deployments;
mod hostile;
mod platform;
mod properties;
mod providers;
mod support;
