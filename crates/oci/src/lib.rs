//! Container images without a container engine: OCI image layouts on disk, the OCI distribution protocol to registries, and
//! a store of images that are unpacked for running.
//!
//! The same input gives the same bytes, so an image's digest says what is in it. This crate exists so that nothing of the formats
//! is known to the command line, and so that it is tested against a registry without the rest of marea.

mod auth;
mod blocking;
mod digest;
mod elf;
mod error;
mod image;
mod layer;
mod layout;
mod manifest;
mod reference;
mod registry;
mod running;
mod store;
mod tree;
mod unpack;
mod upload;

pub use auth::Credential;
pub use digest::{Descriptor, Digest};
pub use elf::{Architecture, Program};
pub use error::OciError;
pub use image::{Base, Contents, Image};
pub use layer::Layer;
pub use layout::Layout;
pub use reference::Reference;
pub use registry::{Placed, Registry};
pub use running::RunConfig;
pub use store::{Store, Unpacked};
pub use unpack::Limit;
