//! The platform's own path: stacks at subscription scope that make their group, nested deployments and everything in it.

use crate::support::{Cloud, SUBSCRIPTION, base_template, cluster_id, db_template, stack_body};
use serde_json::{Value, json};

#[test]
fn a_stack_makes_its_group_and_cluster_and_gives_outputs() {
    let mut cloud = Cloud::new();
    let stack = cloud.apply_stack("base", stack_body(base_template(3)));
    assert_eq!(stack["properties"]["provisioningState"], "succeeded", "{stack:#}");
    assert_eq!(stack["properties"]["outputs"]["clusterName"]["value"], "marea");
    assert_eq!(stack["properties"]["outputs"]["fqdn"]["value"], "marea.local");
    let cluster = cloud.get(&cluster_id());
    assert_eq!(cluster["properties"]["provisioningState"], "Succeeded");
    let pools: Vec<&str> = cluster["properties"]["agentPoolProfiles"]
        .as_array()
        .expect("pools")
        .iter()
        .filter_map(|pool| pool["name"].as_str())
        .collect();
    assert_eq!(pools, ["systempool", "backend"]);
    let credentials = cloud.post(&format!("{}/listClusterAdminCredential", cluster_id()), json!({}));
    assert_eq!(credentials["kubeconfigs"][0]["value"], "YWRtaW4=");
    let deployments = cloud.get(&format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Resources/deployments"));
    assert_eq!(deployments["value"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_second_time_nothing_happens_outside() {
    let mut cloud = Cloud::new();
    cloud.apply_stack("base", stack_body(base_template(3)));
    let effects = cloud.effects_run;
    let stack = cloud.apply_stack("base", stack_body(base_template(3)));
    assert_eq!(stack["properties"]["provisioningState"], "succeeded");
    assert_eq!(cloud.effects_run, effects);
}

#[test]
fn the_autoscalers_count_survives_an_update_and_a_manual_one_is_refused() {
    let mut cloud = Cloud::new();
    cloud.apply_stack("base", stack_body(base_template(3)));
    let pool = format!("{}/agentPools/backend", cluster_id());
    assert_eq!(cloud.engine.set_pool_count(&pool, 99, cloud.now), Ok(3));
    cloud.run_effects();
    cloud.apply_stack("base", stack_body(base_template(5)));
    let body = cloud.get(&pool);
    assert_eq!((&body["properties"]["count"], &body["properties"]["maxCount"]), (&json!(3), &json!(5)));
    let refused = cloud.request("PUT", &pool, json!({ "properties": { "count": 1 } }));
    assert_eq!(
        (refused.status, refused.body.expect("body")["error"]["code"].clone()),
        (400, json!("OperationNotAllowed"))
    );
}

#[test]
fn the_database_stack_peers_both_ways_and_its_end_leaves_base() {
    let mut cloud = Cloud::new();
    cloud.apply_stack("base", stack_body(base_template(3)));
    let stack = cloud.apply_stack("db", stack_body(db_template()));
    assert_eq!(stack["properties"]["provisioningState"], "succeeded", "{stack:#}");
    let side = |group: &str, network: &str, name: &str| {
        format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/virtualNetworkPeerings/{name}"
        )
    };
    let (far, near) = (side("marea-base", "base", "to-db"), side("marea-db", "db", "to-base"));
    assert_eq!(cloud.get(&far)["properties"]["peeringState"], "Connected");
    assert_eq!(cloud.get(&near)["properties"]["peeringState"], "Connected");
    assert!(
        cloud.stored_text().contains("Pa55word!x"),
        "the password is stored, so that a restart can start the server again"
    );
    assert!(!cloud.everything_readable().contains("Pa55word!x"), "no answer holds the password");
    cloud.delete_stack("base");
    assert_eq!(cloud.get(&near)["properties"]["peeringState"], "Disconnected");
    let link = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/marea-db/providers/Microsoft.Network/privateDnsZones/marea.private.postgres.database.azure.com/virtualNetworkLinks/cluster"
    );
    assert_eq!(cloud.status("GET", &link), 404, "the link goes with the network that it leads to");
    cloud.apply_stack("base", stack_body(base_template(3)));
    cloud.apply_stack("db", stack_body(db_template()));
    assert_eq!(cloud.get(&near)["properties"]["peeringState"], "Connected");
    cloud.delete_stack("db");
    assert_eq!(cloud.status("GET", &far), 404);
    assert_eq!(cloud.status("HEAD", &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/marea-db")), 404);
    assert_eq!(cloud.get(&cluster_id())["properties"]["provisioningState"], "Succeeded");
}

#[test]
fn what_a_stack_no_longer_declares_is_deleted() {
    let mut cloud = Cloud::new();
    let mut template = base_template(3);
    template["resources"]["extra"] = json!({ "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2025-04-01", "name": "extra", "location": "eastus" });
    cloud.apply_stack("base", stack_body(template));
    assert_eq!(cloud.status("HEAD", &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/extra")), 204);
    let stack = cloud.apply_stack("base", stack_body(base_template(3)));
    assert_eq!(cloud.status("HEAD", &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/extra")), 404);
    assert_eq!(stack["properties"]["deletedResources"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_stacks_what_if_names_exactly_what_changes() {
    let mut cloud = Cloud::new();
    let create = cloud.what_if_stack("base", stack_body(base_template(3)));
    let kinds: Vec<&Value> = create.iter().map(|change| &change["changeType"]).collect();
    assert!(kinds.iter().all(|kind| *kind == "create") && kinds.len() == 4, "{create:#?}");
    assert_eq!(cloud.status("HEAD", &format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/marea-base")), 404);
    cloud.apply_stack("base", stack_body(base_template(3)));
    let same = cloud.what_if_stack("base", stack_body(base_template(3)));
    assert!(same.iter().all(|change| change["changeType"] == "noChange"), "{same:#?}");
    let modify = cloud.what_if_stack("base", stack_body(base_template(5)));
    let changed: Vec<&Value> = modify.iter().filter(|change| change["changeType"] != "noChange").collect();
    assert_eq!(changed.len(), 1, "{changed:#?}");
    assert_eq!(
        changed[0]["resourceConfigurationChanges"]["delta"],
        json!([{ "path": "properties.agentPoolProfiles", "propertyChangeType": "Array", "children": [
            { "path": "1", "propertyChangeType": "Modify", "children": [{ "path": "maxCount", "propertyChangeType": "Modify", "before": 3, "after": 5 }] },
        ] }])
    );
}

#[test]
fn a_restart_at_any_point_ends_in_the_same_state() {
    let mut straight = Cloud::new();
    straight.apply_stack("base", stack_body(base_template(3)));
    straight.apply_stack("db", stack_body(db_template()));
    let expected = straight.resource_states();
    for crash_after in 0..12 {
        let mut cloud = Cloud::new();
        cloud.crash_after_steps = Some(crash_after);
        cloud.apply_stack("base", stack_body(base_template(3)));
        cloud.apply_stack("db", stack_body(db_template()));
        assert_eq!(cloud.resource_states(), expected, "crash after {crash_after} steps");
    }
}
