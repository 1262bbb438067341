//! The composition root of the embedded cloud: data directory, certificates, ARM, clusters, databases.
//!
//! This crate exists so that every other part stays unaware of the rest: only here ARM's effects meet the Kubernetes API,
//! the kubelet and PostgreSQL.

pub mod certificates;
pub mod connection;
pub mod control;
pub mod folder;
pub mod identity;
pub mod kubeconfig;
pub mod postgres;
