//! Laws that hold for all objects, and parsers that survive all bytes.

use kube_store::apply::{FieldSet, Writer, apply, track_update};
use kube_store::patch;
use kube_store::schema::Schema;
use kube_store::selector::{FieldSelector, LabelSelector};
use kube_store::store::{ObjectKey, Precondition, Store};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use units::Timestamp;

/// Any JSON without nulls in objects, which a merge patch cannot express.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..4).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", document(), 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn containers() -> impl Strategy<Value = Value> {
    let container = |name: String, image: Option<String>, ports: Vec<u8>| {
        let mut ports: Vec<Value> = ports.into_iter().map(|port| json!({"containerPort": port})).collect();
        ports.dedup();
        let mut container = json!({"name": name, "ports": ports});
        if let Some(image) = image {
            container["image"] = json!(image);
        }
        container
    };
    let one = (prop::option::of("[xy]"), prop::collection::btree_set(1..5u8, 0..3));
    prop::collection::btree_map("[a-d]", one, 0..4).prop_map(move |map| {
        map.into_iter().map(|(name, (image, ports))| container(name, image, ports.into_iter().collect())).collect()
    })
}

fn deployment() -> impl Strategy<Value = Value> {
    let labels = prop::collection::btree_map("[a-c]", "[xy]", 0..3);
    (labels, prop::option::of(0..5u8), containers()).prop_map(|(labels, replicas, containers)| {
        let mut spec = json!({"template": {"spec": {"containers": containers}}});
        if let Some(replicas) = replicas {
            spec["replicas"] = json!(replicas);
        }
        let metadata = json!({"name": "web", "namespace": "a", "labels": labels});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    })
}

fn writer(manager: &str, seconds: i64) -> Writer<'_> {
    Writer { manager, api_version: "apps/v1", subresource: "", now: Timestamp::from_secs(seconds), ignored: &[] }
}

/// Every part of `part` is in `whole`; lists of objects are compared by the name or port of their elements.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            part.iter().all(|part| whole.iter().any(|whole| contains(whole, part)))
        }
        _ => whole == part,
    }
}

proptest! {
    #[test]
    fn a_merge_diff_leads_from_one_object_to_the_other(before in object(), after in object()) {
        prop_assert_eq!(patch::merge(&before, &patch::merge_diff(&before, &after)), after);
    }

    #[test]
    fn merging_twice_is_merging_once(live in document(), change in document()) {
        let once = patch::merge(&live, &change);
        prop_assert_eq!(patch::merge(&once, &change), once);
    }

    #[test]
    fn a_strategic_patch_twice_is_once(live in deployment(), change in deployment()) {
        let schema = Schema::builtin();
        let id = schema.type_for("apps", "v1", "Deployment").unwrap();
        let once = patch::strategic(&live, &change, schema, id).unwrap();
        prop_assert!(contains(&once, &change), "{once} lacks something of {change}");
        prop_assert_eq!(patch::strategic(&once, &change, schema, id).unwrap(), once);
    }

    #[test]
    fn applying_again_changes_nothing(live in deployment(), mine in deployment(), theirs in deployment()) {
        let schema = Schema::builtin();
        let live = track_update(None, live, &writer("creator", 1), schema);
        let live = apply(Some(&live), &theirs, true, &writer("theirs", 2), schema).unwrap();
        let once = apply(Some(&live), &mine, true, &writer("mine", 3), schema).unwrap();
        prop_assert!(contains(&once, &mine), "{once} lacks something of {mine}");
        let again = apply(Some(&once), &mine, false, &writer("mine", 4), schema).unwrap();
        prop_assert_eq!(again, once);
    }

    #[test]
    fn an_update_that_changes_nothing_changes_no_owner(live in deployment(), mine in deployment()) {
        let schema = Schema::builtin();
        let mut live = track_update(None, live, &writer("creator", 1), schema);
        live["metadata"]["uid"] = json!("u");
        let live = apply(Some(&live), &mine, true, &writer("mine", 2), schema).unwrap();
        prop_assert_eq!(track_update(Some(&live), live.clone(), &writer("other", 3), schema), live);
    }

    #[test]
    fn what_nobody_applies_any_more_is_gone(mine in deployment()) {
        let schema = Schema::builtin();
        let bare = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}});
        let full = apply(None, &mine, false, &writer("mine", 1), schema).unwrap();
        let emptied = apply(Some(&full), &bare, false, &writer("mine", 2), schema).unwrap();
        prop_assert_eq!(&emptied["metadata"]["managedFields"], &Value::Null);
        prop_assert_eq!(&emptied["spec"]["replicas"], &Value::Null);
        prop_assert!(!emptied.to_string().contains("containerPort"), "{emptied}");
    }

    #[test]
    fn field_sets_survive_their_encoding(object in deployment()) {
        let owned = track_update(None, object, &writer("creator", 1), Schema::builtin());
        for entry in owned["metadata"]["managedFields"].as_array().into_iter().flatten() {
            let set = FieldSet::decode(&entry["fieldsV1"]).unwrap();
            prop_assert_eq!(&set.encode(), &entry["fieldsV1"]);
            prop_assert!(set.difference(&set).is_empty());
            prop_assert_eq!(&set.union(&set), &set);
            prop_assert_eq!(&set.intersection(&set), &set);
        }
    }

    #[test]
    fn parsers_survive_any_text(text in "\\PC{0,40}", operators in "[a-c!=,()<> \\\\]{0,20}") {
        for text in [&text, &operators] {
            if let Ok(selector) = LabelSelector::parse(text) {
                prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
            }
            if let Ok(selector) = FieldSelector::parse(text) {
                prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
            }
            let fields = Value::Object(Map::from_iter([(text.clone(), json!({}))]));
            let _ = FieldSet::decode(&fields);
            let _ = Store::new(1).list("pods", None, &Default::default(), Some(1), Some(text));
        }
    }

    #[test]
    fn patches_and_schemas_survive_any_document(live in document(), change in document(), path in "[/a-d0-2~-]{0,8}") {
        let operations = json!([{"op": "add", "path": path, "value": 1}, {"op": "move", "from": path, "path": "/a"}, {"op": "test", "path": path}]);
        let _ = patch::json(&live, &operations);
        let _ = patch::json(&live, &change);
        let schema = Schema::builtin();
        let id = schema.type_for("", "v1", "Pod").unwrap();
        let _ = patch::strategic(&live, &json!({"metadata": change, "spec": change}), schema, id);
        let _ = schema.type_errors(&change, id);
        let _ = schema.unknown_fields(&change, id);
        let mut value = json!({"spec": change});
        schema.prune(&mut value, id);
        prop_assert_eq!(schema.unknown_fields(&value, id), Vec::<String>::new());
        let _ = apply(Some(&live), &change, true, &writer("m", 1), schema);
        let _ = track_update(Some(&live), change.clone(), &writer("m", 1), schema);
        let _ = Schema::from_crd("g", "v1", "K", &change);
        let _ = LabelSelector::from_value(&change);
    }

    /// A list in pages, with changes in between, shows what was there at the first page.
    #[test]
    fn pages_show_the_state_of_the_first(
        first in prop::collection::vec(("[a-f]", 0..3u8), 0..12),
        later in prop::collection::vec(("[a-f]", 0..3u8), 0..12),
        size in 1..4usize,
    ) {
        let mut store = Store::new(0);
        let run = |store: &mut Store, (name, action): &(String, u8)| {
            let key = ObjectKey::new("pods", Some("n"), name);
            if *action == 0 {
                let _ = store.delete(&key, Precondition::None);
            } else {
                store.put(key, json!({"value": action}), Precondition::None).unwrap();
            }
        };
        first.iter().for_each(|step| run(&mut store, step));
        let everything = Default::default();
        let expected = store.list("pods", Some("n"), &everything, None, None).unwrap().items;
        let mut page = store.list("pods", Some("n"), &everything, Some(size), None).unwrap();
        let mut seen = page.items.clone();
        let mut later = later.iter();
        while let Some(token) = page.continue_token {
            later.by_ref().take(2).for_each(|step| run(&mut store, step));
            prop_assert_eq!(page.remaining, Some((expected.len() - seen.len()) as u64));
            page = store.list("pods", Some("n"), &everything, Some(size), Some(&token)).unwrap();
            seen.extend(page.items.iter().cloned());
        }
        prop_assert_eq!(seen, expected);
    }
}
