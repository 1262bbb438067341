//! The rules of a small platform, against a golden file; what the kernel makes of them is tested in `tests/sandbox.rs`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::json;

use super::*;

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn labels(app: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("app".to_owned(), app.to_owned())])
}

fn pod(app: &str, address: &str) -> PodNet {
    PodNet {
        namespace: "shop".into(),
        name: app.into(),
        labels: labels(app),
        address: Some(address.parse().unwrap()),
        ports: vec![("http".into(), "TCP".into(), 8080)],
    }
}

fn node(name: &str, address: &str, pods: &str) -> NodeNet {
    NodeNet { name: name.into(), address: address.parse().unwrap(), pods: cidr(pods) }
}

fn rule(name: &str, priority: u32, access: Access, sources: &[&str], port: Option<u16>) -> SecurityRule {
    SecurityRule {
        name: name.into(),
        priority,
        direction: Direction::Inbound,
        access,
        protocol: if port.is_some() { Protocol::Tcp } else { Protocol::Any },
        sources: sources.iter().map(|text| cidr(text)).collect(),
        source_ports: vec![PortRange::ALL],
        destinations: vec![Cidr::ALL],
        destination_ports: vec![port.map_or(PortRange::ALL, |port| PortRange { low: port, high: port })],
    }
}

fn shop() -> View {
    let policy = |value| serde_json::from_value(value).unwrap();
    View {
        nodes: vec![node("b", "10.224.2.4", "10.244.2.0/24"), node("a", "10.224.1.4", "10.244.1.0/24")],
        pods: vec![pod("web", "10.244.1.5"), pod("api", "10.244.2.5"), pod("api", "10.244.2.6")],
        namespaces: BTreeMap::from([("shop".into(), labels("shop")), ("kube-system".into(), BTreeMap::new())]),
        services: vec![
            ServicePort {
                address: Ipv4Addr::new(10, 100, 0, 7),
                protocol: "tcp".into(),
                port: 80,
                endpoints: vec!["10.244.2.5:8080".parse().unwrap(), "10.244.2.6:8080".parse().unwrap()],
                by_client: false,
            },
            ServicePort {
                address: Ipv4Addr::new(10, 100, 0, 8),
                protocol: "tcp".into(),
                port: 80,
                endpoints: Vec::new(),
                by_client: true,
            },
        ],
        policies: vec![
            policy(
                json!({"metadata": {"name": "closed", "namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
            ),
            policy(json!({"metadata": {"name": "api", "namespace": "shop"}, "spec": {
            "podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "http"}]}],
            "egress": [
                {"to": [{"ipBlock": {"cidr": "10.225.0.0/28"}}], "ports": [{"port": 5432}]},
                {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["128.0.0.0/1", "10.0.0.0/8"]}}], "ports": [{"port": 443}]},
                {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [{"port": 53, "protocol": "UDP"}]},
            ]}})),
            policy(json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {
                "podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
                "egress": [{"to": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api"]}]}}], "ports": [{"port": "http"}]}]}})),
        ],
        subnets: vec![Subnet {
            name: "db-postgres".into(),
            range: cidr("10.225.0.0/28"),
            rules: vec![
                rule("nobody", 4000, Access::Deny, &["0.0.0.0/0"], None),
                rule("backend", 100, Access::Allow, &["10.224.2.0/24"], Some(5432)),
            ],
            cut: false,
        }],
    }
}

#[test]
fn a_small_platform_becomes_these_rules() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules/golden/shop.json");
    let found = compile(&shop());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap();
    let lines: Vec<_> = found.lines().zip(expected.lines()).filter(|(found, expected)| found != expected).collect();
    assert!(found == expected, "the rules differ from {path} (UPDATE_GOLDEN=1 writes it anew): {lines:#?}");
}

#[test]
fn the_order_of_what_is_given_does_not_matter() {
    let mut view = shop();
    view.nodes.reverse();
    view.pods.reverse();
    view.services.reverse();
    view.policies.reverse();
    assert_eq!(compile(&view), compile(&shop()));
    assert_ne!(compile(&View::default()), compile(&view));
}
