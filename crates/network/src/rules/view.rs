//! What the rules are made from.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::{Cidr, ServicePort, Subnet};

pub type Labels = BTreeMap<String, String>;

/// A pod with an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodNet {
    pub namespace: String,
    pub name: String,
    pub labels: Labels,
    pub address: Option<Ipv4Addr>,
    /// Named container ports with their protocol: `("http", "TCP", 8080)`.
    pub ports: Vec<(String, String, u16)>,
}

/// A node: its address in the virtual network and the range of its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNet {
    pub name: String,
    pub address: Ipv4Addr,
    pub pods: Cidr,
}

/// Cluster and Azure at one moment. Lists are in any order; the rules do not depend on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub nodes: Vec<NodeNet>,
    pub pods: Vec<PodNet>,
    pub namespaces: BTreeMap<String, Labels>,
    pub services: Vec<ServicePort>,
    pub policies: Vec<NetworkPolicy>,
    /// Subnets with a security group.
    pub subnets: Vec<Subnet>,
}
