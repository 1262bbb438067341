//! A stand-in for Traefik v3 as the platform's manifests run it: Traefik's flags, its routing rules for Ingress objects, its
//! metrics' names and its behaviour on SIGTERM.
//!
//! What it adds is a promise: no request fails while pods scale, roll and drain. `rules` and `table` are pure; `upstream`
//! keeps connections to pods; `proxy` carries requests and tries again where that is safe; `connection` carries a client's
//! requests one after the other; `entrypoint` listens.
pub mod body;
pub mod connection;
pub mod entrypoint;
pub mod flags;
pub mod headers;
pub mod metrics;
pub mod proxy;
pub mod rules;
pub mod run;
pub mod service;
pub mod status;
pub mod table;
pub mod timers;
pub mod upstream;
