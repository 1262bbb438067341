//! The platform in virtual time: a discrete-event world that drives `decide` and skips what cannot change anything.
//!
//! [`run`] takes a [`Scenario`] (a platform from templates and manifests, a load, the work of a request, faults) and answers
//! an [`Outcome`]. It calls the very functions that the live controllers call, so a plan is a fast-forward of what runs.
//! This crate exists so that nothing in a simulation can depend on a clock, the network, or the machine: the same scenario
//! gives the same bytes, in debug and release builds, on any number of threads.
//!
//! ```
//! use simulate::load::{Curve, Load};
//! use simulate::scenario::Document;
//! use simulate::{Options, Scenario, run, run_with};
//!
//! # fn platform() -> platform::Platform { platform::Platform::default() }
//! let document: Document = serde_json::from_str(r#"{"duration": "1h", "load": {"shape": {"constant": 40}}}"#).unwrap();
//! let load = Load::whole(Curve::constant(40.0));
//! match Scenario::new(&document, platform(), load) {
//!     Ok(scenario) => {
//!         // Everything, with every decision and its reasons; or, for a search, only the sums.
//!         let told = run(&scenario).unwrap();
//!         let quick = run_with(&scenario, Options::summary()).unwrap();
//!         assert_eq!(told.requests, quick.requests);
//!     }
//!     // `Platform::default()` has no pools.
//!     Err(error) => assert_eq!(error.problem, "the platform has no node pools"),
//! }
//! ```
//!
//! [`Scenario`]'s fields are public, so that a search changes one and runs again; `Scenario::platform` comes from
//! `platform::Platform::new`. Of the floating point only `+ − × ÷ √` and `libm` are used: both are the same everywhere.

mod flow;
pub mod load;
mod outcome;
mod plan;
mod random;
pub mod scenario;
mod world;

pub use flow::queueing;
pub use outcome::{Hourly, Latency, Line, LineKind, Minute, Outcome, Replicas, Spread, percentile, summary_json};
pub use scenario::{Scenario, ScenarioError};
pub use world::Options;

/// Simulates with every decision and every minute kept.
///
/// # Errors
/// When something that the platform declares cannot be simulated.
pub fn run(scenario: &Scenario) -> Result<Outcome, ScenarioError> {
    run_with(scenario, Options::default())
}

/// Simulates.
///
/// # Errors
/// As [`run`].
pub fn run_with(scenario: &Scenario, options: Options) -> Result<Outcome, ScenarioError> {
    Ok(world::World::new(scenario, options)?.run())
}
