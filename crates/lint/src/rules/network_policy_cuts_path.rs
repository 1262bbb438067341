//! Policies that cut a path which something uses.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use platform::Workload;
use serde::Deserialize;

use crate::addresses::Range;
use crate::context::{containers, namespace_of, running};
use crate::policies::{Direction, Peer, Port, allows, ruling};
use crate::{At, Context, Report, Rule, Severity, labels};

pub(super) const RULE: Rule = Rule {
    id: "network-policy-cuts-path",
    severity: Severity::Error,
    why: "A policy that does not admit a connection which the platform needs drops it without a word: requests time out, metrics are missing.",
    example: "an Ingress to the backend, whose policy admits Prometheus only",
    advice: "Admit the peer and the port in the policy of the end that is named.",
    check,
};

/// Somewhere on the internet (RFC 5737's documentation range).
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const POSTGRES: i32 = 5432;

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let controllers = ingress_controllers(context, report);
    for (_, ingress) in &context.ingresses {
        let namespace = namespace_of(&ingress.metadata.namespace);
        let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
        for path in rules.flat_map(|rule| rule.http.iter().flat_map(|http| &http.paths)) {
            let Some(backend) = &path.backend.service else { continue };
            let Some((_, service)) = context.service(namespace, &backend.name) else { continue };
            let Some(port) = backend.port.as_ref() else { continue };
            let wanted = |known: &&ServicePort| match (&port.name, port.number) {
                (Some(name), _) => known.name.as_ref() == Some(name),
                (None, number) => Some(known.port) == number,
            };
            for controller in &controllers {
                between(context, report, controller, service, wanted, path.path.as_deref().unwrap_or("/"));
            }
        }
    }
    scrapes(context, report);
    databases(context, report);
}

/// Pods behind a public Service; where there are Ingresses, that is what serves them.
fn ingress_controllers<'a>(context: &'a Context<'_>, report: &mut Report<'_>) -> Vec<&'a Workload> {
    let mut controllers = Vec::new();
    for (_, service) in &context.services {
        let Some(spec) = service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("LoadBalancer")) else {
            continue;
        };
        for workload in context.behind(service) {
            for port in spec.ports.iter().flatten() {
                let Some(number) = target(port, workload) else { continue };
                let port = Port { protocol: "TCP", number };
                if !allows(context, workload, Direction::Ingress, Peer::Address(PUBLIC), port) {
                    cut(context, report, workload, Direction::Ingress, "the internet", number, "the public Service");
                }
            }
            controllers.push(workload);
        }
    }
    if context.ingresses.is_empty() { Vec::new() } else { controllers }
}

/// The port of a pod that a Service's port leads to.
fn target(port: &ServicePort, workload: &Workload) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let ports = running(workload).flat_map(|(_, container)| container.ports.iter().flatten());
            ports.into_iter().find(|known| known.name.as_ref() == Some(name)).map(|known| known.container_port)
        }
    }
}

/// Both ends of every connection from a client to the pods behind a Service.
fn between(
    context: &Context<'_>,
    report: &mut Report<'_>,
    client: &Workload,
    service: &Service,
    wanted: impl Fn(&&ServicePort) -> bool,
    purpose: &str,
) {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let Some(port) = ports.iter().find(|port| wanted(port)) else { return };
    for server in context.behind(service) {
        let Some(number) = target(port, server) else { continue };
        let port = Port { protocol: port.protocol.as_deref().unwrap_or("TCP"), number };
        if !allows(context, client, Direction::Egress, Peer::Pod(server), port) {
            let to = format!("{}/{}", server.namespace, server.name);
            cut(context, report, client, Direction::Egress, &to, number, purpose);
        }
        if !allows(context, server, Direction::Ingress, Peer::Pod(client), port) {
            let from = format!("{}/{}", client.namespace, client.name);
            cut(context, report, server, Direction::Ingress, &from, number, purpose);
        }
    }
}

fn cut(
    context: &Context<'_>,
    report: &mut Report<'_>,
    workload: &Workload,
    direction: Direction,
    peer: &str,
    port: i32,
    purpose: &str,
) {
    // The policy that was written for these pods, rather than the namespace's default.
    let specific = |(_, policy): &&(usize, k8s_openapi::api::networking::v1::NetworkPolicy)| {
        let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
        selector.is_some_and(|selector| *selector != LabelSelector::default())
    };
    let mut policies = ruling(context, workload, direction);
    let first = policies.next();
    let Some((index, _)) = first.filter(|p| specific(p)).or_else(|| policies.find(specific)).or(first) else { return };
    let way = if direction == Direction::Ingress { "from" } else { "to" };
    let message =
        format!("cuts {}/{} off {way} {peer} on port {port}, which {purpose} needs", workload.namespace, workload.name);
    report.add(At::object(*index, direction.field()), message);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MonitorSpec {
    #[serde(default)]
    selector: LabelSelector,
    #[serde(default)]
    namespace_selector: Namespaces,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Namespaces {
    #[serde(default)]
    any: bool,
    #[serde(default)]
    match_names: Vec<String>,
}

#[derive(Deserialize)]
struct Endpoint {
    port: Option<String>,
}

fn scrapes(context: &Context<'_>, report: &mut Report<'_>) {
    let is_prometheus = |workload: &&Workload| {
        context.platform.objects.get(workload.object).is_some_and(|object| object["kind"] == "Prometheus")
    };
    let servers: Vec<&Workload> = context.platform.workloads.iter().filter(is_prometheus).collect();
    for (_, monitor) in context.platform.of_kind("ServiceMonitor") {
        let Ok(spec) = MonitorSpec::deserialize(&monitor["spec"]) else { continue };
        let own = monitor["metadata"]["namespace"].as_str().unwrap_or("default");
        let name = monitor["metadata"]["name"].as_str().unwrap_or_default();
        for (_, service) in &context.services {
            let namespace = namespace_of(&service.metadata.namespace);
            let names = &spec.namespace_selector.match_names;
            let watched = spec.namespace_selector.any
                || if names.is_empty() { namespace == own } else { names.iter().any(|name| name == namespace) };
            let labels = service.metadata.labels.clone().unwrap_or_default();
            if !watched || !labels::matches(&spec.selector, &labels) {
                continue;
            }
            for port in spec.endpoints.iter().filter_map(|endpoint| endpoint.port.as_ref()) {
                for server in &servers {
                    let wanted = |known: &&ServicePort| known.name.as_ref() == Some(port);
                    // Prometheus scrapes itself over its own address, which no policy judges.
                    if context.behind(service).all(|behind| behind.object == server.object) {
                        continue;
                    }
                    between(context, report, server, service, wanted, &format!("the ServiceMonitor {name}"));
                }
            }
        }
    }
}

/// Names under which a workload is told where its database is.
const HOST_VARIABLES: [&str; 4] = ["PGHOST", "DB_HOST", "DATABASE_HOST", "POSTGRES_HOST"];

fn databases(context: &Context<'_>, report: &mut Report<'_>) {
    let subnet = context.platform.database.as_ref().and_then(|database| database.subnet.as_ref());
    let prefix = subnet.and_then(|name| context.platform.network.subnets.get(name));
    let Some(range) = prefix.and_then(|prefix| Range::parse(prefix)) else { return };
    // Azure's first usable address, which the only server of the subnet has.
    let address = Ipv4Addr::from(u32::from(range.first()).saturating_add(4));
    for workload in &context.platform.workloads {
        let mut variables = containers(workload).flat_map(|(_, container)| container.env.iter().flatten());
        if !variables.any(|variable| HOST_VARIABLES.contains(&variable.name.as_str())) {
            continue;
        }
        let port = Port { protocol: "TCP", number: POSTGRES };
        if !allows(context, workload, Direction::Egress, Peer::Address(address), port) {
            cut(context, report, workload, Direction::Egress, "the database", POSTGRES, "its configuration");
        }
    }
}
