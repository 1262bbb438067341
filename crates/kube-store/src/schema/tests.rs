use serde_json::{Value, json};

use super::*;

fn builtin(group: &str, version: &str, kind: &str) -> TypeId {
    Schema::builtin().type_for(group, version, kind).unwrap()
}

fn widget() -> Schema {
    let schema = json!({
        "type": "object",
        "properties": {"spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "format": "int32", "default": 1},
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a", "nullable": true},
                "port": {"x-kubernetes-int-or-string": true},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {
                        "name": {"type": "string"},
                        "weight": {"type": "number", "default": 0.5},
                    }},
                },
            },
        }},
    });
    Schema::from_crd("shop.example.com", "v1", "Widget", &schema).unwrap()
}

#[track_caller]
fn check(value: Value, unknown: &[&str], type_errors: &[&str]) {
    let id = Schema::builtin().type_of(&value).unwrap();
    assert_eq!(Schema::builtin().unknown_fields(&value, id), unknown);
    let actual: Vec<String> =
        Schema::builtin().type_errors(&value, id).into_iter().map(|problem| problem.message).collect();
    assert_eq!(actual, type_errors);
}

#[test]
fn the_facts_are_of_the_version_that_is_declared() {
    let first = include_str!("kubernetes.txt").lines().next().unwrap();
    assert!(first.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION},")), "{first}");
}

#[test]
fn every_reference_leads_somewhere_and_every_stable_kind_is_there() {
    let schema = Schema::builtin();
    for (_, def) in schema.types() {
        if let Resolved::Object { object, .. } = schema.resolve(&def.shape) {
            for (name, field) in &object.fields {
                if let Resolved::List(List { kind: ListKind::Map(keys), items }) = schema.resolve(&field.ty) {
                    for key in keys {
                        assert!(schema.field(items, key).is_some(), "{}.{name} has no key {key}", def.name);
                    }
                }
            }
        }
    }
    for (group, version, kind) in [
        ("", "v1", "Pod"),
        ("", "v1", "Event"),
        ("apps", "v1", "Deployment"),
        ("autoscaling", "v1", "HorizontalPodAutoscaler"),
        ("autoscaling", "v2", "HorizontalPodAutoscaler"),
        ("autoscaling", "v1", "Scale"),
        ("policy", "v1", "PodDisruptionBudget"),
        ("networking.k8s.io", "v1", "Ingress"),
        ("rbac.authorization.k8s.io", "v1", "Role"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("", "v1", "Status"),
    ] {
        assert!(schema.type_for(group, version, kind).is_some(), "{kind}");
    }
}

#[test]
fn lists_and_maps_know_how_they_merge() {
    let schema = Schema::builtin();
    let service = Type::from(builtin("", "v1", "Service"));
    let spec = &schema.field(&service, "spec").unwrap().ty;
    let ports = schema.field(spec, "ports").unwrap();
    assert_eq!(ports.patch.merge_key.as_deref(), Some("port"));
    let Type::List(list) = &ports.ty else { panic!("ports is a list") };
    assert_eq!(list.kind, ListKind::Map(vec!["port".into(), "protocol".into()]));
    assert_eq!(schema.field(&list.items, "protocol").unwrap().default, Some(json!("TCP")));
    let selector = &schema.field(spec, "selector").unwrap().ty;
    assert!(matches!(schema.resolve(selector), Resolved::Object { atomic: true, .. }));
    let volume = Type::from(schema.type_named("io.k8s.api.core.v1.PodSpec").unwrap());
    assert!(schema.field(&volume, "volumes").unwrap().patch.retain_keys);
}

#[test]
fn unknown_and_mistyped_fields_are_named() {
    check(
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"any": "thing"}},
            "spec": {
                "replicas": "3",
                "replica": 3,
                "template": {"spec": {"containers": [{"name": "a", "imag": "x", "ports": [{"containerPort": 1.5}]}]}},
                "selector": null,
            },
        }),
        &["spec.replica", "spec.template.spec.containers[0].imag"],
        &[
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            "json: cannot unmarshal number 1.5 into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32",
        ],
    );
    check(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}, "metadata": []}),
        &[],
        &[
            "json: cannot unmarshal number into Go struct field ConfigMap.data.a of type string",
            "json: cannot unmarshal array into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
        ],
    );
}

#[test]
fn custom_resources_are_pruned_and_defaulted() {
    let schema = widget();
    let id = schema.type_for("shop.example.com", "v1", "Widget").unwrap();
    assert_eq!(&*schema.get(id).name, "com.example.shop.v1.Widget");
    let mut value = json!({
        "apiVersion": "shop.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "odd": 1},
        "spec": {"size": null, "mode": null, "extra": 1, "free": {"x": {"y": 1}}, "port": "http", "parts": [{"name": "p", "z": 1}]},
    });
    assert_eq!(schema.unknown_fields(&value, id), ["metadata.odd", "spec.extra", "spec.parts[0].z"]);
    assert_eq!(schema.type_errors(&value, id), []);
    schema.prune(&mut value, id);
    schema.default_crd(&mut value, id);
    assert_eq!(
        value["spec"],
        json!({"size": 1, "mode": null, "free": {"x": {"y": 1}}, "port": "http", "parts": [{"name": "p", "weight": 0.5}]})
    );
    assert_eq!(value["metadata"], json!({"name": "w"}));
}

#[test]
fn nulls_are_dropped_where_the_type_is_known() {
    let mut value = json!({"data": {"a": null, "b": "c"}, "metadata": {"labels": null}, "immutable": null});
    Schema::builtin().drop_nulls(&mut value, builtin("", "v1", "ConfigMap"));
    assert_eq!(value, json!({"data": {"b": "c"}, "metadata": {}}));
}

#[test]
fn schemas_without_meaning_are_refused() {
    let refused = |schema: Value| Schema::from_crd("g", "v1", "K", &schema).unwrap_err().to_string();
    assert_eq!(
        refused(json!({"type": "object", "properties": {"a": {"type": "array"}}})),
        "spec.validation.openAPIV3Schema.properties[a]: items: Required value: must be specified"
    );
    assert!(refused(json!({"type": "strange"})).contains("Unsupported value"));
}
