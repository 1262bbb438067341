//! The driver of ARM deployment stacks: Azure holds the state, this only compares, asks and waits.

mod driver;
mod whatif;

pub use driver::{Deployment, Driver, Live};
pub use whatif::changes;
