//! Services, addresses and reachability of the embedded cloud.
pub mod addressing;
