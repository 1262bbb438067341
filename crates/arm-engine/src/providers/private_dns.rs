//! Private DNS zones, their links and A records.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::network::identify;
use super::{Kind, PLAIN, Placement, in_range, required};
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

const ZONE_TYPE: &str = "Microsoft.Network/privateDnsZones";
const LINK_TYPE: &str = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";
const A_TYPE: &str = "Microsoft.Network/privateDnsZones/A";

pub(super) static ZONE: Kind = Kind {
    resource_type: ZONE_TYPE,
    placement: Placement::Global,
    etag: "etag",
    read_only: &["properties"],
    put: put_zone,
    in_use: zone_in_use,
    view: view_zone,
    ..PLAIN
};

pub(super) static LINK: Kind = Kind {
    resource_type: LINK_TYPE,
    placement: Placement::Global,
    etag: "etag",
    read_only: &["properties.provisioningState", "properties.virtualNetworkLinkState"],
    put: put_link,
    ..PLAIN
};

pub(super) static A_RECORD: Kind = Kind {
    resource_type: A_TYPE,
    placement: Placement::Child,
    etag: "etag",
    read_only: &["properties.fqdn", "properties.isAutoRegistered"],
    put: put_record,
    ..PLAIN
};

fn put_zone(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, ZONE_TYPE);
    let labels: Vec<&str> = put.id.name().split('.').collect();
    let valid = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if labels.len() < 2 || !labels.iter().all(valid) {
        return Err(Fault::bad_request(
            "BadRequest",
            format!("The domain name '{}' is not a valid name of a private DNS zone.", put.id.name()),
        ));
    }
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

fn view_zone(world: &World<'_>, zone: &StoredResource, body: &mut Value) {
    let properties = &mut body["properties"];
    properties["maxNumberOfRecordSets"] = 25_000.into();
    properties["maxNumberOfVirtualNetworkLinks"] = 1000.into();
    properties["maxNumberOfVirtualNetworkLinksWithRegistration"] = 100.into();
    // The zone's own SOA record counts.
    properties["numberOfRecordSets"] = (1 + world.children(&zone.id, A_TYPE).len()).into();
    properties["numberOfVirtualNetworkLinks"] = world.children(&zone.id, LINK_TYPE).len().into();
}

fn zone_in_use(world: &World<'_>, zone: &StoredResource) -> Result<(), Fault> {
    if !world.children(&zone.id, LINK_TYPE).is_empty() {
        return Err(Fault::conflict(
            "CannotDeleteResource",
            "Can not delete resource before nested resources are deleted.",
        ));
    }
    let servers = world.of_type("Microsoft.DBforPostgreSQL/flexibleServers");
    let uses = |server: &&StoredResource| {
        server.body["properties"]["network"]["privateDnsZoneArmResourceId"]
            .as_str()
            .is_some_and(|id| id.eq_ignore_ascii_case(&zone.id))
    };
    match servers.into_iter().find(uses) {
        Some(server) => {
            Err(Fault::conflict("CannotDeleteResource", format!("The private DNS zone is in use by {}.", server.id)))
        }
        None => Ok(()),
    }
}

fn put_link(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, LINK_TYPE);
    let network = required(put, "virtualNetwork/id")?.to_owned();
    if put.world.get(&network).is_none() {
        return Err(Fault::bad_request("BadRequest", format!("The virtual network '{network}' could not be found.")));
    }
    let zone = put.id.parent().map(|zone| zone.key().to_owned()).unwrap_or_default();
    let same = |link: &&StoredResource| {
        !link.id.eq_ignore_ascii_case(put.id.as_str())
            && link.body["properties"]["virtualNetwork"]["id"]
                .as_str()
                .is_some_and(|id| id.eq_ignore_ascii_case(&network))
    };
    if let Some(other) = put.world.children(&zone, LINK_TYPE).into_iter().find(same) {
        return Err(Fault::conflict(
            "Conflict",
            format!("A virtual network cannot be linked to the same zone twice: it is linked by '{}'.", other.id),
        ));
    }
    put.default("registrationEnabled", false.into());
    put.set("virtualNetworkLinkState", "Completed".into());
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

fn put_record(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, A_TYPE);
    // Clients of older api-versions write `aRecords` and `ttl` in other letters.
    for (from, to) in [("ARecords", "aRecords"), ("TTL", "ttl")] {
        if let Some(value) = put.properties().remove(from) {
            put.set(to, value);
        }
    }
    in_range(put, "ttl", 1..=2_147_483_647)?;
    put.default("ttl", 3600.into());
    put.default("aRecords", json!([]));
    for record in put.property("aRecords").as_array().into_iter().flatten() {
        if record["ipv4Address"].as_str().is_none_or(|address| address.parse::<Ipv4Addr>().is_err()) {
            return Err(Fault::bad_request("BadRequest", format!("The A record {record} has no valid ipv4Address.")));
        }
    }
    let zone = put.id.parent().map(|zone| zone.name().to_owned()).unwrap_or_default();
    let fqdn = format!("{}.{zone}.", put.id.name());
    put.set("fqdn", fqdn.into());
    put.set("isAutoRegistered", false.into());
    Ok(())
}
