//! Agent pools.

use serde_json::{Value, json};

use super::network::identify;
use super::{Kind, Outside, PLAIN, Placement, Shown, choose, in_range};
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

/// The newest node image.
pub(crate) const NODE_IMAGE: &str = "AKSUbuntu-2404gen2containerd-202611.10.0";

const POOL_TYPE: &str = "Microsoft.ContainerService/managedClusters/agentPools";

pub(super) static AGENT_POOL: Kind = Kind {
    resource_type: POOL_TYPE,
    versions: ("2020-01-01", "2027-12-31"),
    placement: Placement::Child,
    merges: true,
    outside: Outside::Cluster,
    etag: "/properties/eTag",
    read_only: &[
        "properties.provisioningState",
        "properties.powerState",
        "properties.currentOrchestratorVersion",
        "properties.nodeImageVersion",
        "properties.eTag",
    ],
    put,
    in_use: last_system_pool,
    shown: &[
        Shown::from("properties/eTag", "2024-05-01"),
        Shown::default_from("properties/upgradeSettings/maxSurge", "10%", "2023-11-01"),
        Shown::from("properties/upgradeSettings/maxUnavailable", "2024-09-01"),
    ],
    ..PLAIN
};

/// vCPU, GiB of memory and family of the sizes that are offered.
const SIZES: [(&str, u32, u32, &str); 20] = [
    ("Standard_DS2_v2", 2, 7, "standardDSv2Family"),
    ("Standard_D2s_v3", 2, 8, "standardDSv3Family"),
    ("Standard_D4s_v3", 4, 16, "standardDSv3Family"),
    ("Standard_B2s", 2, 4, "standardBSFamily"),
    ("Standard_B2ms", 2, 8, "standardBSFamily"),
    ("Standard_B4ms", 4, 16, "standardBSFamily"),
    ("Standard_B2als_v2", 2, 4, "standardBasv2Family"),
    ("Standard_B2as_v2", 2, 8, "standardBasv2Family"),
    ("Standard_B4als_v2", 4, 8, "standardBasv2Family"),
    ("Standard_B4as_v2", 4, 16, "standardBasv2Family"),
    ("Standard_B2ls_v2", 2, 4, "standardBsv2Family"),
    ("Standard_B2s_v2", 2, 8, "standardBsv2Family"),
    ("Standard_B2pls_v2", 2, 4, "standardBpsv2Family"),
    ("Standard_B2ps_v2", 2, 8, "standardBpsv2Family"),
    ("Standard_D2as_v5", 2, 8, "standardDASv5Family"),
    ("Standard_D2as_v6", 2, 8, "standardDasv6Family"),
    ("Standard_D4als_v6", 4, 8, "standardDalsv6Family"),
    ("Standard_D2s_v5", 2, 8, "standardDSv5Family"),
    ("Standard_D4s_v5", 4, 16, "standardDSv5Family"),
    ("Standard_D4pls_v6", 4, 8, "standardDplsv6Family"),
];

fn put(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, POOL_TYPE);
    let name = put.id.name();
    let valid = name.len() <= 12
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !valid {
        return Err(Fault::bad_request("InvalidParameter", format!("The value of parameter agentPoolProfile.name is invalid: '{name}' does not match ^[a-z][a-z0-9]{{0,11}}$.")).target("agentPoolProfile.name"));
    }
    set_size(put)?;
    set_counts(put)?;
    set_defaults(put)?;
    check_subnet(put)?;
    check_quota(put)
}

fn set_size(put: &mut Put<'_>) -> Result<(), Fault> {
    choose(put, "mode", &["System", "User", "Gateway"])?;
    put.default("mode", "User".into());
    put.default("vmSize", "Standard_D4als_v6".into());
    let size = put.text("vmSize").unwrap_or_default().to_owned();
    let Some((known, vcpus, memory_gib, _)) = SIZES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(&size)) else {
        let location = put
            .id
            .parent()
            .and_then(|cluster| put.world.get(cluster.key()))
            .map(|cluster| cluster.body["location"].clone());
        return Err(Fault::bad_request(
            "VMSizeNotSupported",
            format!(
                "The VM size of {size} is not allowed in your subscription in location '{}'. The available VM sizes are '{}'",
                location.as_ref().and_then(Value::as_str).unwrap_or_default(),
                SIZES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(",")
            ),
        ));
    };
    if put.text("mode") == Some("System") && (*vcpus < 2 || *memory_gib < 4) {
        return Err(Fault::bad_request(
            "SystemPoolSkuTooLow",
            "System node pool must use VM sku with more than 2 cores and 4GB memory.",
        ));
    }
    if let Some(old) = put.existing.and_then(|existing| existing.body["properties"]["vmSize"].as_str())
        && !old.eq_ignore_ascii_case(known)
    {
        return Err(immutable("vmSize"));
    }
    put.set("vmSize", (*known).into());
    Ok(())
}

fn immutable(property: &str) -> Fault {
    Fault::bad_request("PropertyChangeNotAllowed", format!("Changing property 'properties.{property}' is not allowed."))
        .target(&format!("properties.{property}"))
}

fn set_counts(put: &mut Put<'_>) -> Result<(), Fault> {
    let system = put.text("mode") == Some("System");
    let least = i64::from(system);
    in_range(put, "maxPods", 10..=250)?;
    let count = in_range(put, "count", 0..=1000)?;
    let scaling = put.property("enableAutoScaling") == &Value::Bool(true);
    put.default("enableAutoScaling", false.into());
    let old_count = put.existing.and_then(|existing| existing.body["properties"]["count"].as_i64());
    if scaling {
        let (low, high) = (in_range(put, "minCount", 0..=1000)?, in_range(put, "maxCount", 1..=1000)?);
        let (Some(low), Some(high)) = (low, high) else {
            return Err(Fault::bad_request(
                "InvalidParameter",
                "minCount and maxCount are required when enableAutoScaling is true.",
            )
            .target("agentPoolProfile.minCount"));
        };
        if low > high || low < least {
            return Err(Fault::bad_request(
                "InvalidParameter",
                format!("minCount {low} must be at least {least} and not more than maxCount {high}."),
            )
            .target("agentPoolProfile.minCount"));
        }
        // The body of an update holds the old count where the request leaves it out, so a difference is a wish to scale.
        let was_scaling = put.existing.is_some_and(|existing| existing.body["properties"]["enableAutoScaling"] == true);
        match (count, old_count) {
            (Some(count), Some(old)) if was_scaling && count != old => {
                return Err(Fault::bad_request(
                    "OperationNotAllowed",
                    format!("Cannot scale cluster autoscaler enabled node pool '{}'.", put.id.name()),
                )
                .target("agentPoolProfile.count"));
            }
            (count, _) => put.set("count", count.unwrap_or(low).clamp(low, high).into()),
        }
        return Ok(());
    }
    for name in ["minCount", "maxCount"] {
        if put.existing.is_some() {
            put.properties().remove(name);
        } else if !put.property(name).is_null() {
            return Err(Fault::bad_request(
                "InvalidParameter",
                format!("{name} is only allowed when enableAutoScaling is true."),
            )
            .target(&format!("agentPoolProfile.{name}")));
        }
    }
    let count = count.or(old_count).unwrap_or(least.max(1));
    if count < least {
        return Err(Fault::bad_request("InvalidParameter", "A pool of mode System needs at least one node.")
            .target("agentPoolProfile.count"));
    }
    put.set("count", count.into());
    Ok(())
}

fn set_defaults(put: &mut Put<'_>) -> Result<(), Fault> {
    choose(put, "osType", &["Linux", "Windows"])?;
    choose(put, "type", &["VirtualMachineScaleSets", "VirtualMachines"])?;
    choose(put, "scaleSetPriority", &["Regular", "Spot"])?;
    choose(put, "scaleDownMode", &["Delete", "Deallocate"])?;
    choose(put, "osDiskType", &["Managed", "Ephemeral"])?;
    if put.text("osType") == Some("Windows") {
        return Err(Fault::bad_request(
            "InvalidParameter",
            "Windows node pools are not offered by the embedded Azure Resource Manager.",
        )
        .target("agentPoolProfile.osType"));
    }
    for taint in put.property("nodeTaints").as_array().into_iter().flatten() {
        let valid = taint.as_str().and_then(|taint| taint.rsplit_once(':')).is_some_and(|(key, effect)| {
            !key.is_empty() && ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)
        });
        if !valid {
            return Err(Fault::bad_request(
                "InvalidParameter",
                format!("The taint {taint} is not of the form key=value:effect."),
            )
            .target("agentPoolProfile.nodeTaints"));
        }
    }
    let cluster = put.id.parent().and_then(|parent| put.world.get(parent.key()));
    let cluster = cluster.map_or(Value::Null, |cluster| cluster.body["properties"].clone());
    let overlay = cluster["networkProfile"]["networkPluginMode"]
        .as_str()
        .is_some_and(|mode| mode.eq_ignore_ascii_case("overlay"));
    let version = cluster["currentKubernetesVersion"].as_str().unwrap_or("1.36.3").to_owned();
    let kubenet = cluster["networkProfile"]["networkPlugin"] == "kubenet";
    put.default(
        "maxPods",
        if overlay {
            250
        } else if kubenet {
            110
        } else {
            30
        }
        .into(),
    );
    put.default("osType", "Linux".into());
    put.default("osSKU", "Ubuntu".into());
    put.default("type", "VirtualMachineScaleSets".into());
    if put.property("osDiskSizeGB").as_i64().unwrap_or(0) == 0 {
        put.set("osDiskSizeGB", 128.into());
    }
    put.default("osDiskType", "Managed".into());
    put.default("kubeletDiskType", "OS".into());
    for name in ["enableNodePublicIP", "enableEncryptionAtHost", "enableUltraSSD", "enableFIPS"] {
        put.default(name, false.into());
    }
    // AKS does not repeat what goes without saying.
    if put.text("scaleSetPriority").is_none_or(|priority| priority == "Regular") {
        for name in ["scaleSetPriority", "scaleSetEvictionPolicy", "spotMaxPrice"] {
            put.properties().remove(name);
        }
    }
    for name in ["nodeTaints", "nodeLabels"] {
        let value = put.property(name);
        let empty =
            value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty);
        if empty {
            put.properties().remove(name);
        }
    }
    put.default("upgradeSettings", json!({ "maxSurge": "10%", "maxUnavailable": "0" }));
    put.default("orchestratorVersion", version.clone().into());
    put.default("currentOrchestratorVersion", version.into());
    put.default("nodeImageVersion", NODE_IMAGE.into());
    put.default("powerState", json!({ "code": "Running" }));
    put.default("provisioningState", "Succeeded".into());
    Ok(())
}

fn check_subnet(put: &Put<'_>) -> Result<(), Fault> {
    if let Some(existing) = put.existing
        && existing.body["properties"].get("vnetSubnetID").is_some_and(|old| old != put.property("vnetSubnetID"))
    {
        return Err(immutable("vnetSubnetID"));
    }
    let Some(subnet) = put.text("vnetSubnetID") else { return Ok(()) };
    let Some(stored) = put.world.get(subnet) else {
        return Err(Fault::bad_request(
            "InvalidParameter",
            format!("The subnet '{subnet}' of agent pool '{}' was not found.", put.id.name()),
        )
        .target("agentPoolProfile.vnetSubnetID"));
    };
    if stored.body["properties"]["delegations"].as_array().is_some_and(|delegations| !delegations.is_empty()) {
        return Err(Fault::bad_request(
            "SubnetIsDelegated",
            format!("Subnet '{subnet}' is delegated and cannot hold the nodes of agent pool '{}'.", put.id.name()),
        ));
    }
    Ok(())
}

fn vcpus_of(properties: &Value) -> Option<(&'static str, u32)> {
    let size = properties["vmSize"].as_str()?;
    let (_, vcpus, _, family) = SIZES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(size))?;
    let count = u32::try_from(properties["count"].as_u64()?).ok()?;
    Some((family, vcpus.saturating_mul(count)))
}

fn check_quota(put: &Put<'_>) -> Result<(), Fault> {
    let Some((family, wanted)) = vcpus_of(&put.body["properties"]) else { return Ok(()) };
    let pools = put.world.of_type(POOL_TYPE);
    let others = pools.into_iter().filter(|pool| !pool.id.eq_ignore_ascii_case(put.id.as_str()));
    let used: u32 = others
        .filter_map(|pool| vcpus_of(&pool.body["properties"]))
        .filter(|(other, _)| *other == family)
        .map(|(_, vcpus)| vcpus)
        .sum();
    let limit = put.world.settings.family_vcpu_quota;
    if used + wanted <= limit {
        return Ok(());
    }
    Err(Fault::bad_request(
        "ErrCode_InsufficientVCPUQuota",
        format!(
            "Insufficient vcpu quota requested {wanted}, remaining {} for family {family} in the subscription's region.",
            limit.saturating_sub(used)
        ),
    ))
}

fn last_system_pool(world: &World<'_>, pool: &StoredResource) -> Result<(), Fault> {
    let cluster = pool.id.to_ascii_lowercase();
    let cluster = cluster.rsplit_once("/agentpools/").map_or("", |(cluster, _)| cluster);
    let is_system = |pool: &StoredResource| pool.body["properties"]["mode"] == "System";
    let systems = world.children(cluster, POOL_TYPE).into_iter().filter(|pool| is_system(pool)).count();
    if is_system(pool) && systems <= 1 {
        return Err(Fault::bad_request(
            "OperationNotAllowed",
            "There has to be at least one agent pool of mode System in a managed cluster.",
        ));
    }
    Ok(())
}
