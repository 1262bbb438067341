//! Machines of agent pools and the Node objects that stand for them.

pub(crate) mod conditions;
pub(crate) mod machines;
mod naming;
mod object;

pub use machines::{Machine, MachineError, Machines, PoolState};
pub use object::Pool;
