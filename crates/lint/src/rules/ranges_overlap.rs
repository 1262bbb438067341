//! Address ranges that collide.

use std::net::Ipv4Addr;

use crate::addresses::Range;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "ranges-overlap",
    severity: Severity::Error,
    why: "Overlapping ranges are refused by AKS or by the peering, and where they are not, traffic goes to the wrong place.",
    example: "network.services: 10.244.0.0/16, which is the pods' range",
    advice: "Give networks, pods, services and the database ranges of their own.",
    check,
};

/// AKS refuses these (Azure: "IP address planning", 2026-04-16).
const FORBIDDEN: [&str; 4] = ["169.254.0.0/16", "192.0.2.0/24", "172.30.0.0/16", "172.31.0.0/16"];

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let network = &context.platform.network;
    let mut ranges: Vec<(String, &'static str, Range)> = Vec::new();
    for (index, view) in network.virtual_networks.iter().enumerate() {
        let field = if index == 0 { "network.virtualNetwork" } else { "network.database" };
        let parsed =
            view.prefixes.iter().filter_map(|text| Some((format!("the network {text}"), field, Range::parse(text)?)));
        ranges.extend(parsed);
    }
    for (name, field, text) in [
        ("the pods' range", "network.pods", &network.pod_cidr),
        ("the services' range", "network.services", &network.service_cidr),
    ] {
        if let Some((text, range)) = text.as_deref().and_then(|text| Some((text, Range::parse(text)?))) {
            ranges.push((format!("{name} {text}"), field, range));
        }
    }
    for (index, (name, field, range)) in ranges.iter().enumerate() {
        for (other_name, _, other) in ranges.iter().take(index) {
            if range.overlaps(*other) {
                report.add(At::Cluster(field), format!("{name} overlaps {other_name}"));
            }
        }
        for forbidden in FORBIDDEN {
            if Range::parse(forbidden).is_some_and(|forbidden| forbidden.overlaps(*range)) {
                report.add(At::Cluster(field), format!("{name} overlaps {forbidden}, which AKS refuses"));
            }
        }
    }
    dns_service(context, report);
    subnets(context, report);
}

/// AKS: inside the services' range and not its first address, which is `kubernetes.default`'s.
fn dns_service(context: &Context<'_>, report: &mut Report<'_>) {
    let network = &context.platform.network;
    let services = network.service_cidr.as_deref().and_then(Range::parse);
    let address = network.dns_service.as_deref().and_then(|text| text.parse::<Ipv4Addr>().ok());
    let (Some(services), Some(address)) = (services, address) else { return };
    let first = Ipv4Addr::from(u32::from(services.first()).saturating_add(1));
    if !services.has(address) || address == first || address == services.first() {
        let message =
            format!("the DNS service's {address} must be inside the services' range and not its first address");
        report.add(At::Cluster("network.dnsService"), message);
    }
}

fn subnets(context: &Context<'_>, report: &mut Report<'_>) {
    for network in &context.platform.network.virtual_networks {
        let prefixes: Vec<Range> = network.prefixes.iter().filter_map(|text| Range::parse(text)).collect();
        for (index, subnet) in network.subnets.iter().enumerate() {
            let Some(range) = Range::parse(&subnet.prefix) else { continue };
            let at = || match context.platform.pools.iter().find(|pool| pool.subnet.as_ref() == Some(&subnet.name)) {
                Some(pool) => At::Pool(pool.name.clone(), "subnet"),
                None => At::Database("network.subnet"),
            };
            if !prefixes.iter().any(|prefix| prefix.contains(range)) {
                report
                    .add(at(), format!("{} is not inside the network {}", subnet.prefix, network.prefixes.join(", ")));
            }
            for other in network.subnets.iter().take(index) {
                if Range::parse(&other.prefix).is_some_and(|other| other.overlaps(range)) {
                    report.add(at(), format!("{} overlaps the subnet {} {}", subnet.prefix, other.name, other.prefix));
                }
            }
        }
    }
}
