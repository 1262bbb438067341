//! Simulations as jobs in PostgreSQL: any replica takes the next one, and another takes over where a replica goes.
//!
//! `request` turns what was asked for into a scenario about the deployed platform, `store` holds every query, `worker` runs
//! one job at a time, `outcome` is what is kept of it.
mod outcome;
mod request;
mod store;
mod worker;

pub use request::{Deployed, Invalid, check};
pub use store::{Store, Taken};
pub use worker::Worker;
