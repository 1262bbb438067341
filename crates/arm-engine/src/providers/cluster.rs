//! Managed clusters.

use serde_json::{Value, json};

use super::network::identify;
use super::{Inline, Kind, Outside, PLAIN, Shown};
use crate::cidr::Block;
use crate::expression::encode_base64;
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

pub(super) static CLUSTER: Kind = Kind {
    resource_type: "Microsoft.ContainerService/managedClusters",
    versions: ("2020-01-01", "2027-12-31"),
    merges: true,
    outside: Outside::Cluster,
    etag: "/eTag",
    read_only: &[
        "properties.provisioningState",
        "properties.powerState",
        "properties.fqdn",
        "properties.azurePortalFQDN",
        "properties.currentKubernetesVersion",
        "properties.maxAgentPools",
        "properties.identityProfile",
        "properties.resourceUID",
        "properties.oidcIssuerProfile.issuerURL",
        "properties.networkProfile.loadBalancerProfile.effectiveOutboundIPs",
        "identity.principalId",
        "identity.tenantId",
    ],
    inline: &[Inline {
        field: "agentPoolProfiles",
        child_type: "Microsoft.ContainerService/managedClusters/agentPools",
        flat: true,
        prune: false,
    }],
    put,
    patching: super::Patching::Tags,
    view,
    shown: &[
        Shown::from("eTag", "2024-05-01"),
        Shown::from("properties/resourceUID", "2023-11-01"),
        Shown::default_from("properties/networkProfile/networkPolicy", "none", "2023-11-01"),
        Shown::from("properties/networkProfile/loadBalancerProfile/backendPoolType", "2023-11-01"),
        Shown::from("properties/agentPoolProfiles/*/eTag", "2024-05-01"),
        Shown::from("properties/autoScalerProfile/daemonset-eviction-for-empty-nodes", "2024-05-01"),
        Shown::from("properties/autoScalerProfile/daemonset-eviction-for-occupied-nodes", "2024-05-01"),
        Shown::from("properties/autoScalerProfile/ignore-daemonsets-utilization", "2024-05-01"),
        Shown::default_from("properties/agentPoolProfiles/*/upgradeSettings/maxSurge", "10%", "2023-11-01"),
        Shown::from("properties/agentPoolProfiles/*/upgradeSettings/maxUnavailable", "2024-09-01"),
    ],
    ..PLAIN
};

/// The minor versions that AKS supports in November 2026, with the patch that a bare minor version means.
const VERSIONS: [(&str, &str); 4] = [("1.34", "1.34.6"), ("1.35", "1.35.4"), ("1.36", "1.36.3"), ("1.37", "1.37.0")];
const DEFAULT_VERSION: &str = "1.36";

/// Ranges that AKS keeps for itself.
const FORBIDDEN: [&str; 4] = ["169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24"];

fn put(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, "Microsoft.ContainerService/managedClusters");
    let name = put.id.name().to_owned();
    let valid = name.len() <= 63
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !valid {
        return Err(Fault::bad_request(
            "InvalidParameter",
            format!(
                "The name '{name}' of a managed cluster must have 1 to 63 letters, digits, hyphens and underscores, and start with a letter or digit."
            ),
        ));
    }
    hide_secrets(put);
    check_pools(put)?;
    set_identity(put)?;
    set_version(put)?;
    set_sku(put)?;
    set_network(put)?;
    set_defaults(put, &name);
    Ok(())
}

/// What a client may write and nobody may read.
const WRITE_ONLY: [(&str, &str); 3] =
    [("servicePrincipalProfile", "secret"), ("windowsProfile", "adminPassword"), ("aadProfile", "serverAppSecret")];

fn hide_secrets(put: &mut Put<'_>) {
    for (object, name) in WRITE_ONLY {
        let Some(Value::Object(members)) = put.properties().get_mut(object) else { continue };
        if let Some(Value::String(secret)) = members.remove(name) {
            put.hidden.insert(name.to_owned(), secret);
        }
    }
}

fn check_pools(put: &Put<'_>) -> Result<(), Fault> {
    let is_system =
        |pool: &Value| pool["properties"]["mode"].as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("System"));
    if put.existing.is_none() && !put.inline.iter().any(|(_, pool)| is_system(pool)) {
        return Err(Fault::bad_request(
            "InvalidParameter",
            "Required parameter agentPoolProfiles must have at least one pool of mode System.",
        )
        .target("agentPoolProfiles"));
    }
    Ok(())
}

fn set_identity(put: &mut Put<'_>) -> Result<(), Fault> {
    let kind = put.body["identity"]["type"].as_str().unwrap_or("None").to_owned();
    if kind == "None" {
        if put.property("servicePrincipalProfile").is_null() {
            return Err(Fault::bad_request(
                "InvalidParameter",
                "A managed cluster needs an identity (SystemAssigned or UserAssigned) or a servicePrincipalProfile.",
            )
            .target("identity"));
        }
        return Ok(());
    }
    if kind.eq_ignore_ascii_case("SystemAssigned") {
        let tenant = put.world.settings.tenant_id.clone();
        let principal = put.body["identity"]["principalId"].as_str().unwrap_or(&put.guid).to_owned();
        put.body["identity"]["principalId"] = principal.into();
        put.body["identity"]["tenantId"] = tenant.into();
        return Ok(());
    }
    let ids: Vec<String> = put.body["identity"]["userAssignedIdentities"]
        .as_object()
        .map(|ids| ids.keys().cloned().collect())
        .unwrap_or_default();
    for id in ids {
        let Some(identity) = put.world.get(&id) else {
            return Err(Fault::bad_request("InvalidParameter", format!("The identity '{id}' was not found."))
                .target("identity"));
        };
        let properties = &identity.body["properties"];
        put.body["identity"]["userAssignedIdentities"][&id] =
            json!({ "principalId": properties["principalId"], "clientId": properties["clientId"] });
    }
    Ok(())
}

fn set_version(put: &mut Put<'_>) -> Result<(), Fault> {
    let wanted = put.text("kubernetesVersion").filter(|text| !text.is_empty()).unwrap_or(DEFAULT_VERSION).to_owned();
    let minor = wanted.split('.').take(2).collect::<Vec<_>>().join(".");
    let Some((_, latest)) = VERSIONS.iter().find(|(known, _)| *known == minor) else {
        return Err(Fault::bad_request(
            "K8sVersionNotSupported",
            format!(
                "Managed cluster {} is on version {wanted}, which is not available in this region. Please use [az aks get-versions] command to get the supported version list in this region.",
                put.id.name()
            ),
        ));
    };
    let current = if wanted == minor { (*latest).to_owned() } else { wanted.clone() };
    if let Some(old) =
        put.existing.and_then(|existing| existing.body["properties"]["currentKubernetesVersion"].as_str())
        && minor_number(old) > minor_number(&current)
    {
        return Err(Fault::bad_request(
            "OperationNotAllowed",
            format!("Downgrading Kubernetes from {old} to {wanted} is not supported."),
        ));
    }
    put.default("kubernetesVersion", DEFAULT_VERSION.into());
    put.set("currentKubernetesVersion", current.into());
    Ok(())
}

fn minor_number(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

fn set_sku(put: &mut Put<'_>) -> Result<(), Fault> {
    if put.body["sku"].is_null() {
        put.body["sku"] = json!({ "name": "Base", "tier": "Free" });
    }
    let tier = put.body["sku"]["tier"].as_str().unwrap_or("Free").to_owned();
    let Some(known) = ["Free", "Standard", "Premium"].iter().find(|known| known.eq_ignore_ascii_case(&tier)) else {
        return Err(Fault::bad_request(
            "InvalidParameter",
            format!("The value '{tier}' of sku.tier is not one of: Free, Standard, Premium."),
        )
        .target("sku.tier"));
    };
    put.body["sku"]["tier"] = (*known).into();
    if put.body["sku"]["name"].is_null() {
        put.body["sku"]["name"] = "Base".into();
    }
    Ok(())
}

fn set_network(put: &mut Put<'_>) -> Result<(), Fault> {
    let mut profile = put.property("networkProfile").clone();
    if !profile.is_object() {
        profile = json!({});
    }
    let overlay = profile["networkPluginMode"].as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("overlay"));
    let mut defaults = vec![
        ("networkPlugin", json!("azure")),
        ("networkPolicy", json!("none")),
        ("serviceCidr", json!("10.0.0.0/16")),
        ("dnsServiceIP", json!("10.0.0.10")),
        ("outboundType", json!("loadBalancer")),
        ("loadBalancerSku", json!("standard")),
        ("ipFamilies", json!(["IPv4"])),
    ];
    let kubenet = profile["networkPlugin"].as_str().is_some_and(|plugin| plugin.eq_ignore_ascii_case("kubenet"));
    if !kubenet {
        defaults.push(("networkDataplane", json!("azure")));
    }
    if overlay || kubenet {
        defaults.push(("podCidr", json!("10.244.0.0/16")));
    }
    for (name, value) in defaults {
        if profile[name].is_null() {
            profile[name] = value;
        }
    }
    if profile["outboundType"] == "loadBalancer" {
        let outbound = &mut profile["loadBalancerProfile"];
        if outbound["outboundIPs"].is_null()
            && outbound["outboundIPPrefixes"].is_null()
            && outbound["managedOutboundIPs"].is_null()
        {
            outbound["managedOutboundIPs"] = json!({ "count": 1 });
        }
        if outbound["backendPoolType"].is_null() {
            outbound["backendPoolType"] = "nodeIPConfiguration".into();
        }
    }
    profile["serviceCidrs"] = json!([profile["serviceCidr"]]);
    if !profile["podCidr"].is_null() {
        profile["podCidrs"] = json!([profile["podCidr"]]);
    }
    check_ranges(put, &profile)?;
    put.set("networkProfile", profile);
    Ok(())
}

fn check_ranges(put: &Put<'_>, profile: &Value) -> Result<(), Fault> {
    let invalid = |message: String| Fault::bad_request("InvalidParameter", message).target("networkProfile");
    let block = |name: &str| match profile[name].as_str() {
        None => Ok(None),
        Some(text) => Block::parse(text)
            .map(Some)
            .ok_or_else(|| invalid(format!("networkProfile.{name} '{text}' is not a CIDR block."))),
    };
    let (service, pod) = (block("serviceCidr")?, block("podCidr")?);
    if let (Some(service), Some(pod)) = (service, pod)
        && service.overlaps(pod)
    {
        return Err(Fault::bad_request(
            "PodCidrOverlapsServiceCidr",
            "networkProfile.podCidr and networkProfile.serviceCidr overlap.",
        ));
    }
    for range in [service, pod].into_iter().flatten() {
        if FORBIDDEN.iter().filter_map(|text| Block::parse(text)).any(|forbidden| forbidden.overlaps(range)) {
            return Err(invalid("networkProfile uses a range that AKS reserves: 169.254.0.0/16, 172.30.0.0/16, 172.31.0.0/16, 192.0.2.0/24.".to_owned()));
        }
    }
    let dns = profile["dnsServiceIP"].as_str().and_then(|address| Block::parse(&format!("{address}/32")));
    match (service, dns) {
        (Some(service), Some(dns)) if service.contains(dns) && dns.first() > service.first() + 1 => {}
        _ => {
            return Err(invalid(
                "networkProfile.dnsServiceIP must be inside serviceCidr and not its first address.".to_owned(),
            ));
        }
    }
    for subnet in put
        .inline
        .iter()
        .filter_map(|(_, pool)| pool["properties"]["vnetSubnetID"].as_str())
        .filter_map(|id| put.world.get(id))
    {
        let Some(nodes) = subnet.body["properties"]["addressPrefix"].as_str().and_then(Block::parse) else { continue };
        if service.is_some_and(|service| service.overlaps(nodes)) {
            return Err(Fault::bad_request(
                "ServiceCidrOverlapExistingSubnetsCidr",
                format!("The specified service CIDR conflicts with an existing subnet CIDR {}.", subnet.id),
            ));
        }
    }
    Ok(())
}

fn set_defaults(put: &mut Put<'_>, name: &str) {
    let location = put.body["location"].as_str().unwrap_or_default().to_owned();
    let group = put.id.resource_group().unwrap_or_default().to_owned();
    let guid = put.guid.clone();
    put.default("dnsPrefix", name.into());
    put.default("nodeResourceGroup", format!("MC_{group}_{name}_{location}").into());
    put.default("enableRBAC", true.into());
    put.default("supportPlan", "KubernetesOfficial".into());
    put.default("disableLocalAccounts", false.into());
    put.default("maxAgentPools", 100.into());
    put.default("resourceUID", guid.into());
    // AKS makes the identity of the machines in the cluster's own resource group.
    let machines = format!("{}/kubelet", put.text("resourceUID").unwrap_or_default());
    let identity = crate::ids::guid_of(&machines);
    let subscription = put.world.settings.subscription_id.clone();
    let node_group = put.text("nodeResourceGroup").unwrap_or_default().to_owned();
    let managed = put.body["identity"]["type"].as_str().is_some_and(|kind| kind != "None");
    if managed {
        put.default("identityProfile", json!({ "kubeletidentity": {
            "resourceId": format!("/subscriptions/{subscription}/resourcegroups/{node_group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}-agentpool"),
            "clientId": super::client_id_of(&identity), "objectId": identity,
        } }));
    }
    // Until the cluster is there and says where it is.
    let prefix = put.text("dnsPrefix").unwrap_or_default().to_owned();
    let (host, zone) = (format!("{prefix}-{}", &identity[..8]), format!("{location}.azmk8s.io"));
    put.default("fqdn", format!("{host}.hcp.{zone}").into());
    put.default("azurePortalFQDN", format!("{host}.portal.hcp.{zone}").into());
    if let Some(profile @ Value::Object(_)) = put.properties().get("aadProfile").cloned()
        && profile["tenantID"].is_null()
    {
        let tenant = put.world.settings.tenant_id.clone();
        put.properties()["aadProfile"]["tenantID"] = tenant.into();
    }
    put.default("powerState", json!({ "code": "Running" }));
    put.default("provisioningState", "Succeeded".into());
    let mut storage = json!({ "diskCSIDriver": { "enabled": true }, "fileCSIDriver": { "enabled": true }, "snapshotController": { "enabled": true } });
    crate::resources::merge(
        &mut storage,
        &put.property("storageProfile").as_object().cloned().unwrap_or_default().into(),
    );
    put.set("storageProfile", storage);
    if let Some(Value::Object(windows)) = put.properties().get_mut("windowsProfile") {
        windows.entry("enableCSIProxy").or_insert(true.into());
    }
    put.default("securityProfile", json!({}));
    put.default("workloadAutoScalerProfile", json!({}));
    put.default("oidcIssuerProfile", json!({ "enabled": false }));
    if managed {
        put.default("servicePrincipalProfile", json!({ "clientId": "msi" }));
    }
    if put.property("addonProfiles").as_object().is_some_and(serde_json::Map::is_empty) {
        put.properties().remove("addonProfiles");
    }
    let scaled = put.inline.iter().any(|(_, pool)| pool["properties"]["enableAutoScaling"] == true);
    if scaled || !put.property("autoScalerProfile").is_null() {
        let mut profile: Value = AUTOSCALER_DEFAULTS
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        for key in ["daemonset-eviction-for-empty-nodes", "ignore-daemonsets-utilization"] {
            profile[key] = false.into();
        }
        profile["daemonset-eviction-for-occupied-nodes"] = true.into();
        crate::resources::merge(
            &mut profile,
            &put.property("autoScalerProfile").as_object().cloned().unwrap_or_default().into(),
        );
        put.set("autoScalerProfile", profile);
    }
}

/// What AKS makes in the cluster's own group is there once the cluster is.
fn view(_: &World<'_>, cluster: &StoredResource, body: &mut Value) {
    let properties = &mut body["properties"];
    if properties["provisioningState"] == "Creating" {
        if let Some(members) = properties.as_object_mut() {
            members.remove("identityProfile");
        }
        return;
    }
    let group = properties["nodeResourceGroup"].as_str().unwrap_or_default().to_owned();
    let subscription = cluster.id.split('/').nth(2).unwrap_or_default();
    let profile = &mut properties["networkProfile"]["loadBalancerProfile"];
    if profile["managedOutboundIPs"].is_object() {
        let address = crate::ids::guid_of(&format!("{}/outbound", cluster.id.to_ascii_lowercase()));
        profile["effectiveOutboundIPs"] = json!([{
            "id": format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/publicIPAddresses/{address}"),
        }]);
    } else if profile["outboundIPs"]["publicIPs"].is_array() {
        profile["effectiveOutboundIPs"] = profile["outboundIPs"]["publicIPs"].clone();
    }
}

/// AKS's defaults (azure-aks-docs, cluster-autoscaler.md, 2026-07-30); all are strings on the wire.
const AUTOSCALER_DEFAULTS: [(&str, &str); 17] = [
    ("balance-similar-node-groups", "false"),
    ("expander", "random"),
    ("max-empty-bulk-delete", "10"),
    ("max-graceful-termination-sec", "600"),
    ("max-node-provision-time", "15m"),
    ("max-total-unready-percentage", "45"),
    ("new-pod-scale-up-delay", "0s"),
    ("ok-total-unready-count", "3"),
    ("scale-down-delay-after-add", "10m"),
    ("scale-down-delay-after-delete", "10s"),
    ("scale-down-delay-after-failure", "3m"),
    ("scale-down-unneeded-time", "10m"),
    ("scale-down-unready-time", "20m"),
    ("scale-down-utilization-threshold", "0.5"),
    ("scan-interval", "10s"),
    ("skip-nodes-with-local-storage", "false"),
    ("skip-nodes-with-system-pods", "true"),
];

/// The answer of `listClusterAdminCredential`, `listClusterUserCredential` and `listClusterMonitoringUserCredential`.
pub(crate) fn kubeconfigs(cluster: &StoredResource, name: &str) -> Result<Value, Fault> {
    let admin = name == "clusterAdmin";
    let key = if admin { "adminKubeconfig" } else { "userKubeconfig" };
    if admin && cluster.body["properties"]["disableLocalAccounts"] == true {
        return Err(Fault::bad_request(
            "BadRequest",
            "Getting static credential is not allowed because this cluster is set to disable local accounts.",
        ));
    }
    let Some(text) = cluster.hidden.get(key) else {
        return Err(Fault::conflict(
            "OperationNotAllowed",
            "The credentials of the cluster are not available before it has been provisioned.",
        ));
    };
    Ok(json!({ "kubeconfigs": [{ "name": name, "value": encode_base64(text.as_bytes()) }] }))
}

/// `(minor, patch)` of a full version.
fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').skip(1).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

pub(crate) fn is_newer(one: &str, other: &str) -> bool {
    numbers(one) > numbers(other)
}

/// What a control plane can be upgraded to: a newer patch, and the next minor version, never over one.
pub(crate) fn upgrades(version: &str) -> Vec<Value> {
    let (minor, _) = numbers(version);
    let targets = VERSIONS.iter().filter(|(_, patch)| is_newer(patch, version) && numbers(patch).0 <= minor + 1);
    targets.map(|(_, patch)| json!({ "kubernetesVersion": patch, "isPreview": false })).collect()
}

/// What pools of a cluster may run: its version, and those up to three minor versions older.
pub(crate) fn pool_versions(version: &str) -> Vec<String> {
    let (minor, _) = numbers(version);
    let mut versions: Vec<String> = VERSIONS
        .iter()
        .map(|(_, patch)| (*patch).to_owned())
        .filter(|patch| !is_newer(patch, version) && numbers(patch).0 + 3 >= minor)
        .collect();
    if !versions.iter().any(|known| known == version) {
        versions.push(version.to_owned());
    }
    versions
}

/// `GET …/locations/{location}/kubernetesVersions`
pub(crate) fn kubernetes_versions() -> Value {
    let values: Vec<Value> = VERSIONS
        .iter()
        .map(|(minor, patch)| {
            let targets: Vec<Value> =
                upgrades(patch).into_iter().map(|target| target["kubernetesVersion"].clone()).collect();
            json!({
                "version": minor, "isDefault": *minor == DEFAULT_VERSION, "isPreview": false,
                "capabilities": { "supportPlan": ["KubernetesOfficial", "AKSLongTermSupport"] },
                "patchVersions": { *patch: { "upgrades": targets } },
            })
        })
        .collect();
    json!({ "values": values })
}
