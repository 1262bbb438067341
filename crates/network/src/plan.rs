//! The addresses of the embedded cloud that no object names.

use std::net::Ipv4Addr;

/// The range of cluster addresses, as declared to AKS.
pub const SERVICES: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 100, 0, 0), 16);
/// The overlay range of pods.
pub const PODS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 244, 0, 0), 16);
/// The cluster's name server.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 100, 0, 10);
/// Where the managed control plane listens: outside of nodes, pods and Services, as AKS's is.
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(10, 226, 0, 4);
/// What clients of the public load balancer come from: the second documentation range (RFC 5737) stands for the Internet.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
