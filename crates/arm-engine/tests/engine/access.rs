//! Who may do what: every resource type and every route, by enumeration, for several roles.

use serde_json::{Value, json};

use crate::support::{Cloud, SUBSCRIPTION, base_template, db_template, stack_body};

const SOMEBODY: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const NETWORK: &str = "4d97b98b-1d4f-4787-a291-c67834d212e7";

fn scope() -> String {
    format!("/subscriptions/{SUBSCRIPTION}")
}

fn group() -> String {
    format!("{}/resourceGroups/marea-base", scope())
}

fn platform() -> Cloud {
    let mut cloud = Cloud::new();
    cloud.apply_stack("base", stack_body(base_template(3)));
    cloud.apply_stack("db", stack_body(db_template()));
    cloud
}

fn assign(cloud: &mut Cloud, role: &str, at: &str) {
    assign_as(cloud, role, at, 1);
}

fn assign_as(cloud: &mut Cloud, role: &str, at: &str, number: u32) {
    let path = format!(
        "{at}/providers/Microsoft.Authorization/roleAssignments/bbbbbbbb-0000-4000-8000-{number:012}?api-version=2022-04-01"
    );
    let definition = format!("{}/providers/Microsoft.Authorization/roleDefinitions/{role}", scope());
    let body = json!({ "properties": { "roleDefinitionId": definition, "principalId": SOMEBODY, "principalType": "ServicePrincipal" } });
    let response = cloud.request("PUT", &path, body);
    assert_eq!(response.status, 201, "{:?}", response.body);
}

/// Method, path, whether it only reads. Every type that the providers list is here by itself, so a new type is covered.
fn routes(cloud: &mut Cloud) -> Vec<(&'static str, String, bool)> {
    let mut routes = vec![
        ("GET", group(), true),
        ("HEAD", group(), true),
        ("PUT", group(), false),
        ("PATCH", group(), false),
        ("DELETE", format!("{}/resourceGroups/marea-db", scope()), false),
        ("POST", format!("{}/exportTemplate", group()), false),
        ("GET", format!("{}/resources", group()), true),
        ("GET", format!("{}/resources", scope()), true),
        ("GET", format!("{}/resourcegroups", scope()), true),
        ("GET", format!("{}/tagNames", scope()), true),
        ("PUT", format!("{}/tagNames/x", scope()), false),
        ("GET", format!("{}/providers/Microsoft.Resources/tags/default", group()), true),
        ("PUT", format!("{}/providers/Microsoft.Resources/tags/default", group()), false),
        ("PATCH", format!("{}/providers/Microsoft.Resources/tags/default", group()), false),
        ("DELETE", format!("{}/providers/Microsoft.Resources/tags/default", group()), false),
        ("POST", format!("{}/providers/Microsoft.Network/register", scope()), false),
        ("POST", format!("{}/providers/Microsoft.Network/unregister", scope()), false),
        ("GET", format!("{}/providers/Microsoft.Insights/eventtypes/management/values", scope()), true),
        ("GET", format!("{}/providers/Microsoft.Authorization/permissions", group()), true),
        ("GET", format!("{}/providers/Microsoft.Authorization/denyAssignments", group()), true),
    ];
    for at in [scope(), group()] {
        for kind in ["deployments", "deploymentStacks", "deploymentStacksWhatIfResults"] {
            let base = format!("{at}/providers/Microsoft.Resources/{kind}");
            routes.push(("GET", base.clone(), true));
            routes.push(("GET", format!("{base}/x"), true));
            routes.push(("PUT", format!("{base}/x"), false));
            routes.push(("DELETE", format!("{base}/x"), false));
        }
        for action in ["validate", "whatIf", "cancel", "exportTemplate"] {
            routes.push(("POST", format!("{at}/providers/Microsoft.Resources/deployments/x/{action}"), false));
        }
        routes.push(("GET", format!("{at}/providers/Microsoft.Resources/deployments/x/operations"), true));
        for action in ["validate", "exportTemplate"] {
            routes.push(("POST", format!("{at}/providers/Microsoft.Resources/deploymentStacks/x/{action}"), false));
        }
        routes.push((
            "POST",
            format!("{at}/providers/Microsoft.Resources/deploymentStacksWhatIfResults/x/whatIf"),
            false,
        ));
    }
    let providers = cloud.get(&format!("{}/providers", scope()));
    for provider in providers["value"].as_array().expect("providers") {
        for kind in provider["resourceTypes"].as_array().expect("types") {
            let namespace = provider["namespace"].as_str().expect("a namespace");
            let types: Vec<&str> = kind["resourceType"].as_str().expect("a type").split('/').collect();
            let mut item = format!("{}/providers/{namespace}", group());
            for part in &types[..types.len() - 1] {
                item.push_str(&format!("/{part}/x"));
            }
            let list = format!("{item}/{}", types[types.len() - 1]);
            let item = format!("{list}/bbbbbbbb-0000-4000-8000-00000000000f");
            routes.push(("GET", list, true));
            for (method, reads) in [("GET", true), ("HEAD", true), ("PUT", false), ("PATCH", false), ("DELETE", false)]
            {
                routes.push((method, item.clone(), reads));
            }
        }
    }
    let cluster = format!("{}/providers/Microsoft.ContainerService/managedClusters/marea", group());
    let server =
        format!("{}/resourceGroups/marea-db/providers/Microsoft.DBforPostgreSQL/flexibleServers/marea-db-x", scope());
    for action in [
        "start",
        "stop",
        "abort",
        "listClusterAdminCredential",
        "listClusterUserCredential",
        "listClusterMonitoringUserCredential",
        "accessProfiles/clusterUser/listCredential",
    ] {
        routes.push(("POST", format!("{cluster}/{action}"), false));
    }
    for action in ["abort", "upgradeNodeImageVersion"] {
        routes.push(("POST", format!("{cluster}/agentPools/backend/{action}"), false));
    }
    for action in ["start", "stop", "restart"] {
        routes.push(("POST", format!("{server}/{action}"), false));
    }
    routes.push(("GET", format!("{cluster}/upgradeProfiles/default"), true));
    routes.push(("GET", format!("{cluster}/availableAgentPoolVersions"), true));
    routes.push((
        "GET",
        format!("{}/providers/Microsoft.Network/networkSecurityGroups/nodes/defaultSecurityRules", group()),
        true,
    ));
    routes
}

fn version(path: &str) -> String {
    let version = if path.contains("Insights") { "2015-04-01" } else { "2025-04-01" };
    format!("{path}?api-version={version}&$filter=eventTimestamp ge '2026-01-01T00:00:00Z' and principalId eq 'x'")
}

fn refused(cloud: &mut Cloud, method: &str, path: &str) -> Option<String> {
    let mut path = version(path);
    if path.contains("Authorization/role") {
        path = path.replace("eventTimestamp ge '2026-01-01T00:00:00Z' and ", "");
    }
    let response = cloud.request_as(SOMEBODY, method, &path, json!({}));
    let code = response.body.as_ref().and_then(|body| body["error"]["code"].as_str()).unwrap_or_default().to_owned();
    if response.status != 403 {
        return None;
    }
    Some(code)
}

#[test]
fn without_a_role_everything_is_refused() {
    let mut cloud = platform();
    let routes = routes(&mut cloud);
    assert!(routes.len() > 200, "{} routes", routes.len());
    for (method, path, _) in routes {
        assert_eq!(refused(&mut cloud, method, &path).as_deref(), Some("AuthorizationFailed"), "{method} {path}");
    }
    let list = cloud.request_as(SOMEBODY, "GET", "/subscriptions", Value::Null);
    assert_eq!(list.body, Some(json!({ "value": [] })), "a subscription without a role is not shown");
    assert_eq!(cloud.request_as(SOMEBODY, "GET", &scope(), Value::Null).status, 404);
}

#[test]
fn a_reader_reads_and_does_not_write() {
    let mut cloud = platform();
    assign(&mut cloud, READER, &scope());
    for (method, path, reads) in routes(&mut cloud) {
        let expected = if reads { None } else { Some("AuthorizationFailed") };
        assert_eq!(refused(&mut cloud, method, &path).as_deref(), expected, "{method} {path}");
    }
}

#[test]
fn a_contributor_writes_everything_but_access() {
    let mut cloud = platform();
    assign(&mut cloud, CONTRIBUTOR, &scope());
    // Some of these change things, so each is only asked whether it is allowed.
    for (method, path, reads) in routes(&mut cloud) {
        let access = path.contains("Microsoft.Authorization/") && !reads;
        let expected = access.then_some("AuthorizationFailed");
        let mut copy = cloud.copy();
        assert_eq!(refused(&mut copy, method, &path).as_deref(), expected, "{method} {path}");
    }
}

#[test]
fn an_owner_may_do_everything() {
    let mut cloud = platform();
    assign(&mut cloud, OWNER, &scope());
    for (method, path, _) in routes(&mut cloud) {
        let mut copy = cloud.copy();
        assert_eq!(refused(&mut copy, method, &path), None, "{method} {path}");
    }
}

#[test]
fn a_role_reaches_as_far_as_its_scope() {
    let mut cloud = platform();
    assign(&mut cloud, CONTRIBUTOR, &group());
    let mut status = |method: &str, path: &str, body: Value| cloud.request_as(SOMEBODY, method, path, body).status;
    let network = |group: &str| {
        format!(
            "{}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/mine?api-version=2025-09-01",
            scope()
        )
    };
    let body =
        json!({ "location": "eastus", "properties": { "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } } });
    assert_eq!(status("PUT", &network("marea-base"), body.clone()), 201);
    assert_eq!(status("PUT", &network("marea-db"), body), 403);
    assert_eq!(status("GET", &scope(), Value::Null), 200);
    // A list over more than the scope shows the part that may be read.
    let list = format!("{}/providers/Microsoft.Network/virtualNetworks?api-version=2025-09-01", scope());
    let shown = cloud.request_as(SOMEBODY, "GET", &list, Value::Null).body.expect("a body");
    let names: Vec<&str> =
        shown["value"].as_array().expect("a list").iter().filter_map(|item| item["name"].as_str()).collect();
    assert_eq!(names, ["base", "mine"]);
}

#[test]
fn a_deployment_may_do_what_its_caller_may() {
    let mut cloud = platform();
    assign(&mut cloud, NETWORK, &group());
    let resource = |kind: &str, version: &str, properties: Value| json!({ "type": kind, "apiVersion": version, "name": "made", "location": "eastus", "properties": properties });
    let template = |resource: Value| json!({ "properties": { "mode": "Incremental", "template": { "$schema": crate::support::GROUP_SCHEMA, "contentVersion": "1.0.0.0", "resources": [resource] } } });
    let path = |name: &str| format!("{}/providers/Microsoft.Resources/deployments/{name}", group());
    let network = resource(
        "Microsoft.Network/virtualNetworks",
        "2025-09-01",
        json!({ "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } }),
    );
    cloud.request_as(SOMEBODY, "PUT", &path("one"), template(network));
    assert_eq!(cloud.get(&path("one"))["properties"]["provisioningState"], "Succeeded");
    let identity = resource("Microsoft.ManagedIdentity/userAssignedIdentities", "2024-11-30", json!({}));
    cloud.request_as(SOMEBODY, "PUT", &path("two"), template(identity));
    let failed = cloud.get(&path("two"));
    assert_eq!(failed["properties"]["provisioningState"], "Failed");
    assert_eq!(failed["properties"]["error"]["details"][0]["code"], "AuthorizationFailed", "{failed:#}");
}

#[test]
fn what_a_resource_refers_to_must_be_his_to_join() {
    let mut cloud = platform();
    assign(&mut cloud, CONTRIBUTOR, &group());
    let db = format!("{}/resourceGroups/marea-db", scope());
    let foreign = format!("{db}/providers/Microsoft.Network/virtualNetworks/db");
    let network =
        json!({ "location": "eastus", "properties": { "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } } });
    let own = format!("{}/providers/Microsoft.Network/virtualNetworks/mine", group());
    let ask = |cloud: &mut Cloud, path: &str, body: &Value| {
        let response = cloud.request_as(SOMEBODY, "PUT", &format!("{path}?api-version=2025-05-01"), body.clone());
        (response.status, response.body.unwrap_or_default())
    };
    assert_eq!(ask(&mut cloud, &own, &network).0, 201);
    let pool = json!({ "name": "a", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System", "vnetSubnetID": format!("{foreign}/subnets/postgres") });
    let cluster = json!({ "location": "eastus", "identity": { "type": "SystemAssigned" }, "properties": { "dnsPrefix": "a", "agentPoolProfiles": [pool] } });
    let peering = json!({ "properties": { "remoteVirtualNetwork": { "id": foreign } } });
    let link = json!({ "location": "global", "properties": { "virtualNetwork": { "id": foreign } } });
    let zone = format!("{}/providers/Microsoft.Network/privateDnsZones/a.example", group());
    ask(&mut cloud, &zone, &json!({ "location": "global" }));
    for (path, body, action) in [
        (format!("{}/providers/Microsoft.ContainerService/managedClusters/a", group()), cluster, "subnets/join/action"),
        (format!("{own}/virtualNetworkPeerings/a"), peering.clone(), "virtualNetworks/peer/action"),
        (format!("{zone}/virtualNetworkLinks/a"), link, "virtualNetworks/join/action"),
    ] {
        let (status, answer) = ask(&mut cloud, &path, &body);
        assert_eq!((status, answer["error"]["code"].as_str()), (403, Some("LinkedAuthorizationFailed")), "{path}");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(action) && message.contains(&foreign), "{message}");
    }
    // The same reference is refused in a template, and admitted to who may peer.
    let resource = json!({ "type": "Microsoft.Network/virtualNetworks/virtualNetworkPeerings", "apiVersion": "2025-05-01", "name": "mine/b", "properties": peering["properties"] });
    let template = json!({ "properties": { "mode": "Incremental", "template": { "$schema": crate::support::GROUP_SCHEMA, "contentVersion": "1.0.0.0", "resources": [resource] } } });
    let deployment = format!("{}/providers/Microsoft.Resources/deployments/linked", group());
    ask(&mut cloud, &deployment, &template);
    let failed = cloud.get(&deployment);
    assert_eq!(failed["properties"]["error"]["details"][0]["code"], "LinkedAuthorizationFailed", "{failed:#}");
    assign_as(&mut cloud, NETWORK, &db, 2);
    let (status, answer) = ask(&mut cloud, &format!("{own}/virtualNetworkPeerings/a"), &peering);
    assert_eq!(status, 201, "{answer:#}");
}
