//! A stand-in for the prometheus-operator: from Prometheus, ServiceMonitor and PrometheusRule objects to a running
//! Prometheus, with the names and labels that the genuine one gives.
//!
//! Other than the genuine one it discovers the targets itself and serves them to Prometheus over HTTP service discovery, so that
//! Prometheus needs no credentials of its own; and a changed configuration restarts Prometheus instead of reloading it.
//! Fields that it does not follow are refused by name in the Prometheus object's `Reconciled` condition.
pub mod flags;
pub mod monitors;
pub mod objects;
pub mod run;
pub mod selectors;
pub mod web;
