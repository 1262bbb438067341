//! The composition root of the embedded cloud: data directory, certificates, ARM, clusters, databases.
//!
//! This crate exists so that every other part stays unaware of the rest: only here ARM's effects meet the Kubernetes API,
//! the kubelet and PostgreSQL.

mod addons;
mod azure_network;
pub mod certificates;
mod cluster;
pub mod connection;
pub mod control;
pub mod daemon;
mod databases;
pub mod fault;
pub mod folder;
pub mod identity;
pub mod isolation;
pub mod kubeconfig;
mod pools;
pub mod postgres;
mod serve;
pub mod snapshot;
mod world;

pub use serve::{ServeConfig, ServeError, serve};
