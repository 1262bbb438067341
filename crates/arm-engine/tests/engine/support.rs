//! A cloud whose outside always succeeds, driven through requests only.

use std::collections::BTreeMap;

use arm_engine::effect::{Effect, Outcome};
use arm_engine::{Engine, Ids, Method, Principal, Record, Request, Response};
use serde_json::{Value, json};
use units::{Millis, Timestamp};

pub const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
const TENANT: &str = "22222222-2222-4222-8222-222222222222";

pub struct Cloud {
    pub engine: Engine,
    pub now: Timestamp,
    pub effects_run: usize,
    /// Restarts the engine from its records after so many steps (requests and outcomes).
    pub crash_after_steps: Option<usize>,
    ids: Ids,
    records: BTreeMap<(String, String), Record>,
}

pub fn cluster_id() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/marea-base/providers/Microsoft.ContainerService/managedClusters/marea"
    )
}

impl Cloud {
    pub fn new() -> Cloud {
        Cloud {
            engine: Engine::new(TENANT, SUBSCRIPTION),
            now: Timestamp::from_secs(1_790_000_000),
            effects_run: 0,
            crash_after_steps: None,
            ids: Ids::new(42),
            records: BTreeMap::new(),
        }
    }

    /// The same cloud, to try something on.
    pub fn copy(&self) -> Cloud {
        Cloud { engine: self.engine.clone(), ..Cloud::new() }
    }

    pub fn request(&mut self, method: &str, target: &str, body: Value) -> Response {
        self.request_as("", method, target, body)
    }

    /// As somebody: the owner's object id is empty here.
    pub fn request_as(&mut self, object_id: &str, method: &str, target: &str, body: Value) -> Response {
        self.request_in_full(object_id, method, target, body, Vec::new())
    }

    /// As the owner, with headers.
    pub fn request_with(&mut self, method: &str, target: &str, body: Value, headers: &[(&str, &str)]) -> Response {
        let headers = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect();
        self.request_in_full("", method, target, body, headers)
    }

    fn request_in_full(
        &mut self,
        object_id: &str,
        method: &str,
        target: &str,
        body: Value,
        headers: Vec<(String, String)>,
    ) -> Response {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if !query.iter().any(|(key, _)| key == "api-version") {
            query.push(("api-version".to_owned(), "2025-04-01".to_owned()));
        }
        let method = match method {
            "GET" => Method::Get,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            _ => Method::Head,
        };
        let request = Request {
            method,
            path: path.to_owned(),
            query,
            headers,
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
            principal: Principal { object_id: object_id.to_owned(), app_id: object_id.to_owned() },
            base_url: "https://arm".to_owned(),
        };
        self.now = self.now + Millis(10);
        let response = self.engine.handle(&request, self.now, &mut self.ids);
        self.step();
        response
    }

    /// Stores what changed; crashes when it is time to.
    fn step(&mut self) {
        for record in self.engine.take_changes() {
            self.records.insert((record.table.clone(), record.key.clone()), record);
        }
        match self.crash_after_steps {
            Some(0) => {
                self.crash_after_steps = None;
                let records: Vec<Record> = self.records.values().cloned().collect();
                self.engine = Engine::new(TENANT, SUBSCRIPTION);
                self.engine.restore(&records).expect("restores");
            }
            Some(left) => self.crash_after_steps = Some(left - 1),
            None => {}
        }
    }

    pub fn run_effects(&mut self) {
        loop {
            let effects = self.engine.take_effects();
            let Some((id, effect)) = effects.first().cloned() else { break };
            self.effects_run += 1;
            let outcome = match effect {
                Effect::EnsureCluster { .. } => Outcome::Cluster {
                    fqdn: "marea.local".to_owned(),
                    admin_kubeconfig: "admin".to_owned(),
                    user_kubeconfig: "user".to_owned(),
                    oidc_issuer_url: "https://issuer/".to_owned(),
                },
                Effect::EnsurePostgres { .. } => {
                    Outcome::Postgres { host_address: "10.225.0.4".to_owned(), state: "Ready".to_owned() }
                }
                Effect::StopCluster { .. } | Effect::StopPostgres { .. } => Outcome::Stopped,
                Effect::DeleteCluster { .. } | Effect::DeletePostgres { .. } => Outcome::Deleted,
            };
            self.engine.complete(id, outcome, self.now);
            self.step();
            for (id, _) in effects.iter().skip(1) {
                // Others were handed out beside it; they succeed at once too.
                let outcome = Outcome::Postgres { host_address: "10.225.0.4".to_owned(), state: "Ready".to_owned() };
                self.engine.complete(*id, outcome, self.now);
                self.step();
            }
        }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Value {
        let response = self.request("GET", path, Value::Null);
        assert_eq!(response.status, 200, "GET {path}: {:?}", response.body);
        response.body.expect("a body")
    }

    pub fn status(&mut self, method: &str, path: &str) -> u16 {
        self.request(method, path, Value::Null).status
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: Value) -> Value {
        let response = self.request("POST", path, body);
        assert_eq!(response.status, 200, "POST {path}: {:?}", response.body);
        response.body.expect("a body")
    }

    /// Puts a stack and polls until it rests.
    #[track_caller]
    pub fn apply_stack(&mut self, name: &str, body: Value) -> Value {
        let path = stack_path(name);
        let response = self.request("PUT", &path, body);
        assert!(matches!(response.status, 200 | 201), "{:#?}", response.body);
        self.finish(&response);
        self.get(&path)
    }

    pub fn delete_stack(&mut self, name: &str) {
        let path = format!(
            "{}?api-version=2025-07-01&unmanageAction.Resources=delete&unmanageAction.ResourceGroups=delete",
            stack_path(name)
        );
        let response = self.request("DELETE", &path, Value::Null);
        assert_eq!(response.status, 202, "{:?}", response.body);
        self.finish(&response);
        assert_eq!(self.status("GET", &stack_path(name)), 404);
    }

    fn finish(&mut self, response: &Response) {
        let link =
            response.get_header("Azure-AsyncOperation").expect("a long-running operation").replace("https://arm", "");
        for _ in 0..20 {
            self.run_effects();
            let status = self.get(&link);
            match status["status"].as_str() {
                Some("InProgress" | "deploying") => {}
                Some("Succeeded" | "succeeded") => return,
                _ => panic!("{status:#}"),
            }
        }
        panic!("the operation does not end");
    }

    pub fn what_if_stack(&mut self, name: &str, mut body: Value) -> Vec<Value> {
        body["properties"]["deploymentStackResourceId"] = stack_path(name).into();
        body["properties"]["retentionInterval"] = "P1D".into();
        let path =
            format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Resources/deploymentStacksWhatIfResults/{name}");
        let response = self.request("PUT", &path, body);
        assert!(matches!(response.status, 200 | 201), "{:?}", response.body);
        let result = self.post(&format!("{path}/whatIf"), json!({}));
        result["properties"]["changes"]["resourceChanges"].as_array().cloned().unwrap_or_else(|| panic!("{result:#}"))
    }

    pub fn stored_text(&self) -> String {
        self.records.values().map(|record| record.value.as_ref().map(Value::to_string).unwrap_or_default()).collect()
    }

    /// What clients can read of everything there is.
    pub fn everything_readable(&mut self) -> String {
        let scope = format!("/subscriptions/{SUBSCRIPTION}");
        let mut text = String::new();
        for list in
            ["resources", "providers/Microsoft.Resources/deployments", "providers/Microsoft.Resources/deploymentStacks"]
        {
            let page = self.get(&format!("{scope}/{list}"));
            for item in page["value"].as_array().cloned().unwrap_or_default() {
                text += &item.to_string();
                text += &self.get(item["id"].as_str().expect("an id")).to_string();
            }
        }
        text
    }

    /// Every resource without what differs between runs.
    pub fn resource_states(&mut self) -> BTreeMap<String, Value> {
        let page = self.get(&format!("/subscriptions/{SUBSCRIPTION}/resources"));
        let ids: Vec<String> = page["value"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item["id"].as_str().map(str::to_owned))
            .collect();
        ids.into_iter()
            .map(|id| {
                let mut body = self.get(&id);
                scrub(&mut body);
                (id, body)
            })
            .collect()
    }
}

fn scrub(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| {
                !["etag", "eTag", "resourceGuid", "resourceUID", "principalId"].contains(&key.as_str())
            });
            members.values_mut().for_each(scrub);
        }
        Value::Array(items) => items.iter_mut().for_each(scrub),
        _ => {}
    }
}

fn stack_path(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Resources/deploymentStacks/{name}")
}

pub fn stack_body(template: Value) -> Value {
    let mut parameters = json!({});
    if template["parameters"].get("password").is_some() {
        parameters["password"] = json!({ "value": "Pa55word!x" });
    }
    json!({ "location": "eastus", "properties": {
        "template": template, "parameters": parameters,
        "actionOnUnmanage": { "resources": "delete", "resourceGroups": "delete" }, "denySettings": { "mode": "none" },
    } })
}

const SUBSCRIPTION_SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#";
pub const GROUP_SCHEMA: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";

fn nested(group: &str, depends_on: Value, parameters: Value, template: Value) -> Value {
    json!({
        "type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": format!("into-{group}"), "resourceGroup": group, "dependsOn": depends_on,
        "properties": { "mode": "Incremental", "expressionEvaluationOptions": { "scope": "Inner" }, "parameters": parameters, "template": template },
    })
}

fn group(name: &str) -> Value {
    json!({ "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01", "name": name, "location": "eastus" })
}

pub fn base_template(backend_max: u32) -> Value {
    let subnet = |name: &str, prefix: &str| json!({ "name": name, "properties": { "addressPrefix": prefix, "networkSecurityGroup": { "id": "[resourceId('Microsoft.Network/networkSecurityGroups', 'nodes')]" } } });
    let pool_subnet =
        |name: &str| format!("[resourceId('Microsoft.Network/virtualNetworks/subnets', 'base', '{name}')]");
    json!({
        "$schema": SUBSCRIPTION_SCHEMA, "contentVersion": "1.0.0.0", "languageVersion": "2.0",
        "resources": {
            "group": group("marea-base"),
            "inner": nested("marea-base", json!(["group"]), json!({}), json!({
                "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "languageVersion": "2.0",
                "resources": {
                    "nsg": { "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2025-09-01", "name": "nodes", "location": "eastus", "properties": { "securityRules": [
                        { "name": "http", "properties": { "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80" } },
                    ] } },
                    "network": { "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2025-09-01", "name": "base", "location": "eastus", "dependsOn": ["nsg"], "properties": {
                        "addressSpace": { "addressPrefixes": ["10.224.0.0/16"] }, "subnets": [subnet("system", "10.224.0.0/24"), subnet("backend", "10.224.2.0/24")],
                    } },
                    "cluster": { "type": "Microsoft.ContainerService/managedClusters", "apiVersion": "2026-05-01", "name": "marea", "location": "eastus", "dependsOn": ["network"],
                        "sku": { "name": "Base", "tier": "Free" }, "identity": { "type": "SystemAssigned" },
                        "properties": {
                            "dnsPrefix": "marea", "kubernetesVersion": "1.36", "oidcIssuerProfile": { "enabled": true },
                            "networkProfile": { "networkPlugin": "azure", "networkPluginMode": "overlay", "networkDataplane": "cilium", "networkPolicy": "cilium", "serviceCidr": "10.100.0.0/16", "dnsServiceIP": "10.100.0.10" },
                            "agentPoolProfiles": [
                                { "name": "systempool", "mode": "System", "count": 1, "vmSize": "Standard_B2s", "vnetSubnetID": pool_subnet("system") },
                                { "name": "backend", "mode": "User", "vmSize": "Standard_B2s", "enableAutoScaling": true, "minCount": 1, "maxCount": backend_max, "vnetSubnetID": pool_subnet("backend"),
                                  "nodeLabels": { "marea.dev/pool": "backend" }, "nodeTaints": ["marea.dev/pool=backend:NoSchedule"] },
                            ],
                        },
                    },
                },
                "outputs": { "fqdn": { "type": "string", "value": "[reference('cluster').fqdn]" }, "name": { "type": "string", "value": "marea" } },
            })),
        },
        "outputs": {
            "clusterName": { "type": "string", "value": "[reference('inner').outputs.name.value]" },
            "fqdn": { "type": "string", "value": "[reference('inner').outputs.fqdn.value]" },
        },
    })
}

pub fn db_template() -> Value {
    let network = |group: &str, name: &str| {
        format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{name}"
        )
    };
    let mut far = nested(
        "marea-base",
        json!(["inner"]),
        json!({}),
        json!({
            "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "languageVersion": "2.0",
            "resources": { "peering": { "type": "Microsoft.Network/virtualNetworks/virtualNetworkPeerings", "apiVersion": "2025-09-01", "name": "base/to-db",
                "properties": { "remoteVirtualNetwork": { "id": network("marea-db", "db") } } } },
        }),
    );
    far["name"] = "far-side".into();
    json!({
        "$schema": SUBSCRIPTION_SCHEMA, "contentVersion": "1.0.0.0", "languageVersion": "2.0",
        "parameters": { "password": { "type": "securestring" } },
        "resources": {
            "group": group("marea-db"),
            "inner": nested("marea-db", json!(["group"]), json!({ "password": { "value": "[parameters('password')]" } }), json!({
                "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "languageVersion": "2.0",
                "parameters": { "password": { "type": "securestring" } },
                "resources": {
                    "network": { "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2025-09-01", "name": "db", "location": "eastus", "properties": {
                        "addressSpace": { "addressPrefixes": ["10.225.0.0/16"] },
                        "subnets": [{ "name": "postgres", "properties": { "addressPrefix": "10.225.0.0/28", "delegations": [{ "name": "pg", "properties": { "serviceName": "Microsoft.DBforPostgreSQL/flexibleServers" } }] } }],
                    } },
                    "peering": { "type": "Microsoft.Network/virtualNetworks/virtualNetworkPeerings", "apiVersion": "2025-09-01", "name": "db/to-base", "dependsOn": ["network"],
                        "properties": { "remoteVirtualNetwork": { "id": network("marea-base", "base") } } },
                    "zone": { "type": "Microsoft.Network/privateDnsZones", "apiVersion": "2024-06-01", "name": "marea.private.postgres.database.azure.com", "location": "global" },
                    "link": { "type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks", "apiVersion": "2024-06-01", "name": "marea.private.postgres.database.azure.com/db", "location": "global", "dependsOn": ["zone", "network"],
                        "properties": { "registrationEnabled": false, "virtualNetwork": { "id": "[resourceId('Microsoft.Network/virtualNetworks', 'db')]" } } },
                    "clusterLink": { "type": "Microsoft.Network/privateDnsZones/virtualNetworkLinks", "apiVersion": "2024-06-01", "name": "marea.private.postgres.database.azure.com/cluster", "location": "global", "dependsOn": ["zone"],
                        "properties": { "registrationEnabled": false, "virtualNetwork": { "id": network("marea-base", "base") } } },
                    "server": { "type": "Microsoft.DBforPostgreSQL/flexibleServers", "apiVersion": "2025-08-01", "name": "marea-db-x", "location": "eastus", "dependsOn": ["link", "network"],
                        "sku": { "name": "Standard_B1ms", "tier": "Burstable" },
                        "properties": { "version": "15", "administratorLogin": "marea", "administratorLoginPassword": "[parameters('password')]", "storage": { "storageSizeGB": 32 },
                            "network": { "delegatedSubnetResourceId": "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'db', 'postgres')]", "privateDnsZoneArmResourceId": "[resourceId('Microsoft.Network/privateDnsZones', 'marea.private.postgres.database.azure.com')]" } } },
                    "database": { "type": "Microsoft.DBforPostgreSQL/flexibleServers/databases", "apiVersion": "2025-08-01", "name": "marea-db-x/marea", "dependsOn": ["server"], "properties": { "charset": "UTF8", "collation": "en_US.utf8" } },
                    "parameter": { "type": "Microsoft.DBforPostgreSQL/flexibleServers/configurations", "apiVersion": "2025-08-01", "name": "marea-db-x/log_min_duration_statement", "dependsOn": ["server"], "properties": { "value": "500", "source": "user-override" } },
                },
                "outputs": { "host": { "type": "string", "value": "[reference('server').fullyQualifiedDomainName]" } },
            })),
            "far": far,
        },
        "outputs": { "host": { "type": "string", "value": "[reference('inner').outputs.host.value]" } },
    })
}
