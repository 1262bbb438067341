//! Whatever the manifests are, the rules answer and do not panic.

use platform::Platform;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Fixture, MANIFESTS};

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop::sample::select(vec![
            "",
            "0",
            "-1",
            "100%",
            "999999999999999999999",
            "1e400",
            "10.0.0.0/0",
            "/",
            "a=b:NoSchedule",
            "http",
            "\u{0}",
            "ñ"
        ])
        .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z./]{0,10}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Every place in a document, as pointers.
fn pointers(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                pointers(value, &format!("{here}/{}", key.replace('~', "~0").replace('/', "~1")), all);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers(value, &format!("{here}/{index}"), all);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A valid platform with one value replaced by anything.
    #[test]
    fn one_odd_value_anywhere(object in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), value in any_value()) {
        let mut fixture = Fixture::new();
        let object = object.index(fixture.manifests.len());
        let mut places = Vec::new();
        pointers(&fixture.manifests[object], "", &mut places);
        let place = &places[place.index(places.len())];
        *fixture.manifests[object].pointer_mut(place).unwrap() = value;
        fixture.findings();
    }

    #[test]
    fn one_odd_value_in_the_template(place in any::<prop::sample::Index>(), value in any_value()) {
        let mut fixture = Fixture::new();
        let mut places = Vec::new();
        pointers(&fixture.template, "", &mut places);
        let place = &places[place.index(places.len())];
        *fixture.template.pointer_mut(place).unwrap() = value;
        // What is no template does not come to the rules.
        if serde_json::from_value::<arm_model::Template>(fixture.template.clone()).is_ok() {
            fixture.findings();
        }
    }

    #[test]
    fn objects_of_any_shape(kind in prop::sample::select(vec!["Deployment", "HorizontalPodAutoscaler", "Service", "NetworkPolicy", "Ingress", "PodDisruptionBudget", "Prometheus", "ServiceMonitor", "Secret", "ConfigMap", "CustomResourceDefinition"]), spec in any_value(), metadata in any_value()) {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec, "data": spec});
        let again = object.clone();
        lint::check(&Platform::new(&[], &[&object, &again]), &lint::Sources::default());
    }

    #[test]
    fn lines_of_any_text(text in ".{0,200}", cut in any::<prop::sample::Index>()) {
        lint::Lines::of_documents(&text);
        let end = (0..=cut.index(MANIFESTS.len())).rev().find(|end| MANIFESTS.is_char_boundary(*end)).unwrap_or(0);
        lint::Lines::of_documents(&MANIFESTS[..end]);
    }
}
