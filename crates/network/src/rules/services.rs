//! Services: a cluster address is translated to one of the endpoints; nodes stand in for their pods towards other networks.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::{Value, json};

use super::nft::{self, Chain, Hook, Ruleset, goto, payload};
use super::{Cidr, View};
use crate::plan;

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePort {
    pub address: Ipv4Addr,
    /// `tcp` or `udp`
    pub protocol: String,
    pub port: u16,
    /// Ready ones, sorted. Without any, connections are refused: the address is the router's and nothing listens there.
    pub endpoints: Vec<SocketAddrV4>,
    /// `sessionAffinity: ClientIP`. The endpoint follows from the client's address for as long as the endpoints stay the
    /// same; kube-proxy remembers it for a time instead.
    pub by_client: bool,
}

pub(super) fn compile(view: &View, rules: &mut Ruleset) {
    let mut ports: Vec<&ServicePort> = view.services.iter().filter(|port| !port.endpoints.is_empty()).collect();
    ports.sort_unstable();
    let mut dispatch = Vec::new();
    for port in &ports {
        let name = format!("service-{}-{}-{}", port.address, port.protocol, port.port);
        let mut chain = Chain::new(&name, None);
        chain.rule(vec![nft::protocol(&port.protocol), translation(port)]);
        rules.chains.push(chain);
        let key = json!({"concat": [port.address, port.protocol, port.port]});
        dispatch.push((key, goto(&name)));
    }
    let key = json!({"concat": [payload("ip", "daddr"), {"meta": {"key": "l4proto"}}, payload("th", "dport")]});
    for (name, hook) in [("services", Hook::Prerouting), ("own-services", Hook::OutputNat)] {
        let mut chain = Chain::new(name, Some(hook));
        if !dispatch.is_empty() {
            chain.rule(vec![nft::verdict_map(key.clone(), dispatch.clone())]);
        }
        rules.chains.push(chain);
    }
    rules.chains.push(sources(view, &ports));
}

fn translation(port: &ServicePort) -> Value {
    if let [only] = port.endpoints.as_slice() {
        return json!({"dnat": {"addr": only.ip(), "port": only.port()}});
    }
    let count = port.endpoints.len();
    let choice = match port.by_client {
        false => json!({"numgen": {"mode": "random", "mod": count, "offset": 0}}),
        true => json!({"jhash": {"mod": count, "expr": payload("ip", "saddr")}}),
    };
    let elements: Vec<Value> = (0..)
        .zip(&port.endpoints)
        .map(|(index, endpoint): (usize, _)| json!([index, {"concat": [endpoint.ip(), endpoint.port()]}]))
        .collect();
    json!({"dnat": {"family": "ip", "addr": {"map": {"key": choice, "data": {"set": elements}}}}})
}

/// Azure CNI Overlay: pods keep their address among themselves and are seen as their node elsewhere.
fn sources(view: &View, ports: &[&ServicePort]) -> Chain {
    let mut chain = Chain::new("sources", Some(Hook::Postrouting));
    let pods = Cidr::new(plan::PODS.0, plan::PODS.1);
    let mut nodes: Vec<_> = view.nodes.iter().collect();
    nodes.sort_unstable_by_key(|node| node.pods);
    for node in nodes {
        chain.rule(vec![
            nft::source(&[node.pods], false),
            nft::destination(&[pods], true),
            json!({"snat": {"addr": node.address}}),
        ]);
    }
    // A pod that reaches itself through its Service would answer itself directly, which its own connection does not know.
    let mut own: Vec<Ipv4Addr> =
        ports.iter().flat_map(|port| port.endpoints.iter().map(|endpoint| *endpoint.ip())).collect();
    own.sort_unstable();
    own.dedup();
    if !own.is_empty() {
        let pairs: Vec<Value> = own.iter().map(|address| json!({"concat": [address, address]})).collect();
        let both = json!({"concat": [payload("ip", "saddr"), payload("ip", "daddr")]});
        chain.rule(vec![nft::matches("==", both, json!({"set": pairs})), json!({"masquerade": null})]);
    }
    chain
}
