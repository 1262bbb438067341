//! Azure Resource Manager's behaviour as a pure state machine.
pub mod effect;
