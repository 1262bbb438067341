//! A security group of the database that admits more than it must.

use arm_model::resources::{RuleAccess, RuleDirection};

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "database-admits-others",
    severity: Severity::Warning,
    why: "Pods are masqueraded as their node: a rule that admits the whole network admits every pod of every pool to the database.",
    example: "an inbound Allow from * or VirtualNetwork in the database subnet's security group",
    advice: "Admit the backend pool's subnet only, and deny the rest.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    let network = &context.platform.network;
    let Some(name) = context.platform.database.as_ref().and_then(|database| database.subnet.as_ref()) else { return };
    let subnet =
        network.virtual_networks.iter().flat_map(|network| &network.subnets).find(|subnet| subnet.name == *name);
    let Some(subnet) = subnet else { return };
    let Some(group) = subnet.security_group.as_ref().and_then(|group| network.security_groups.get(group)) else {
        report.add(At::Database("network.subnet"), format!("the subnet {} has no security group", subnet.prefix));
        return;
    };
    let wide = ["*", "Internet", "VirtualNetwork", "0.0.0.0/0"];
    for rule in group {
        let properties = &rule.properties;
        if properties.direction != RuleDirection::Inbound || properties.access != RuleAccess::Allow {
            continue;
        }
        let single = properties.source_address_prefix.iter();
        if let Some(source) =
            single.chain(&properties.source_address_prefixes).find(|source| wide.contains(&source.as_str()))
        {
            let name = rule.name.as_deref().unwrap_or("without a name");
            report.add(At::Database("network.subnet"), format!("the rule {name} admits {source}"));
        }
    }
}
