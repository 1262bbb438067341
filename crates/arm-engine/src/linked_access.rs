//! Linked access: who writes a resource that refers to another one needs an action on that one too, such as joining a subnet.

use arm_model::id::ResourceId;
use serde_json::Value;

use crate::engine::Engine;
use crate::fault::Fault;

/// A place in a type's body that holds an id, and the action that it needs. `*` stands for every item of a list, `@` for every member's name.
struct Link {
    resource_type: &'static str,
    path: &'static str,
    action: &'static str,
}

const fn link(resource_type: &'static str, path: &'static str, action: &'static str) -> Link {
    Link { resource_type, path, action }
}

const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
const GROUP: &str = "Microsoft.Network/networkSecurityGroups/join/action";
const IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
const CLUSTER: &str = "Microsoft.ContainerService/managedClusters";
const SERVER: &str = "Microsoft.DBforPostgreSQL/flexibleServers";

static LINKS: [Link; 15] = [
    link(CLUSTER, "properties/agentPoolProfiles/*/vnetSubnetID", SUBNET),
    link(CLUSTER, "properties/agentPoolProfiles/*/podSubnetID", SUBNET),
    link(CLUSTER, "properties/apiServerAccessProfile/subnetId", SUBNET),
    link(
        CLUSTER,
        "properties/networkProfile/loadBalancerProfile/outboundIPs/publicIPs/*/id",
        "Microsoft.Network/publicIPAddresses/join/action",
    ),
    link(CLUSTER, "identity/userAssignedIdentities/@", IDENTITY),
    link("Microsoft.ContainerService/managedClusters/agentPools", "properties/vnetSubnetID", SUBNET),
    link("Microsoft.ContainerService/managedClusters/agentPools", "properties/podSubnetID", SUBNET),
    link(SERVER, "properties/network/delegatedSubnetResourceId", SUBNET),
    link(SERVER, "properties/network/privateDnsZoneArmResourceId", "Microsoft.Network/privateDnsZones/join/action"),
    link(SERVER, "identity/userAssignedIdentities/@", IDENTITY),
    link("Microsoft.Network/virtualNetworks", "properties/subnets/*/properties/networkSecurityGroup/id", GROUP),
    link("Microsoft.Network/virtualNetworks/subnets", "properties/networkSecurityGroup/id", GROUP),
    link(
        "Microsoft.Network/virtualNetworks/subnets",
        "properties/routeTable/id",
        "Microsoft.Network/routeTables/join/action",
    ),
    link(
        "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
        "properties/remoteVirtualNetwork/id",
        "Microsoft.Network/virtualNetworks/peer/action",
    ),
    link(
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "properties/virtualNetwork/id",
        "Microsoft.Network/virtualNetworks/join/action",
    ),
];

impl Engine {
    /// # Errors
    /// `LinkedAuthorizationFailed` names every action that is missing and the scope of each.
    pub(crate) fn check_links(&self, principal: &str, app: &str, id: &ResourceId, body: &Value) -> Result<(), Fault> {
        if principal == self.settings.owner_object_id {
            return Ok(());
        }
        let resource_type = id.resource_type();
        let mut missing: Vec<(&str, String)> = Vec::new();
        for link in LINKS.iter().filter(|link| link.resource_type.eq_ignore_ascii_case(&resource_type)) {
            let steps: Vec<&str> = link.path.split('/').collect();
            let mut found = Vec::new();
            ids_at(body, &steps, &mut found);
            for scope in found {
                let entry = (link.action, scope.to_owned());
                if !self.is_allowed(principal, link.action, scope) && !missing.contains(&entry) {
                    missing.push(entry);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let list = |part: fn(&(&str, String)) -> String| missing.iter().map(part).collect::<Vec<_>>().join(",");
        Err(Fault::new(
            403,
            "LinkedAuthorizationFailed",
            format!(
                "The client '{app}' with object id '{principal}' has permission to perform action '{resource_type}/write' on scope '{id}'; however, it does not have permission to perform action(s) '{}' on the linked scope(s) '{}' (respectively) or the linked scope(s) are invalid.",
                list(|(action, _)| (*action).to_owned()),
                list(|(_, scope)| scope.clone())
            ),
        ))
    }
}

fn ids_at<'a>(value: &'a Value, steps: &[&str], found: &mut Vec<&'a str>) {
    match steps {
        [] => found.extend(value.as_str().filter(|id| !id.is_empty())),
        ["*", rest @ ..] => value.as_array().into_iter().flatten().for_each(|item| ids_at(item, rest, found)),
        ["@", ..] => found.extend(value.as_object().into_iter().flatten().map(|(name, _)| name.as_str())),
        [name, rest @ ..] => {
            if let Some(member) = value.get(name) {
                ids_at(member, rest, found);
            }
        }
    }
}
