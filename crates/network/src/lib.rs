//! Services, addresses and reachability of the embedded cloud.
//!
//! This crate exists so that nothing else decides which address a thing gets or where a connection goes: the kubelet asks
//! for pod addresses, the composition root leases a slot, and Services are served by the proxies here.
pub mod addressing;
pub mod allocate;
pub mod backends;
pub mod dial;
pub mod dns;
pub mod fabric;
pub mod listeners;
pub mod names;
pub mod plan;
pub mod ports;
mod proxy;
pub mod rules;
pub mod sandbox;
pub mod services;
pub mod slot;
