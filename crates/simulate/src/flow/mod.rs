//! From requests per second to CPU, response times and failures.

pub(crate) mod credits;
pub(crate) mod latency;
pub mod queueing;
pub(crate) mod server;
