//! Public IP addresses.

use std::net::Ipv4Addr;

use serde_json::json;

use super::network::identify;
use super::{Kind, PLAIN, Shown, choose, in_range};
use crate::fault::Fault;
use crate::resources::Put;

pub(super) static PUBLIC_IP: Kind = Kind {
    resource_type: "Microsoft.Network/publicIPAddresses",
    etag: "/etag",
    read_only: &[
        "properties.provisioningState",
        "properties.resourceGuid",
        "properties.ipAddress",
        "properties.ipConfiguration",
    ],
    put,
    shown: &[Shown::from("properties/ddosSettings", "2022-05-01")],
    announces: true,
    patching: super::Patching::Tags,
    ..PLAIN
};

fn put(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, "Microsoft.Network/publicIPAddresses");
    if put.body["sku"].is_null() {
        put.body["sku"] = json!({ "name": "Standard", "tier": "Regional" });
    }
    if put.body["sku"]["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("Basic")) {
        return Err(Fault::bad_request(
            "BasicSkuPublicIpAddressRetired",
            "Public IP addresses of the Basic SKU can no longer be created; use Standard.",
        ));
    }
    choose(put, "publicIPAllocationMethod", &["Static", "Dynamic"])?;
    put.default("publicIPAllocationMethod", "Static".into());
    if put.text("publicIPAllocationMethod") == Some("Dynamic") {
        return Err(Fault::bad_request(
            "StandardSkuPublicIPAddressesMustUseStaticAllocationMethod",
            "Standard SKU public IP addresses must use the allocation method Static.",
        ));
    }
    in_range(put, "idleTimeoutInMinutes", 4..=30)?;
    put.default("publicIPAddressVersion", "IPv4".into());
    put.default("idleTimeoutInMinutes", 4.into());
    put.default("ipTags", json!([]));
    put.default("ddosSettings", json!({ "protectionMode": "VirtualNetworkInherited" }));
    if put.body["sku"]["tier"].is_null() {
        put.body["sku"]["tier"] = "Regional".into();
    }
    if let Some(label) = put.text("dnsSettings/domainNameLabel").map(str::to_ascii_lowercase) {
        let location = put.body["location"].as_str().unwrap_or_default().to_owned();
        put.properties()["dnsSettings"]["fqdn"] = format!("{label}.{location}.cloudapp.azure.com").into();
    }
    // Addresses of 203.0.113.0/24 are set aside for documentation, so that none of them reaches anybody.
    let taken: Vec<String> = put
        .world
        .of_type("Microsoft.Network/publicIPAddresses")
        .iter()
        .filter_map(|ip| ip.body["properties"]["ipAddress"].as_str().map(str::to_owned))
        .collect();
    let free =
        (1..255).map(|last| Ipv4Addr::new(203, 0, 113, last).to_string()).find(|address| !taken.contains(address));
    let Some(free) = free else {
        return Err(Fault::bad_request(
            "PublicIPCountLimitReached",
            "Cannot create more than 254 public IP addresses for this subscription in this region.",
        ));
    };
    let guid = put.guid.clone();
    put.default("ipAddress", free.into());
    put.default("resourceGuid", guid.into());
    put.set("provisioningState", "Succeeded".into());
    Ok(())
}
