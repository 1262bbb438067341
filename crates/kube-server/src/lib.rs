//! The Kubernetes API over HTTPS and in process, on top of `kube-store`.
//!
//! This crate exists so that everything that speaks HTTP, keeps bytes on disk or knows a clock stays out of `kube-store`,
//! and so that controllers see the API only through [`Client`].

mod admission;
mod api;
mod authn;
mod authz;
mod bootstrap;
pub mod client;
mod clock;
pub mod decisions;
mod error;
mod field;
mod http;
mod json;
pub mod node_agent;
mod openapi;
mod registry;
mod server;
mod settings;
mod strategies;
pub mod streaming;
mod tables;

pub use api::PodToken;
pub use client::{ChangeEvent, ChangeKind, Client, DeleteOptions, Object, PatchKind, ResourceInfo, ScaleView};
pub use decisions::{Decision, DecisionFilter, DecisionSource};
pub use error::ApiError;
pub use field::FieldErrors;
pub use node_agent::NodeAgent;
pub use server::{Server, ServerConfig};
