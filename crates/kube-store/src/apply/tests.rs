use serde_json::{Value, json};

use super::*;

fn writer(manager: &str, at: i64) -> Writer<'_> {
    Writer { manager, api_version: "apps/v1", subresource: "", now: Timestamp::from_secs(at), ignored: &[] }
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}, "spec": spec})
}

fn apply_as(live: Option<&Value>, manager: &str, at: i64, spec: Value) -> Result<Value, String> {
    apply(live, &deployment(spec), false, &writer(manager, at), Schema::builtin()).map_err(|error| error.to_string())
}

fn update_as(live: &Value, manager: &str, at: i64, change: impl FnOnce(&mut Value)) -> Value {
    let mut new = live.clone();
    change(&mut new);
    track_update(Some(live), new, &writer(manager, at), Schema::builtin())
}

/// `manager operation time: paths`, one line an entry.
fn owners(object: &Value) -> Vec<String> {
    let entries = path::get(object, &["metadata", "managedFields"]).and_then(Value::as_array);
    let line = |entry: &Value| {
        let fields = FieldSet::decode(&entry["fieldsV1"]).unwrap().to_string().replace('\n', " ");
        let text = |name: &str| path::text(entry, &[name]).unwrap_or_default().to_owned();
        format!("{} {} {}: {fields}", text("manager"), text("operation"), text("time").get(14..19).unwrap_or("-"))
    };
    entries.into_iter().flatten().map(line).collect()
}

#[track_caller]
fn check(object: &Value, spec: Value, expected_owners: &[&str]) {
    assert_eq!(object["spec"], spec);
    assert_eq!(owners(object), expected_owners);
}

#[test]
fn apply_creates_merges_and_prunes() {
    let one = apply_as(None, "ci", 60, json!({"replicas": 2, "paused": true})).unwrap();
    check(&one, json!({"replicas": 2, "paused": true}), &["ci Apply 01:00: .spec.paused .spec.replicas"]);

    let two = apply_as(Some(&one), "ops", 120, json!({"minReadySeconds": 5})).unwrap();
    let three = apply_as(Some(&two), "ci", 180, json!({"replicas": 2})).unwrap();
    check(
        &three,
        json!({"replicas": 2, "minReadySeconds": 5}),
        &["ops Apply 02:00: .spec.minReadySeconds", "ci Apply 03:00: .spec.replicas"],
    );
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let spec = json!({"replicas": 2, "template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}});
    let one = apply_as(None, "ci", 60, spec.clone()).unwrap();
    assert_eq!(apply_as(Some(&one), "ci", 999, spec).unwrap(), one);
}

#[test]
fn conflicts_name_manager_and_fields() {
    let one = apply_as(None, "ci", 60, json!({"replicas": 2, "paused": true})).unwrap();
    let two = update_as(&one, "kubectl-edit", 120, |object| object["spec"]["replicas"] = json!(5));
    check(
        &two,
        json!({"replicas": 5, "paused": true}),
        &["ci Apply 01:00: .spec.paused", "kubectl-edit Update 02:00: .spec.replicas"],
    );
    assert_eq!(
        apply_as(Some(&two), "ci", 180, json!({"replicas": 2, "paused": true})),
        Err("Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1: .spec.replicas".to_owned())
    );
    assert_eq!(
        apply_as(Some(&two), "ops", 180, json!({"replicas": 2, "paused": false})),
        Err("Apply failed with 2 conflicts: conflicts with \"ci\":\n- .spec.paused\nconflicts with \"kubectl-edit\" using apps/v1:\n- .spec.replicas".to_owned())
    );
    let forced = apply(Some(&two), &deployment(json!({"replicas": 2})), true, &writer("ci", 180), Schema::builtin());
    check(&forced.unwrap(), json!({"replicas": 2}), &["ci Apply 03:00: .spec.replicas"]);
    // Agreeing is no conflict: both own the field.
    let shared = apply_as(Some(&two), "ops", 180, json!({"replicas": 5})).unwrap();
    assert_eq!(owners(&shared).len(), 3);
}

#[test]
fn lists_are_owned_by_element() {
    let containers = |list: Value| json!({"template": {"spec": {"containers": list}}});
    let ports = json!([{"containerPort": 80}]);
    let one = apply_as(None, "ci", 60, containers(json!([{"name": "a", "image": "x", "ports": ports}]))).unwrap();
    assert_eq!(
        owners(&one)[0],
        "ci Apply 01:00: .spec.template.spec.containers[name=\"a\"] .spec.template.spec.containers[name=\"a\"].image \
         .spec.template.spec.containers[name=\"a\"].name .spec.template.spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"] \
         .spec.template.spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"].containerPort"
    );
    let two = apply_as(Some(&one), "sidecar", 120, containers(json!([{"name": "b", "image": "y"}]))).unwrap();
    let three = apply_as(Some(&two), "ci", 180, containers(json!([{"name": "c"}]))).unwrap();
    assert_eq!(three["spec"], containers(json!([{"name": "b", "image": "y"}, {"name": "c"}])));
}

#[test]
fn updates_are_recorded_and_folded() {
    let new = deployment(json!({"replicas": 1}));
    let mut object = track_update(None, new, &writer("creator", 60), Schema::builtin());
    assert_eq!(owners(&object), ["creator Update 01:00: .spec.replicas"]);
    object["metadata"]["uid"] = json!("u");
    let unchanged = update_as(&object, "other", 120, |_| {});
    assert_eq!(unchanged, object);
    for index in 0..12 {
        object = update_as(&object, &format!("m{index:02}"), 120 + index, |object| {
            object["metadata"]["labels"][format!("l{index}")] = json!("x");
        });
    }
    let owners = owners(&object);
    assert_eq!(owners.len(), 10);
    assert!(owners.iter().any(|line| line.starts_with("ancient-changes Update")), "{owners:?}");

    let forgotten = update_as(&object, "x", 999, |object| object["metadata"]["managedFields"] = json!([{}]));
    assert_eq!(path::get(&forgotten, &["metadata", "managedFields"]), None);
    let untracked = update_as(&forgotten, "x", 999, |object| object["spec"]["replicas"] = json!(9));
    assert_eq!(path::get(&untracked, &["metadata", "managedFields"]), None);
    let adopted = apply_as(Some(&untracked), "ci", 1000, json!({"replicas": 9})).unwrap();
    assert!(owners_of(&adopted).contains(&"before-first-apply".to_owned()));
}

fn owners_of(object: &Value) -> Vec<String> {
    owners(object).iter().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

#[test]
fn subresources_have_their_own_entries_and_ignore_the_rest() {
    let one = apply_as(None, "ci", 60, json!({"replicas": 2})).unwrap();
    let status = Writer { subresource: "status", ignored: ignored_fields("status", true), ..writer("controller", 120) };
    let mut new = one.clone();
    new["status"] = json!({"replicas": 2, "conditions": [{"type": "Available", "status": "True"}]});
    let two = track_update(Some(&one), new, &status, Schema::builtin());
    let entry = &two["metadata"]["managedFields"][1];
    assert_eq!((&entry["subresource"], &entry["manager"]), (&json!("status"), &json!("controller")));

    let main = Writer { ignored: ignored_fields("", true), ..writer("ci", 180) };
    let mut config = deployment(json!({"replicas": 3}));
    config["status"] = json!({"replicas": 9});
    let three = apply(Some(&two), &config, false, &main, Schema::builtin()).unwrap();
    assert_eq!((&three["spec"]["replicas"], &three["status"]["replicas"]), (&json!(3), &json!(2)));
    assert_eq!(owners(&three)[0], "ci Apply 03:00: .spec.replicas");
}

#[test]
fn the_annotation_of_client_side_apply_hands_its_fields_over() {
    let applied = deployment(json!({"replicas": 1})).to_string();
    let mut live = deployment(json!({"replicas": 1, "paused": true}));
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": applied});
    let live = track_update(None, live, &writer("kubectl-client-side-apply", 60), Schema::builtin());
    let claimed = apply_as(Some(&live), "kubectl", 120, json!({"replicas": 4})).unwrap();
    assert_eq!(claimed["spec"]["replicas"], 4);
    let text = claimed["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    assert!(text.contains("\"replicas\":4"), "{text}");
    assert!(apply_as(Some(&live), "kubectl", 120, json!({"paused": false})).is_err());
    assert!(apply_as(Some(&live), "other", 120, json!({"replicas": 4})).is_err());
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    assert_eq!(
        apply_as(None, "ci", 60, json!({"replica": 2})),
        Err("failed to create typed patch object (a/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema".to_owned())
    );
    let twice = json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}});
    assert!(apply_as(None, "ci", 60, twice).unwrap_err().contains("duplicate entries for key [name=\"a\"]"));
    let mut config = deployment(json!({}));
    config["metadata"]["managedFields"] = json!([]);
    let error = apply(None, &config, false, &writer("ci", 60), Schema::builtin()).unwrap_err();
    assert_eq!(error.to_string(), "metadata.managedFields must be nil");
}

#[test]
fn fields_v1_round_trips() {
    let fields = json!({
        "f:metadata": {"f:labels": {".": {}, "f:a/b": {}}},
        "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}, "f:finalizers": {"v:\"x\"": {}}, "i:3": {}},
    });
    let set = FieldSet::decode(&fields).unwrap();
    assert_eq!(set.encode(), fields);
    assert!(set.to_string().contains(".spec.ports[port=80,protocol=\"TCP\"].port"));
    assert!(FieldSet::decode(&json!({"x": {}})).is_err());
    assert_eq!(FieldSet::decode(&json!({"z:later": {}})), Ok(FieldSet::default()));
}
