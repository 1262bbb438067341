//! Single resources: validation, conflicts, what is in use, lists.

use serde_json::{Value, json};

use crate::support::{Cloud, SUBSCRIPTION, base_template, stack_body};

fn in_group(tail: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/marea-base/providers/{tail}")
}

fn platform() -> Cloud {
    let mut cloud = Cloud::new();
    cloud.apply_stack("base", stack_body(base_template(3)));
    cloud
}

/// One request against a running platform, and the status and error code it gets.
#[track_caller]
fn check(method: &str, tail: &str, body: Value, status: u16, code: &str) {
    let response = platform().request(method, &in_group(tail), body);
    let error = response.body.unwrap_or_default();
    assert_eq!(
        (response.status, error["error"]["code"].as_str().unwrap_or_default()),
        (status, code),
        "{method} {tail}: {error:#}"
    );
}

const POOLS: &str = "Microsoft.ContainerService/managedClusters/marea/agentPools";

#[test]
fn networks() {
    let subnet = |prefix: &str| json!({ "properties": { "addressPrefix": prefix } });
    let network = "Microsoft.Network/virtualNetworks/base";
    check("DELETE", &format!("{network}/subnets/system"), Value::Null, 400, "InUseSubnetCannotBeDeleted");
    check("DELETE", network, Value::Null, 400, "InUseSubnetCannotBeDeleted");
    check(
        "DELETE",
        "Microsoft.Network/networkSecurityGroups/nodes",
        Value::Null,
        400,
        "InUseNetworkSecurityGroupCannotBeDeleted",
    );
    check("PUT", &format!("{network}/subnets/x"), subnet("10.224.0.128/25"), 400, "NetcfgSubnetRangesOverlap");
    check("PUT", &format!("{network}/subnets/x"), subnet("10.9.0.0/24"), 400, "NetcfgInvalidSubnet");
    check("PUT", &format!("{network}/subnets/x"), subnet("10.224.9.0/24"), 201, "");
    check(
        "PUT",
        "Microsoft.Network/virtualNetworks/none/subnets/x",
        subnet("10.224.9.0/24"),
        404,
        "ParentResourceNotFound",
    );
    check(
        "PUT",
        "Microsoft.Network/virtualNetworks/v",
        json!({ "location": "mars", "properties": {} }),
        400,
        "LocationNotAvailableForResourceType",
    );
}

#[test]
fn pools() {
    let pool = |properties: Value| json!({ "properties": properties });
    check("PUT", &format!("{POOLS}/Bad-Name"), pool(json!({})), 400, "InvalidParameter");
    check("PUT", &format!("{POOLS}/p"), pool(json!({ "vmSize": "Standard_Z99" })), 400, "VMSizeNotSupported");
    check(
        "PUT",
        &format!("{POOLS}/p"),
        pool(json!({ "vmSize": "Standard_B2s", "enableAutoScaling": true })),
        400,
        "InvalidParameter",
    );
    check(
        "PUT",
        &format!("{POOLS}/p"),
        pool(json!({ "vmSize": "Standard_B2s", "count": 60 })),
        400,
        "ErrCode_InsufficientVCPUQuota",
    );
    check(
        "PUT",
        &format!("{POOLS}/systempool"),
        pool(json!({ "vmSize": "Standard_D2s_v5" })),
        400,
        "PropertyChangeNotAllowed",
    );
    check("DELETE", &format!("{POOLS}/systempool"), Value::Null, 400, "OperationNotAllowed");
    check("DELETE", &format!("{POOLS}/backend"), Value::Null, 202, "");
    check("PUT", &format!("{POOLS}/p"), pool(json!({ "vmSize": "Standard_B2s", "count": 2 })), 201, "");
}

/// Differs (Azure Resource Manager): A type or action that Azure has and the embedded cloud does not is answered with 501
/// `NotImplemented`, never with a made-up success.
#[test]
fn unknown_things() {
    check("GET", "Microsoft.Network/virtualNetworks/none", Value::Null, 404, "ResourceNotFound");
    check("PUT", "Microsoft.Network/loadBalancers/x", json!({}), 501, "NotImplemented");
    check("PUT", "Microsoft.Network/noSuchThings/x", json!({}), 404, "InvalidResourceType");
    check("PUT", "Contoso.Nothing/things/x", json!({}), 404, "InvalidResourceNamespace");
    check("POST", "Microsoft.ContainerService/managedClusters/marea/runCommand", json!({}), 501, "NotImplemented");
    check(
        "GET",
        "Microsoft.Network/virtualNetworks/base?api-version=1999-01-01",
        Value::Null,
        400,
        "NoRegisteredProviderFound",
    );
    check(
        "GET",
        "Microsoft.Network/virtualNetworks/base?api-version=soon",
        Value::Null,
        400,
        "InvalidApiVersionParameter",
    );
}

#[test]
fn a_lock_holds_against_deletion() {
    let mut cloud = platform();
    let lock = in_group("Microsoft.Authorization/locks/keep");
    assert_eq!(cloud.request("PUT", &lock, json!({ "properties": { "level": "CanNotDelete" } })).status, 201);
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/marea-base");
    assert_eq!(cloud.status("DELETE", &group), 409);
    assert_eq!(cloud.status("DELETE", &lock), 200);
    assert_eq!(cloud.status("DELETE", &group), 202);
    cloud.run_effects();
    assert_eq!(cloud.status("GET", &group), 404);
}

#[test]
fn lists_come_in_pages() {
    let mut cloud = platform();
    let mut target = format!("{}?$top=1", in_group("Microsoft.Network/virtualNetworks/base/subnets"));
    let mut names = Vec::new();
    loop {
        let page = cloud.get(&target);
        names.extend(
            page["value"].as_array().into_iter().flatten().filter_map(|item| item["name"].as_str().map(str::to_owned)),
        );
        match page["nextLink"].as_str() {
            Some(next) => target = next.replace("https://arm", ""),
            None => break,
        }
    }
    assert_eq!(names, ["system", "backend"]);
}

#[test]
fn deny_settings_bind_everybody_but_the_stack() {
    let mut cloud = Cloud::new();
    let mut body = stack_body(base_template(3));
    body["properties"]["denySettings"]["mode"] = "denyDelete".into();
    cloud.apply_stack("base", body);
    let network = in_group("Microsoft.ContainerService/managedClusters/marea");
    let refused = cloud.request("DELETE", &network, Value::Null);
    assert_eq!(
        (refused.status, refused.body.unwrap_or_default()["error"]["code"].clone()),
        (403, json!("DenyAssignmentAuthorizationFailed"))
    );
    cloud.delete_stack("base");
}

/// Recorded traffic of azure-cli shows these forms of answers (see `conformance/azure/replay`).
#[test]
fn answers_to_writes_have_the_providers_own_forms() {
    let mut cloud = platform();
    let links = |response: &arm_engine::Response| {
        ["Azure-AsyncOperation", "Location", "ETag"].map(|name| response.get_header(name).is_some())
    };
    let network =
        json!({ "location": "eastus", "properties": { "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } } });
    let response = cloud.request("PUT", &in_group("Microsoft.Network/virtualNetworks/n"), network);
    assert_eq!((response.status, links(&response)), (201, [true, false, false]));
    let response = cloud.request("DELETE", &in_group("Microsoft.Network/virtualNetworks/n"), Value::Null);
    assert_eq!((response.status, links(&response)), (202, [true, true, false]));

    let zone = in_group("Microsoft.Network/privateDnsZones/a.example");
    let response = cloud.request("PUT", &zone, json!({ "location": "global" }));
    assert_eq!(
        (response.status, response.body.as_ref(), links(&response)),
        (202, Some(&json!({})), [true, true, false])
    );
    let status = response.get_header("Azure-AsyncOperation").unwrap_or_default().replace("https://arm", "");
    assert!(
        status.contains("/resourceGroups/marea-base/providers/Microsoft.Network/privateDnsOperationStatuses/"),
        "{status}"
    );
    assert_eq!(cloud.get(&status), json!({ "status": "Succeeded" }));
    let record = json!({ "properties": { "ttl": 60, "aRecords": [{ "ipv4Address": "10.0.0.1" }] } });
    let response = cloud.request("PUT", &format!("{zone}/A/www"), record);
    assert_eq!((response.status, links(&response)), (201, [false, false, true]));
    let missing = cloud.request("GET", &format!("{zone}/A/none"), Value::Null);
    assert_eq!((missing.status, &missing.body.unwrap_or_default()["code"]), (404, &json!("NotFound")));
}

/// A private zone's conditions are looked at by its operation.
#[test]
fn a_condition_of_a_private_zone_fails_later() {
    let mut cloud = platform();
    let zone = in_group("Microsoft.Network/privateDnsZones/a.example");
    cloud.request("PUT", &zone, json!({ "location": "global" }));
    let response = cloud.request_with("PUT", &zone, json!({ "location": "global" }), &[("If-None-Match", "*")]);
    assert_eq!(response.status, 202);
    let status = response.get_header("Azure-AsyncOperation").unwrap_or_default().replace("https://arm", "");
    let status = cloud.get(&status);
    assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("PreconditionFailed")));
}

#[test]
fn a_cluster_shows_no_secret_and_only_what_its_api_version_has() {
    let mut cloud = platform();
    let pool = json!({ "name": "one", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System", "nodeTaints": [] });
    let body = json!({ "location": "eastus", "properties": {
        "dnsPrefix": "x", "agentPoolProfiles": [pool],
        "servicePrincipalProfile": { "clientId": "c", "secret": "opensesame" },
        "aadProfile": { "serverAppId": "s", "serverAppSecret": "opensesame" },
        "windowsProfile": { "adminUsername": "w", "adminPassword": "opensesame" },
    } });
    let path = in_group("Microsoft.ContainerService/managedClusters/x");
    let response = cloud.request("PUT", &path, body);
    assert_eq!(response.status, 201, "{:?}", response.body);
    cloud.run_effects();
    let shown = cloud.get(&path);
    assert!(!shown.to_string().contains("opensesame"), "{shown:#}");
    assert!(!response.body.unwrap_or_default().to_string().contains("opensesame"));
    assert_eq!(shown["properties"]["servicePrincipalProfile"]["clientId"], "c");
    assert!(shown["properties"]["agentPoolProfiles"][0].get("nodeTaints").is_none());
    assert!(shown.get("eTag").is_some());
    let old = cloud.get(&format!("{path}?api-version=2023-05-01"));
    assert!(old.get("eTag").is_none() && old["properties"].get("resourceUID").is_none(), "{old:#}");
}
