//! Every path of a configuration, from its JSON Schema and what the file has.

use serde_json::Value;

use crate::args::StackName;

#[derive(Default)]
pub(super) struct Paths {
    /// Keys from the configuration's root to a scalar or a list.
    pub leaves: Vec<Vec<String>>,
    /// Keys of maps whose values are scalars: they admit any key.
    pub open: Vec<Vec<String>>,
}

/// The schema of a stack's whole file, as it is committed beside it.
pub(super) fn schema(stack: StackName) -> Value {
    let text = match stack {
        StackName::Base => stack::schema::<infrastructure_k8s_base::Config>(),
        StackName::Db => stack::schema::<infrastructure_k8s_db::Config>(),
        StackName::Deploy => stack::schema::<infrastructure_k8s_deploy::Config>(),
    };
    serde_json::from_str(&text).unwrap_or_default()
}

pub(super) fn of(schema: &Value, config: &Value) -> Paths {
    let mut paths = Paths::default();
    walk(schema, &schema["properties"]["config"], Some(config), &mut Vec::new(), &mut paths);
    paths
}

fn walk(root: &Value, schema: &Value, value: Option<&Value>, keys: &mut Vec<String>, paths: &mut Paths) {
    let schema = resolve(root, schema);
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            keys.push(key.clone());
            walk(root, inner, value.and_then(|value| value.get(key)), keys, paths);
            keys.pop();
        }
        return;
    }
    if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
        let inner = resolve(root, inner);
        if inner.get("properties").is_none() {
            paths.open.push(keys.clone());
        }
        for (key, value) in value.and_then(Value::as_object).into_iter().flatten() {
            keys.push(key.clone());
            walk(root, inner, Some(value), keys, paths);
            keys.pop();
        }
        return;
    }
    paths.leaves.push(keys.clone());
}

/// Follows references, and of alternatives takes the one that is an object: the others are `null`.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
        return resolve(root, &root["$defs"][name]);
    }
    let alternatives = ["anyOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    alternatives
        .map(|alternative| resolve(root, alternative))
        .find(|alternative| alternative.get("properties").is_some())
        .unwrap_or(schema)
}
