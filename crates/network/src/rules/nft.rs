//! The words of nftables' JSON interface (libnftables-json(5), version 1) that the rules are written in.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::Cidr;
use super::cidr::merged;

pub(super) const TABLE: &str = "marea";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// Where destinations are translated, for packets that come in.
    Prerouting,
    /// The same for the router's own packets.
    OutputNat,
    /// Where sources are translated.
    Postrouting,
    Forward,
    Input,
    Output,
}

/// A rule: statements that are done in order, for as long as the matches among them match.
pub(super) type Rule = Vec<Value>;

#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub name: String,
    pub hook: Option<Hook>,
    pub rules: Vec<Rule>,
}

impl Chain {
    pub(super) fn new(name: impl Into<String>, hook: Option<Hook>) -> Chain {
        Chain { name: name.into(), hook, rules: Vec::new() }
    }

    pub(super) fn rule(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    fn definition(&self) -> Value {
        let mut chain = json!({"family": "ip", "table": TABLE, "name": self.name});
        let (kind, hook, priority) = match self.hook {
            None => return chain,
            Some(Hook::Prerouting) => ("nat", "prerouting", -100),
            Some(Hook::OutputNat) => ("nat", "output", -100),
            Some(Hook::Postrouting) => ("nat", "postrouting", 100),
            Some(Hook::Forward) => ("filter", "forward", 0),
            Some(Hook::Input) => ("filter", "input", 0),
            Some(Hook::Output) => ("filter", "output", 0),
        };
        for (key, value) in [("type", json!(kind)), ("hook", json!(hook)), ("prio", json!(priority))] {
            chain[key] = value;
        }
        chain["policy"] = json!("accept");
        chain
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ruleset {
    pub chains: Vec<Chain>,
}

impl Ruleset {
    /// One transaction: the table as it was goes, the new one comes. A statement a line, so that differences can be read.
    pub(super) fn to_json(&self) -> String {
        let table = json!({"family": "ip", "name": TABLE});
        // Adding first makes the deletion work where there was no table yet.
        let mut statements = vec![
            json!({"add": {"table": table}}),
            json!({"delete": {"table": table}}),
            json!({"add": {"table": table}}),
        ];
        // Chains first, all of them: a jump needs its target.
        statements.extend(self.chains.iter().map(|chain| json!({"add": {"chain": chain.definition()}})));
        for chain in &self.chains {
            statements.extend(chain.rules.iter().map(
                |rule| json!({"add": {"rule": {"family": "ip", "table": TABLE, "chain": chain.name, "expr": rule}}}),
            ));
        }
        let lines: Vec<String> = statements.iter().map(Value::to_string).collect();
        format!("{{\"nftables\":[\n{}\n]}}\n", lines.join(",\n"))
    }
}

pub(super) fn payload(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

pub(super) fn matches(operator: &str, left: Value, right: Value) -> Value {
    json!({"match": {"op": operator, "left": left, "right": right}})
}

pub(super) fn source(ranges: &[Cidr], negated: bool) -> Value {
    address("saddr", ranges, negated)
}

pub(super) fn destination(ranges: &[Cidr], negated: bool) -> Value {
    address("daddr", ranges, negated)
}

fn address(field: &str, ranges: &[Cidr], negated: bool) -> Value {
    matches(if negated { "!=" } else { "==" }, payload("ip", field), set_of(ranges))
}

fn set_of(ranges: &[Cidr]) -> Value {
    match merged(ranges.to_vec()).as_slice() {
        [one] => range(*one),
        several => json!({"set": several.iter().copied().map(range).collect::<Vec<_>>()}),
    }
}

pub(super) fn range(range: Cidr) -> Value {
    match range.prefix() {
        32 => json!(range.address()),
        prefix => json!({"prefix": {"addr": range.address(), "len": prefix}}),
    }
}

/// `protocol` as nftables names it: `tcp`, `udp`, `sctp`.
pub(super) fn protocol(protocol: &str) -> Value {
    matches("==", json!({"meta": {"key": "l4proto"}}), json!(protocol))
}

pub(super) fn is_tcp() -> Value {
    protocol("tcp")
}

pub(super) fn ports(field: &str, low: u16, high: u16) -> Value {
    let right = if low == high { json!(low) } else { json!({"range": [low, high]}) };
    matches("==", payload("th", field), right)
}

pub(super) fn is_established() -> Value {
    matches("in", json!({"ct": {"key": "state"}}), json!(["established", "related"]))
}

pub(super) fn verdict_map(key: Value, elements: Vec<(Value, Value)>) -> Value {
    let elements: Vec<Value> = elements.into_iter().map(|(key, verdict)| json!([key, verdict])).collect();
    json!({"vmap": {"key": key, "data": {"set": elements}}})
}

pub(super) fn jump(chain: &str) -> Value {
    json!({"jump": {"target": chain}})
}

pub(super) fn goto(chain: &str) -> Value {
    json!({"goto": {"target": chain}})
}

pub(super) fn accept() -> Value {
    json!({"accept": null})
}

pub(super) fn drop() -> Value {
    json!({"drop": null})
}

pub(super) fn returns() -> Value {
    json!({"return": null})
}

pub(super) fn reject_with_reset() -> Value {
    json!({"reject": {"type": "tcp reset"}})
}

pub(super) fn reject() -> Value {
    json!({"reject": {"type": "icmp", "expr": "port-unreachable"}})
}

pub(super) fn host(address: Ipv4Addr) -> Value {
    json!(address)
}
