//! Azure Resource Manager's REST API over `azure_core`'s pipeline and `azure_identity`'s credentials.
//!
//! The same client speaks to Azure and to the embedded cloud; only the [`Connection`] differs. This crate exists so that
//! the protocol (tokens, throttling, long-running operations, error envelopes) is in one place and the stacks see requests
//! and answers only.

mod certificate;
mod client;
mod connection;
mod credential;
mod error;
mod operation;

pub use client::ArmClient;
pub use connection::{AZURE_ENDPOINT, Connection, Credential};
pub use error::ArmClientError;
pub use operation::{Operation, Progress};
