//! What-if equals what then happens, for random pairs of configurations.

use std::collections::{BTreeMap, BTreeSet};

use arm_engine::Ids;
use serde_json::{Value, json};

use crate::support::{Cloud, GROUP_SCHEMA, SUBSCRIPTION};

/// A seeded source of choices.
struct Random(Ids);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_number() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn group() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/random")
}

/// A template with a random choice of resources, children and properties. Names come from few, so that pairs meet.
fn configuration(random: &mut Random) -> Value {
    let mut resources = Vec::new();
    let tags = |random: &mut Random| {
        let mut tags = json!({});
        for name in ["team", "stage"] {
            if random.chance(40) {
                tags[name] = random.pick(&["a", "b"]).into();
            }
        }
        tags
    };
    for (at, name) in ["nsg-a", "nsg-b"].iter().enumerate() {
        if !random.chance(60) {
            continue;
        }
        let mut rules = Vec::new();
        for rule in 0..3 {
            if random.chance(50) {
                rules.push(json!({ "name": format!("r{rule}"), "properties": {
                    "priority": 100 + rule, "direction": "Inbound", "access": random.pick(&["Allow", "Deny"]), "protocol": random.pick(&["Tcp", "Udp", "*"]),
                    "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": random.pick(&["80", "443"]) } }));
            }
        }
        let tags = tags(random);
        resources.push(json!({ "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2025-09-01", "name": name, "location": "eastus", "tags": tags, "properties": { "securityRules": rules } }));
        let _ = at;
    }
    for (at, name) in ["net-a", "net-b"].iter().enumerate() {
        if !random.chance(70) {
            continue;
        }
        let mut subnets = Vec::new();
        for subnet in 0..3 {
            if random.chance(50) {
                let bits = random.pick(&["24", "25"]);
                subnets.push(json!({ "name": format!("s{subnet}"), "properties": { "addressPrefix": format!("10.{at}.{subnet}.0/{bits}"),
                    "privateEndpointNetworkPolicies": random.pick(&["Enabled", "Disabled"]) } }));
            }
        }
        let tags = tags(random);
        let mut properties =
            json!({ "addressSpace": { "addressPrefixes": [format!("10.{at}.0.0/16")] }, "subnets": subnets });
        if random.chance(30) {
            properties["dhcpOptions"] = json!({ "dnsServers": [random.pick(&["10.0.0.4", "10.0.0.5"])] });
        }
        resources.push(json!({ "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2025-09-01", "name": name, "location": "eastus", "tags": tags, "properties": properties }));
    }
    if random.chance(60) {
        let timeout = 4 + random.below(3);
        resources.push(json!({ "type": "Microsoft.Network/publicIPAddresses", "apiVersion": "2025-09-01", "name": "ip", "location": "eastus", "sku": { "name": "Standard" },
            "properties": { "publicIPAllocationMethod": "Static", "idleTimeoutInMinutes": timeout } }));
    }
    if random.chance(60) {
        resources.push(json!({ "type": "Microsoft.Network/privateDnsZones", "apiVersion": "2024-06-01", "name": "random.example.com", "location": "global", "tags": tags(random) }));
        if random.chance(60) {
            let address = random.pick(&["10.0.0.1", "10.0.0.2"]);
            resources.push(json!({ "type": "Microsoft.Network/privateDnsZones/A", "apiVersion": "2024-06-01", "name": "random.example.com/host", "dependsOn": ["[resourceId('Microsoft.Network/privateDnsZones', 'random.example.com')]"],
                "properties": { "ttl": 60 + random.below(2), "aRecords": [{ "ipv4Address": address }] } }));
        }
    }
    if random.chance(50) {
        resources.push(json!({ "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2024-11-30", "name": "identity", "location": "eastus", "tags": tags(random) }));
    }
    if random.chance(50) {
        let pool = json!({ "name": "system", "mode": "System", "count": 1 + random.below(2), "vmSize": "Standard_B2s", "maxPods": 50 });
        let tier = random.pick(&["Free", "Standard"]);
        resources.push(json!({ "type": "Microsoft.ContainerService/managedClusters", "apiVersion": "2026-05-01", "name": "cluster", "location": "eastus", "identity": { "type": "SystemAssigned" },
            "sku": { "name": "Base", "tier": tier }, "tags": tags(random), "properties": { "dnsPrefix": "x", "agentPoolProfiles": [pool] } }));
    }
    json!({ "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "resources": resources })
}

/// Every resource of the group by its id, children too, without what only the platform writes.
fn snapshot(cloud: &mut Cloud) -> BTreeMap<String, Value> {
    let list = cloud.get(&format!("{}/resources", group()));
    let mut found = BTreeMap::new();
    for item in list["value"].as_array().expect("a list") {
        let id = item["id"].as_str().expect("an id").to_owned();
        let mut body = cloud.get(&id);
        strip(&mut body);
        if item["type"] == "Microsoft.Network/privateDnsZones" {
            for record in cloud.get(&format!("{id}/A"))["value"].as_array().expect("records") {
                let mut record = record.clone();
                strip(&mut record);
                found.insert(record["id"].as_str().expect("an id").to_ascii_lowercase(), record);
            }
        }
        found.insert(id.to_ascii_lowercase(), body);
    }
    found
}

/// Properties that Azure marks read-only; what-if does not show them either.
fn strip(value: &mut Value) {
    const READ_ONLY: [&str; 22] = [
        "etag",
        "eTag",
        "provisioningState",
        "resourceGuid",
        "resourceUID",
        "ipAddress",
        "defaultSecurityRules",
        "subnets_",
        "numberOfRecordSets",
        "numberOfVirtualNetworkLinks",
        "maxNumberOfRecordSets",
        "maxNumberOfVirtualNetworkLinks",
        "maxNumberOfVirtualNetworkLinksWithRegistration",
        "fqdn",
        "isAutoRegistered",
        "azurePortalFQDN",
        "currentKubernetesVersion",
        "currentOrchestratorVersion",
        "nodeImageVersion",
        "powerState",
        "identityProfile",
        "maxAgentPools",
    ];
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !READ_ONLY.contains(&key.as_str()));
            members.values_mut().for_each(strip);
            for key in ["principalId", "tenantId", "clientId"] {
                members.shift_remove(key);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Leaves of a difference: `properties.subnets.0.properties.addressPrefix`.
fn leaves(prefix: &str, delta: &[Value], into: &mut BTreeSet<String>) {
    for entry in delta {
        let path = entry["path"].as_str().expect("a path");
        let path = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}.{path}") };
        match entry["children"].as_array() {
            Some(children) => leaves(&path, children, into),
            None => {
                into.insert(path);
            }
        }
    }
}

/// The same leaves from two bodies, found without the engine's own comparison.
fn compared(path: &str, one: &Value, other: &Value, into: &mut BTreeSet<String>) {
    let joined = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (one, other) {
        (Value::Object(old), Value::Object(new)) => {
            for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                match (old.get(name), new.get(name)) {
                    (Some(old), Some(new)) => compared(&joined(name), old, new, into),
                    _ => {
                        into.insert(joined(name));
                    }
                }
            }
        }
        // A list that was or becomes empty is announced as a whole.
        (Value::Array(old), Value::Array(new)) if old.is_empty() != new.is_empty() => {
            into.insert(path.to_owned());
        }
        (Value::Array(old), Value::Array(new)) => {
            for at in 0..old.len().max(new.len()) {
                match (old.get(at), new.get(at)) {
                    (Some(old), Some(new)) => compared(&joined(&at.to_string()), old, new, into),
                    _ => {
                        into.insert(joined(&at.to_string()));
                    }
                }
            }
        }
        (one, other) if one == other => {}
        _ => {
            into.insert(path.to_owned());
        }
    }
}

type Changes = BTreeMap<String, (String, BTreeSet<String>)>;

fn announced(cloud: &mut Cloud, template: &Value) -> Changes {
    let path = format!("{}/providers/Microsoft.Resources/deployments/next/whatIf", group());
    let response = cloud.request("POST", &path, json!({ "properties": { "mode": "Complete", "template": template } }));
    let location =
        response.get_header("Location").unwrap_or_else(|| panic!("{:?}", response.body)).replace("https://arm", "");
    let result = cloud.get(&location);
    assert_eq!(result["status"], "Succeeded", "{result:#}");
    let changes = result["properties"]["changes"].as_array().expect("changes").iter().map(|change| {
        let mut paths = BTreeSet::new();
        leaves("", change["delta"].as_array().map_or(&[], Vec::as_slice), &mut paths);
        (
            change["resourceId"].as_str().expect("an id").to_ascii_lowercase(),
            (change["changeType"].as_str().expect("a type").to_owned(), paths),
        )
    });
    changes.filter(|(_, (kind, _))| kind != "NoChange" && kind != "Ignore").collect()
}

fn happened(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Changes {
    let mut changes = Changes::new();
    for id in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        match (before.get(id), after.get(id)) {
            (None, Some(_)) => {
                changes.insert(id.clone(), ("Create".to_owned(), BTreeSet::new()));
            }
            // What goes with its parent is not announced on its own.
            (Some(_), None)
                if before.keys().any(|other| id.starts_with(&format!("{other}/")) && !after.contains_key(other)) => {}
            (Some(_), None) => {
                changes.insert(id.clone(), ("Delete".to_owned(), BTreeSet::new()));
            }
            (Some(old), Some(new)) => {
                let mut paths = BTreeSet::new();
                compared("", old, new, &mut paths);
                if !paths.is_empty() {
                    changes.insert(id.clone(), ("Modify".to_owned(), paths));
                }
            }
            (None, None) => {}
        }
    }
    changes
}

fn deploy(cloud: &mut Cloud, template: &Value) {
    let path = format!("{}/providers/Microsoft.Resources/deployments/next", group());
    let response = cloud.request("PUT", &path, json!({ "properties": { "mode": "Complete", "template": template } }));
    assert!(response.status < 300, "{:?}", response.body);
    cloud.run_effects();
    let deployment = cloud.get(&path);
    assert_eq!(deployment["properties"]["provisioningState"], "Succeeded", "{deployment:#}");
}

fn check(seed: u64) {
    let mut random = Random(Ids::new(seed));
    let mut cloud = Cloud::new();
    cloud.request("PUT", &group(), json!({ "location": "eastus" }));
    let (first, second) = (configuration(&mut random), configuration(&mut random));
    deploy(&mut cloud, &first);
    assert_eq!(announced(&mut cloud, &first), Changes::new(), "seed {seed}: noise on an unchanged configuration");
    let before = snapshot(&mut cloud);
    let expected = announced(&mut cloud, &second);
    assert_eq!(snapshot(&mut cloud), before, "seed {seed}: the what-if changed something");
    deploy(&mut cloud, &second);
    let after = snapshot(&mut cloud);
    assert_eq!(expected, happened(&before, &after), "seed {seed}");
}

#[test]
fn what_if_announces_what_happens_for_a_thousand_pairs() {
    (0..1000).for_each(check);
}
