//! Virtual networks, subnets, peerings.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use super::{Inline, Kind, PLAIN, Placement, Shown, choose, required};
use crate::cidr::Block;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

const SUBNET_TYPE: &str = "Microsoft.Network/virtualNetworks/subnets";
const PEERING_TYPE: &str = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings";

pub(super) static VIRTUAL_NETWORK: Kind = Kind {
    resource_type: "Microsoft.Network/virtualNetworks",
    etag: "/etag",
    read_only: &["properties.provisioningState", "properties.resourceGuid"],
    inline: &[
        Inline { field: "subnets", child_type: SUBNET_TYPE, flat: false, prune: true },
        Inline { field: "virtualNetworkPeerings", child_type: PEERING_TYPE, flat: false, prune: true },
    ],
    put: put_network,
    after: network_changed,
    in_use: network_in_use,
    shown: &[
        Shown::from("properties/privateEndpointVNetPolicies", "2023-11-01"),
        Shown::until("properties/enableVmProtection", "2020-11-01"),
    ],
    announces: true,
    patching: super::Patching::Tags,
    ..PLAIN
};

pub(super) static SUBNET: Kind = Kind {
    resource_type: SUBNET_TYPE,
    placement: Placement::Child,
    etag: "/etag",
    read_only: &[
        "properties.provisioningState",
        "properties.ipConfigurations",
        "properties.serviceAssociationLinks",
        "properties.purpose",
    ],
    put: put_subnet,
    view: view_subnet,
    in_use: subnet_in_use,
    announces: true,
    ..PLAIN
};

pub(super) static PEERING: Kind = Kind {
    resource_type: PEERING_TYPE,
    placement: Placement::Child,
    etag: "/etag",
    read_only: &[
        "properties.provisioningState",
        "properties.peeringState",
        "properties.peeringSyncLevel",
        "properties.remoteAddressSpace",
        "properties.remoteVirtualNetworkAddressSpace",
        "properties.resourceGuid",
    ],
    put: put_peering,
    after: update_peerings,
    announces: true,
    ..PLAIN
};

pub(super) fn identify(put: &mut Put<'_>, resource_type: &str) {
    put.body["id"] = put.id.to_string().into();
    put.body["name"] = put.id.name().into();
    put.body["type"] = resource_type.into();
    if let Some(location) = put.body["location"].as_str().map(super::normalized_location) {
        put.body["location"] = location.into();
    }
    if put.body["location"].is_null()
        && let Some(members) = put.body.as_object_mut()
    {
        members.remove("location");
    }
}

fn blocks(value: &Value, what: &str) -> Result<Vec<Block>, Fault> {
    let invalid = |text: &str| {
        Fault::bad_request(
            "InvalidCIDRNotation",
            format!("The address prefix {text} in {what} is not a valid CIDR block."),
        )
    };
    let items = value.as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item.as_str().and_then(Block::parse).ok_or_else(|| invalid(&item.to_string()))).collect()
}

fn put_network(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, "Microsoft.Network/virtualNetworks");
    let space = blocks(put.property("addressSpace/addressPrefixes"), "addressSpace")?;
    if space.is_empty() {
        return Err(Fault::bad_request(
            "InvalidRequestFormat",
            "A virtual network needs at least one prefix in addressSpace.addressPrefixes.",
        ));
    }
    for (at, one) in space.iter().enumerate() {
        if space[at + 1..].iter().any(|other| one.overlaps(*other)) {
            return Err(Fault::bad_request("AddressSpaceOverlap", "Address prefixes of the virtual network overlap."));
        }
    }
    let kept =
        if put.body.get("properties").is_some() { put.world.children(put.id.key(), SUBNET_TYPE) } else { Vec::new() };
    for subnet in kept
        .iter()
        .filter(|subnet| put.inline.is_empty() || put.inline.iter().any(|(name, _)| subnet.body["name"] == **name))
    {
        for block in prefixes_of(&subnet.body["properties"])? {
            let listed = put.inline.iter().any(|(name, _)| subnet.body["name"] == **name);
            if !listed && !space.iter().any(|outer| outer.contains(block)) {
                return Err(Fault::bad_request(
                    "InUsePrefixCannotBeDeleted",
                    format!("The address space is in use by subnet {}.", subnet.id),
                ));
            }
        }
    }
    let guid = put.guid.clone();
    put.default("enableDdosProtection", false.into());
    put.default("enableVmProtection", false.into());
    if put.property("dhcpOptions").is_object() {
        fill(put, "dhcpOptions", "dnsServers", json!([]));
    }
    if put.property("encryption").is_object() {
        fill(put, "encryption", "enforcement", "AllowUnencrypted".into());
    }
    put.default("privateEndpointVNetPolicies", "Disabled".into());
    put.default("resourceGuid", guid.into());
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

/// A default inside an object that the request gave.
fn fill(put: &mut Put<'_>, object: &str, name: &str, value: Value) {
    let place = &mut put.properties()[object][name];
    if place.is_null() {
        *place = value;
    }
}

fn prefixes_of(properties: &Value) -> Result<Vec<Block>, Fault> {
    let single = properties["addressPrefix"].as_str().map(|text| json!([text]));
    blocks(&single.unwrap_or_else(|| properties["addressPrefixes"].clone()), "the subnet")
}

fn put_subnet(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, SUBNET_TYPE);
    let own = prefixes_of(&put.body["properties"])?;
    if own.is_empty() {
        return Err(Fault::bad_request(
            "InvalidRequestFormat",
            format!("Subnet '{}' needs an addressPrefix.", put.id.name()),
        ));
    }
    check_subnet_place(put, &own)?;
    if let Some(group) = put.text("networkSecurityGroup/id").filter(|group| put.world.get(group).is_none()) {
        return Err(Fault::bad_request(
            "InvalidResourceReference",
            format!(
                "Resource {group} referenced by resource {} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.",
                put.id
            ),
        ));
    }
    choose(
        put,
        "privateEndpointNetworkPolicies",
        &["Disabled", "Enabled", "NetworkSecurityGroupEnabled", "RouteTableEnabled"],
    )?;
    let base = put.id.to_string();
    if let Some(Value::Array(delegations)) = put.properties().get_mut("delegations") {
        for delegation in delegations {
            let name = delegation["name"].as_str().unwrap_or_default().to_owned();
            delegation["id"] = format!("{base}/delegations/{name}").into();
            delegation["type"] = "Microsoft.Network/virtualNetworks/subnets/delegations".into();
            delegation["properties"]["provisioningState"] = "Succeeded".into();
            delegation["properties"]["actions"] = json!(["Microsoft.Network/virtualNetworks/subnets/join/action"]);
        }
    }
    if let Some(Value::Array(endpoints)) = put.properties().get_mut("serviceEndpoints") {
        for endpoint in endpoints {
            endpoint["provisioningState"] = "Succeeded".into();
            if endpoint["locations"].is_null() {
                endpoint["locations"] = json!(["*"]);
            }
        }
    }
    put.default("delegations", json!([]));
    put.default("privateEndpointNetworkPolicies", "Disabled".into());
    put.default("privateLinkServiceNetworkPolicies", "Enabled".into());
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

/// Delegations carry the etag of their subnet, and a database server shows that it lives there.
fn view_subnet(world: &World<'_>, subnet: &StoredResource, body: &mut Value) {
    let servers = world.of_type(super::SERVER_TYPE);
    let uses = |value: &Value| value.as_str().is_some_and(|id| id.eq_ignore_ascii_case(&subnet.id));
    if servers.iter().any(|server| uses(&server.body["properties"]["network"]["delegatedSubnetResourceId"])) {
        let name = "AzurePostgreSQLFlexibleServer";
        body["properties"]["serviceAssociationLinks"] = json!([{
            "name": name, "id": format!("{}/serviceAssociationLinks/{name}", subnet.id), "etag": subnet.etag,
            "type": "Microsoft.Network/virtualNetworks/subnets/serviceAssociationLinks",
            "properties": {
                "provisioningState": "Succeeded", "linkedResourceType": super::SERVER_TYPE,
                "enabledForArmDeployments": false, "allowDelete": false, "locations": [],
            },
        }]);
    }
    for delegation in body["properties"]["delegations"].as_array_mut().into_iter().flatten() {
        delegation["etag"] = subnet.etag.clone().into();
    }
}

fn check_subnet_place(put: &Put<'_>, own: &[Block]) -> Result<(), Fault> {
    let Some(network) = put.id.parent() else { return Ok(()) };
    let space = put
        .world
        .get(network.key())
        .map_or(Value::Null, |network| network.body["properties"]["addressSpace"]["addressPrefixes"].clone());
    let space = blocks(&space, "addressSpace")?;
    let name = put.id.name();
    if !own.iter().all(|block| space.iter().any(|outer| outer.contains(*block))) {
        return Err(Fault::bad_request(
            "NetcfgInvalidSubnet",
            format!("Subnet '{name}' is not valid in virtual network '{}'.", network.name()),
        ));
    }
    if own.iter().any(|block| block.prefix() > 29) {
        return Err(Fault::bad_request("NetcfgSubnetTooSmall", format!("Subnet '{name}' is smaller than /29.")));
    }
    for other in put.world.children(network.key(), SUBNET_TYPE) {
        if other.id.eq_ignore_ascii_case(put.id.as_str()) {
            continue;
        }
        let theirs = prefixes_of(&other.body["properties"])?;
        if own.iter().any(|block| theirs.iter().any(|other| block.overlaps(*other))) {
            return Err(Fault::bad_request(
                "NetcfgSubnetRangesOverlap",
                format!(
                    "Subnet '{name}' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '{}'.",
                    network.name()
                ),
            ));
        }
    }
    Ok(())
}

/// What holds addresses in a subnet: pools of clusters, and database servers it is delegated to.
fn users_of_subnet(world: &World<'_>, subnet: &str) -> Vec<String> {
    let pools = world.of_type("Microsoft.ContainerService/managedClusters/agentPools");
    let servers = world.of_type("Microsoft.DBforPostgreSQL/flexibleServers");
    let uses = |value: &Value| value.as_str().is_some_and(|id| id.eq_ignore_ascii_case(subnet));
    let pools = pools.into_iter().filter(|pool| uses(&pool.body["properties"]["vnetSubnetID"]));
    let servers =
        servers.into_iter().filter(|server| uses(&server.body["properties"]["network"]["delegatedSubnetResourceId"]));
    pools.chain(servers).map(|user| user.id.clone()).collect()
}

/// Addresses that pools' machines and servers take in a subnet.
pub(crate) fn addresses_in_use(world: &World<'_>, subnet: &str) -> u64 {
    let pools = world.of_type("Microsoft.ContainerService/managedClusters/agentPools");
    let uses = |value: &Value| value.as_str().is_some_and(|id| id.eq_ignore_ascii_case(subnet));
    let machines = pools.iter().filter(|pool| uses(&pool.body["properties"]["vnetSubnetID"]));
    let machines: u64 = machines.filter_map(|pool| pool.body["properties"]["count"].as_u64()).sum();
    let servers = world.of_type("Microsoft.DBforPostgreSQL/flexibleServers");
    let servers =
        servers.iter().filter(|server| uses(&server.body["properties"]["network"]["delegatedSubnetResourceId"]));
    machines + servers.count() as u64
}

fn subnet_in_use(world: &World<'_>, subnet: &StoredResource) -> Result<(), Fault> {
    let users = users_of_subnet(world, &subnet.id);
    let Some(first) = users.first() else { return Ok(()) };
    Err(Fault::bad_request(
        "InUseSubnetCannotBeDeleted",
        format!(
            "Subnet {} is in use by {first} and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.",
            subnet.body["name"].as_str().unwrap_or_default()
        ),
    ))
}

fn network_in_use(world: &World<'_>, network: &StoredResource) -> Result<(), Fault> {
    for subnet in world.children(&network.id, SUBNET_TYPE) {
        subnet_in_use(world, subnet)?;
    }
    Ok(())
}

/// A network that goes takes the private zones' links to it along (Azure Private DNS FAQ, "What happens when we delete a
/// linked virtual network"): they do not keep it from going.
fn network_changed(engine: &mut Engine, key: &str) {
    if !engine.resources.contains(key) {
        let links = engine.world().of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks");
        let leads_here = |id: &str| id.eq_ignore_ascii_case(key);
        let gone: Vec<String> = links
            .iter()
            .filter(|link| link.body["properties"]["virtualNetwork"]["id"].as_str().is_some_and(leads_here))
            .map(|link| link.id.to_ascii_lowercase())
            .collect();
        for link in gone {
            engine.resources.remove(&link);
        }
    }
    update_peerings(engine, key);
}

fn put_peering(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, PEERING_TYPE);
    let remote = required(put, "remoteVirtualNetwork/id")?.to_owned();
    let Some(remote_network) = put.world.get(&remote) else {
        return Err(Fault::bad_request(
            "InvalidResourceReference",
            format!(
                "Resource {remote} referenced by resource {} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.",
                put.id
            ),
        ));
    };
    let local = put.id.parent().and_then(|parent| put.world.get(parent.key()));
    let space = |network: &StoredResource| {
        blocks(&network.body["properties"]["addressSpace"]["addressPrefixes"], "addressSpace")
    };
    if let Some(local) = local {
        let theirs = space(remote_network)?;
        if space(local)?.iter().any(|one| theirs.iter().any(|other| one.overlaps(*other))) {
            return Err(Fault::bad_request(
                "VnetAddressSpacesOverlap",
                format!(
                    "Cannot create or update peering {}. Virtual networks cannot be peered because their address spaces overlap.",
                    put.id
                ),
            ));
        }
    }
    let addresses = remote_network.body["properties"]["addressSpace"].clone();
    // A peering whose far side was deleted cannot be repaired by a write alone, but one whose far side is made anew can:
    // the state is settled with the other side after the write.
    put.default("allowVirtualNetworkAccess", true.into());
    put.default("allowForwardedTraffic", false.into());
    put.default("allowGatewayTransit", false.into());
    put.default("useRemoteGateways", false.into());
    put.default("doNotVerifyRemoteGateways", false.into());
    put.default("peerCompleteVnets", true.into());
    put.default("routeServiceVips", json!({}));
    let guid = put.guid.clone();
    put.default("resourceGuid", guid.into());
    put.set("remoteAddressSpace", addresses.clone());
    put.set("remoteVirtualNetworkAddressSpace", addresses);
    put.set("peeringSyncLevel", "FullyInSync".into());
    put.set("peeringState", "Initiated".into());
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

/// Two peerings that name each other's networks are connected; one whose far side went away is disconnected.
fn update_peerings(engine: &mut Engine, _: &str) {
    let sides: Vec<(String, String, String, String)> = engine
        .world()
        .of_type(PEERING_TYPE)
        .iter()
        .filter_map(|peering| {
            let parent = ResourceId::parse(&peering.id).ok()?.parent()?;
            let remote = peering.body["properties"]["remoteVirtualNetwork"]["id"].as_str()?.to_ascii_lowercase();
            let state = peering.body["properties"]["peeringState"].as_str()?.to_owned();
            Some((peering.id.to_ascii_lowercase(), parent.key().to_owned(), remote, state))
        })
        .collect();
    for (key, local, remote, state) in &sides {
        let answered = engine.resources.contains(remote)
            && sides.iter().any(|(_, other, back, _)| other == remote && back == local);
        let settled = match (answered, state.as_str()) {
            (true, _) => "Connected",
            (false, "Connected" | "Disconnected") => "Disconnected",
            (false, _) => "Initiated",
        };
        if settled != state
            && let Some(peering) = engine.resources.get_mut(key)
        {
            peering.body["properties"]["peeringState"] = settled.into();
        }
    }
}
