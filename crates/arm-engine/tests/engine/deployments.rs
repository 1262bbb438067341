//! Deployments to a resource group: the template language at work, failures, what-if.

use serde_json::{Value, json};

use crate::support::{Cloud, GROUP_SCHEMA, SUBSCRIPTION};

fn group_cloud() -> Cloud {
    let mut cloud = Cloud::new();
    cloud.request("PUT", &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g"), json!({ "location": "eastus" }));
    cloud
}

fn path(tail: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Resources/deployments/d{tail}")
}

fn classic(resources: Value) -> Value {
    json!({ "$schema": GROUP_SCHEMA, "contentVersion": "1.0.0.0", "resources": resources })
}

fn deployment(template: Value, parameters: Value) -> Value {
    json!({ "properties": { "mode": "Incremental", "template": template, "parameters": parameters } })
}

fn network(name: &str, third: &str) -> Value {
    json!({ "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2025-09-01", "name": name, "location": "[resourceGroup().location]",
        "properties": { "addressSpace": { "addressPrefixes": [third] } } })
}

/// Deploys and returns the deployment's properties.
#[track_caller]
fn deployed(cloud: &mut Cloud, template: Value, parameters: Value) -> Value {
    let response = cloud.request("PUT", &path(""), deployment(template, parameters));
    assert!(matches!(response.status, 200 | 201), "{:#?}", response.body);
    cloud.run_effects();
    cloud.get(&path(""))["properties"].clone()
}

#[track_caller]
fn check_refused(template: Value, code: &str, part: &str) {
    let mut cloud = group_cloud();
    let before = cloud.stored_text();
    let response = cloud.request("PUT", &path(""), deployment(template, json!({})));
    let error = response.body.expect("a body")["error"].clone();
    assert_eq!((response.status, error["code"].as_str()), (400, Some(code)), "{error:#}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains(part)), "{error:#}");
    assert_eq!(cloud.status("GET", &path("")), 404, "{before}");
}

#[test]
fn copies_conditions_and_outputs() {
    let mut cloud = group_cloud();
    let mut looped = network("[format('n{0}', copyIndex())]", "[format('10.{0}.0.0/16', copyIndex(1))]");
    looped["copy"] = json!({ "name": "networks", "count": "[parameters('count')]" });
    let mut never = network("never", "10.9.0.0/16");
    never["condition"] = "[equals(parameters('count'), 0)]".into();
    let mut template = classic(json!([looped, never]));
    template["parameters"] = json!({ "count": { "type": "int", "minValue": 1 }, "secret": { "type": "securestring" } });
    template["outputs"] = json!({
        "first": { "type": "string", "value": "[reference(resourceId('Microsoft.Network/virtualNetworks', 'n0')).addressSpace.addressPrefixes[0]]" },
        "hidden": { "type": "securestring", "value": "[parameters('secret')]" },
        "names": { "type": "array", "copy": { "count": 2, "input": "[format('n{0}', copyIndex())]" } },
    });
    let properties =
        deployed(&mut cloud, template, json!({ "count": { "value": 2 }, "secret": { "value": "s3cret" } }));
    assert_eq!(properties["provisioningState"], "Succeeded", "{properties:#}");
    assert_eq!(properties["outputs"]["first"]["value"], "10.1.0.0/16");
    assert_eq!(properties["outputs"]["names"]["value"], json!(["n0", "n1"]));
    assert_eq!(properties["outputs"]["hidden"], json!({ "type": "SecureString" }));
    assert!(!cloud.stored_text().contains("s3cret"), "a secure parameter does not outlive its deployment");
    assert_eq!(properties["outputResources"].as_array().map(Vec::len), Some(2));
    let operations = cloud.get(&path("/operations"));
    assert_eq!(operations["value"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_failure_leaves_what_depends_on_it_and_names_the_cause() {
    let mut cloud = group_cloud();
    let mut after = network("after", "10.2.0.0/16");
    after["dependsOn"] = json!(["bad"]);
    let properties = deployed(
        &mut cloud,
        classic(json!([network("bad", "nonsense"), after, network("other", "10.3.0.0/16")])),
        json!({}),
    );
    assert_eq!(properties["provisioningState"], "Failed");
    assert_eq!(properties["error"]["code"], "DeploymentFailed");
    assert_eq!(properties["error"]["details"][0]["code"], "InvalidCIDRNotation");
    let exists = |cloud: &mut Cloud, name: &str| {
        cloud.status(
            "HEAD",
            &format!(
                "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/{name}"
            ),
        )
    };
    assert_eq!((exists(&mut cloud, "after"), exists(&mut cloud, "other")), (404, 204));
}

#[test]
fn templates_that_cannot_be_are_refused_and_change_nothing() {
    let with = |key: &str, value: Value| {
        let mut resource = network("n", "10.0.0.0/16");
        resource[key] = value;
        classic(json!([resource]))
    };
    check_refused(json!({ "resources": [] }), "InvalidTemplate", "$schema");
    check_refused(with("name", "a/b".into()), "InvalidTemplate", "segment lengths");
    check_refused(with("name", "[nonsense()]".into()), "InvalidTemplate", "nonsense");
    check_refused(with("dependsOn", json!(["nowhere"])), "InvalidTemplate", "not defined in the template");
    check_refused(
        classic(json!([network("n", "10.0.0.0/16"), network("N", "10.0.0.0/16")])),
        "InvalidTemplate",
        "multiple times",
    );
    let (mut one, mut two) = (network("a", "10.1.0.0/16"), network("b", "10.2.0.0/16"));
    one["dependsOn"] = json!(["b"]);
    two["tags"] = json!({ "of": "[reference('a').resourceGuid]" });
    check_refused(classic(json!([one, two])), "InvalidTemplate", "Circular dependency");
    let mut missing = classic(json!([]));
    missing["parameters"] = json!({ "p": { "type": "string" } });
    check_refused(missing, "InvalidTemplate", "is not provided");
}

#[test]
fn what_if_names_each_property_and_ignores_the_rest() {
    let mut cloud = group_cloud();
    deployed(&mut cloud, classic(json!([network("a", "10.1.0.0/16"), network("b", "10.2.0.0/16")])), json!({}));
    let mut changed = network("A", "10.1.0.0/16");
    changed["tags"] = json!({ "team": "tide" });
    let body = deployment(classic(json!([changed, network("c", "10.3.0.0/16")])), json!({}));
    let started = cloud.request("POST", &path("/whatIf"), body);
    assert_eq!(started.status, 202);
    let location = started.get_header("Location").expect("a location").replace("https://arm", "");
    let result = cloud.get(&location);
    let shown: Vec<(String, Value)> = result["properties"]["changes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|change| {
            (
                format!(
                    "{} {}",
                    change["changeType"].as_str().unwrap_or_default(),
                    change["resourceId"].as_str().and_then(|id| id.rsplit('/').next()).unwrap_or_default()
                ),
                change["delta"].clone(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                "Modify A".to_owned(),
                json!([{ "path": "tags", "propertyChangeType": "Create", "after": { "team": "tide" } }])
            ),
            ("Create c".to_owned(), Value::Null),
            ("Ignore b".to_owned(), Value::Null),
        ]
    );
}
