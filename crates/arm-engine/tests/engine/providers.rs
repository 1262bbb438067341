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
