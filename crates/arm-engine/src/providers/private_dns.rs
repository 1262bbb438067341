//! Private DNS zones, their links and A records.

use serde_json::Value;

use super::network::identify;
use super::{Kind, PLAIN, Placement, Shown, record_set, required};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

const ZONE_TYPE: &str = "Microsoft.Network/privateDnsZones";
const LINK_TYPE: &str = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";

pub(super) static ZONE: Kind = Kind {
    resource_type: ZONE_TYPE,
    placement: Placement::Global,
    etag: "/etag",
    read_only: &["properties"],
    put: put_zone,
    after: add_start_of_authority,
    in_use: zone_in_use,
    view: view_zone,
    shown: &[Shown::from("properties/internalId", "2020-01-01")],
    put_status: (202, 202),
    announces: true,
    conditions_later: true,
    patching: super::Patching::Merge,
    ..PLAIN
};

pub(super) static LINK: Kind = Kind {
    resource_type: LINK_TYPE,
    placement: Placement::Global,
    etag: "/etag",
    read_only: &["properties.provisioningState", "properties.virtualNetworkLinkState"],
    put_status: (202, 202),
    announces: true,
    conditions_later: true,
    put: put_link,
    patching: super::Patching::Merge,
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
    let internal = crate::expression::encode_base64(format!("Immutable zone identity;{};0", put.guid).as_bytes());
    put.default("internalId", internal.into());
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}

fn add_start_of_authority(engine: &mut Engine, key: &str) {
    let Some(zone) = engine.resources.get(key).map(|zone| zone.id.clone()) else { return };
    let Ok(id) = arm_model::id::ResourceId::parse(&zone).map(|zone| zone.child("SOA", "@")) else { return };
    if !engine.resources.contains(id.key()) {
        let body = record_set::start_of_authority(zone.rsplit('/').next().unwrap_or_default());
        // The zone was stored a moment ago and the body is made here: there is nothing to refuse.
        let _ = engine.put_resource(&id, "2024-06-01", &body, &crate::resources::Conditions::default());
    }
}

fn view_zone(world: &World<'_>, zone: &StoredResource, body: &mut Value) {
    let properties = &mut body["properties"];
    properties["maxNumberOfRecordSets"] = 25_000.into();
    properties["maxNumberOfVirtualNetworkLinks"] = 1000.into();
    properties["maxNumberOfVirtualNetworkLinksWithRegistration"] = 100.into();
    properties["numberOfRecordSets"] = record_set::of_zone(world, &zone.id).len().into();
    let links = world.children(&zone.id, LINK_TYPE);
    properties["numberOfVirtualNetworkLinks"] = links.len().into();
    let registers = |link: &&&StoredResource| link.body["properties"]["registrationEnabled"] == true;
    properties["numberOfVirtualNetworkLinksWithRegistration"] = links.iter().filter(registers).count().into();
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
