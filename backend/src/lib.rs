//! The platform's own application: a live view of the cluster and of PostgreSQL over HTTP.
//!
//! `cluster` watches the Kubernetes API, `view` turns its objects into what the console shows (pure), `live` keeps the
//! current view and its recent changes, `database` owns PostgreSQL, `simulations` are jobs in it, `http` serves all of it.
pub mod cluster;
pub mod config;
pub mod database;
pub mod http;
pub mod lifecycle;
pub mod live;
pub mod metrics;
pub mod relay;
pub mod simulations;
pub mod view;
pub mod work;
