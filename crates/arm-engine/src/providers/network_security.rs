//! Network security groups and rules.

use serde_json::{Value, json};

use super::network::identify;
use super::{Inline, Kind, PLAIN, Placement, choose, in_range, required};
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

const RULE_TYPE: &str = "Microsoft.Network/networkSecurityGroups/securityRules";

pub(super) static GROUP: Kind = Kind {
    resource_type: "Microsoft.Network/networkSecurityGroups",
    etag: "/etag",
    read_only: &[
        "properties.provisioningState",
        "properties.resourceGuid",
        "properties.defaultSecurityRules",
        "properties.subnets",
        "properties.networkInterfaces",
    ],
    inline: &[Inline { field: "securityRules", child_type: RULE_TYPE, flat: false, prune: true }],
    put: put_group,
    in_use: group_in_use,
    view: view_group,
    announces: true,
    patching: super::Patching::Tags,
    ..PLAIN
};

pub(super) static RULE: Kind = Kind {
    resource_type: RULE_TYPE,
    placement: Placement::Child,
    etag: "/etag",
    read_only: &["properties.provisioningState"],
    put: put_rule,
    announces: true,
    ..PLAIN
};

fn put_group(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, "Microsoft.Network/networkSecurityGroups");
    for (at, (name, rule)) in put.inline.iter().enumerate() {
        let same = |other: &Value| {
            other["properties"]["priority"] == rule["properties"]["priority"] && direction(other) == direction(rule)
        };
        if let Some((other, _)) = put.inline[at + 1..].iter().find(|(_, other)| same(other)) {
            return Err(conflict(name, other));
        }
    }
    let guid = put.guid.clone();
    put.default("resourceGuid", guid.into());
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

fn direction(rule: &Value) -> String {
    rule["properties"]["direction"].as_str().unwrap_or_default().to_ascii_lowercase()
}

fn conflict(one: &str, other: &str) -> Fault {
    Fault::bad_request(
        "SecurityRuleConflict",
        format!("Security rule {one} conflicts with rule {other}. Rules cannot have the same Priority and Direction."),
    )
}

fn put_rule(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, RULE_TYPE);
    for name in ["protocol", "access", "direction"] {
        required(put, name)?;
    }
    choose(put, "protocol", &["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"])?;
    choose(put, "access", &["Allow", "Deny"])?;
    choose(put, "direction", &["Inbound", "Outbound"])?;
    if in_range(put, "priority", 100..=4096).ok().flatten().is_none() {
        return Err(Fault::bad_request(
            "SecurityRuleInvalidPriority",
            format!(
                "Security rule {} has an invalid priority. Value provided: {} Allowed range 100-4096.",
                put.id.name(),
                put.property("priority")
            ),
        ));
    }
    for (single, many) in [
        ("sourceAddressPrefix", "sourceAddressPrefixes"),
        ("destinationAddressPrefix", "destinationAddressPrefixes"),
        ("sourcePortRange", "sourcePortRanges"),
        ("destinationPortRange", "destinationPortRanges"),
    ] {
        let listed = put.property(many).as_array().is_some_and(|items| !items.is_empty());
        if put.text(single).is_none() && !listed {
            return Err(Fault::bad_request(
                "SecurityRuleParameterNotSpecified",
                format!("Security rule {} has neither {single} nor {many}.", put.id.name()),
            ));
        }
        put.default(many, json!([]));
    }
    check_priority(put)?;
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

fn check_priority(put: &Put<'_>) -> Result<(), Fault> {
    let Some(group) = put.id.parent() else { return Ok(()) };
    for other in put.world.children(group.key(), RULE_TYPE) {
        let same = other.body["properties"]["priority"] == *put.property("priority")
            && other.body["properties"]["direction"] == *put.property("direction");
        // Rules of the same request were compared with each other; here only rules that stay count, and those of a list
        // that replaces this one are about to be overwritten.
        if same
            && !other.id.eq_ignore_ascii_case(put.id.as_str())
            && put.existing.is_none()
            && put.world.get(&other.id).is_some()
            && put.inline.is_empty()
        {
            return Err(conflict(put.id.name(), other.body["name"].as_str().unwrap_or_default()));
        }
    }
    Ok(())
}

fn subnets_of<'a>(world: &World<'a>, group: &str) -> Vec<&'a StoredResource> {
    let mut subnets = world.of_type("Microsoft.Network/virtualNetworks/subnets");
    subnets.retain(|subnet| {
        subnet.body["properties"]["networkSecurityGroup"]["id"]
            .as_str()
            .is_some_and(|id| id.eq_ignore_ascii_case(group))
    });
    subnets
}

fn group_in_use(world: &World<'_>, group: &StoredResource) -> Result<(), Fault> {
    match subnets_of(world, &group.id).first() {
        Some(subnet) => Err(Fault::bad_request(
            "InUseNetworkSecurityGroupCannotBeDeleted",
            format!(
                "Network security group {} cannot be deleted because it is in use by the following resources: {}.",
                group.id, subnet.id
            ),
        )),
        None => Ok(()),
    }
}

fn view_group(world: &World<'_>, group: &StoredResource, body: &mut Value) {
    let properties = &mut body["properties"];
    properties["defaultSecurityRules"] = DEFAULT_RULES.iter().map(|rule| default_rule(group, rule)).collect();
    let subnets = subnets_of(world, &group.id);
    if !subnets.is_empty() {
        properties["subnets"] = subnets.iter().map(|subnet| json!({ "id": subnet.id })).collect();
    }
}

type DefaultRule = (&'static str, u32, &'static str, &'static str, &'static str, &'static str, &'static str);

/// Name, priority, direction, access, source, destination, description: the rules that every group has.
const DEFAULT_RULES: [DefaultRule; 6] = [
    (
        "AllowVnetInBound",
        65000,
        "Inbound",
        "Allow",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow inbound traffic from all VMs in VNET",
    ),
    (
        "AllowAzureLoadBalancerInBound",
        65001,
        "Inbound",
        "Allow",
        "AzureLoadBalancer",
        "*",
        "Allow inbound traffic from azure load balancer",
    ),
    ("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*", "Deny all inbound traffic"),
    (
        "AllowVnetOutBound",
        65000,
        "Outbound",
        "Allow",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow outbound traffic from all VMs to all VMs in VNET",
    ),
    (
        "AllowInternetOutBound",
        65001,
        "Outbound",
        "Allow",
        "*",
        "Internet",
        "Allow outbound traffic from all VMs to Internet",
    ),
    ("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*", "Deny all outbound traffic"),
];

fn default_rule(
    group: &StoredResource,
    (name, priority, direction, access, source, destination, description): &DefaultRule,
) -> Value {
    json!({
        "id": format!("{}/defaultSecurityRules/{name}", group.id),
        "name": name,
        "etag": group.etag,
        "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
        "properties": {
            "provisioningState": "Succeeded", "description": description, "protocol": "*", "access": access, "priority": priority,
            "direction": direction, "sourcePortRange": "*", "destinationPortRange": "*", "sourceAddressPrefix": source,
            "destinationAddressPrefix": destination, "sourcePortRanges": [], "destinationPortRanges": [],
            "sourceAddressPrefixes": [], "destinationAddressPrefixes": [],
        },
    })
}
