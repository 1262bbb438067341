//! Units and ids that every other crate shares. No I/O, no clock.
//!
//! This crate exists so that millicores, bytes, instants and money can never be mixed up: each is a type of its own, and
//! Kubernetes quantities are parsed in one place.

mod money;
mod quantity;
mod time;

pub use money::Money;
pub use quantity::{Bytes, Millicores, Quantity, QuantityError};
pub use time::{Millis, Timestamp, TimestampError};
