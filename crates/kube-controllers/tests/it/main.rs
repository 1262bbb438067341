//! The controllers against a real API server in process.

mod agent;
mod autoscaling;
mod groups;
mod harness;
mod hpa;
mod lifecycle;
mod server;
mod workloads;
