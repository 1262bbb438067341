//! The vocabulary of Azure Resource Manager: ids, errors, templates and typed resource bodies.
//!
//! This crate exists so that the stacks, the client and the emulator name a resource in the same way: there is one
//! hierarchy of types and not three. It does no I/O. The emulator keeps bodies raw; the types here are views on them.

pub mod error;
pub mod expression;
pub mod id;
pub mod resources;
pub mod template;
#[cfg(feature = "validate")]
pub mod validate;
mod wire;

pub use error::{ArmError, ErrorBody};
pub use id::{ResourceId, ResourceIdError};
pub use template::{Output, Parameter, Resource, Template, Typed};
