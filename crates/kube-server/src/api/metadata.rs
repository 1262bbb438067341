//! What the server itself writes into `metadata`.

use serde_json::{Value, json};
use uuid::Uuid;

use kube_store::selector::{label_value_problem, qualified_name_problem};

use super::Transaction;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;
use crate::registry::ResourceDef;

/// Letters and digits that read well and spell nothing (upstream: apimachinery `util/rand`).
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Upstream caps the prefix so that prefix and suffix fit a label value.
const MAX_PREFIX: usize = 58;

fn random_suffix() -> String {
    let random = Uuid::new_v4();
    random.as_bytes()[..SUFFIX_LENGTH]
        .iter()
        .map(|b| SUFFIX_ALPHABET[usize::from(*b) % SUFFIX_ALPHABET.len()] as char)
        .collect()
}

/// Fills what every new object gets; anything of it that the client sent is replaced.
pub fn stamp_new(tx: &Transaction<'_>, def: &ResourceDef, namespace: Option<&str>, object: &mut Value) {
    object["apiVersion"] = json!(def.api_version());
    object["kind"] = json!(def.kind);
    let metadata = json::object(object, "metadata");
    if json::text(metadata, "/name").unwrap_or_default().is_empty()
        && let Some(prefix) = json::text(metadata, "/generateName").filter(|prefix| !prefix.is_empty())
    {
        let prefix: String = prefix.chars().take(MAX_PREFIX).collect();
        metadata["name"] = json!(format!("{prefix}{}", random_suffix()));
    }
    for field in ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
        json::remove(metadata, field);
    }
    json::assign(metadata, "namespace", namespace.map(|n| json!(n)));
    metadata["uid"] = json!(Uuid::new_v4().to_string());
    metadata["creationTimestamp"] = json!(tx.now.truncated().rfc3339());
    if def.strategy().has_generation() {
        metadata["generation"] = json!(1);
    }
}

/// What an update may not change is taken over from the stored object.
pub fn keep_identity(old: &Value, new: &mut Value) {
    let old = &old["metadata"];
    let metadata = json::object(new, "metadata");
    for field in [
        "name",
        "generateName",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        json::assign(metadata, field, old.get(field).cloned());
    }
    json::remove(metadata, "selfLink");
}

/// True when anything but metadata and status differs: what a new generation means.
pub fn spec_changed(old: &Value, new: &Value) -> bool {
    let relevant = |v: &Value| -> Value {
        let mut v = v.clone();
        for field in ["metadata", "status", "apiVersion", "kind"] {
            json::remove(&mut v, field);
        }
        v
    };
    relevant(old) != relevant(new)
}

/// Upstream's `ValidateObjectMeta`, as far as it can fail for objects that decode.
pub fn validate(def: &ResourceDef, object: &Value, errors: &mut FieldErrors) {
    let metadata = &object["metadata"];
    let name = json::name(object);
    if name.is_empty() {
        errors.required("metadata.name", "name or generateName is required");
    } else if let Some(problem) = def.strategy().name_problem(name) {
        errors.invalid("metadata.name", &metadata["name"], &problem);
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        if let Some(problem) = qualified_name_problem(key) {
            errors.invalid("metadata.labels", &json!(key), &problem);
        }
        if let Some(problem) = label_value_problem(value.as_str().unwrap_or_default()) {
            errors.invalid("metadata.labels", value, &problem);
        }
    }
    let mut annotation_bytes = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        annotation_bytes += key.len() + value.as_str().map_or(0, str::len);
        if let Some(problem) = qualified_name_problem(&key.to_lowercase()) {
            errors.invalid("metadata.annotations", &json!(key), &problem);
        }
    }
    if annotation_bytes > 256 * 1024 {
        errors.push(
            "metadata.annotations",
            "FieldValueTooLong",
            "Too long: may not be more than 262144 bytes".to_owned(),
        );
    }
    owners(metadata, errors);
}

fn owners(metadata: &Value, errors: &mut FieldErrors) {
    let mut controllers = 0;
    for (index, owner) in json::items(metadata, "/ownerReferences").iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if json::text(owner, &format!("/{field}")).unwrap_or_default().is_empty() {
                errors.required(format!("metadata.ownerReferences[{index}].{field}"), "must not be empty");
            }
        }
        controllers += usize::from(json::flag(owner, "/controller"));
    }
    if controllers > 1 {
        errors.invalid(
            "metadata.ownerReferences",
            &metadata["ownerReferences"],
            "Only one reference can have Controller set to true",
        );
    }
}

/// Invalid objects answer 422 with every problem at once.
pub fn refuse(def: &ResourceDef, object: &Value, errors: FieldErrors) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let shown = json::name(object);
    let shown = if shown.is_empty() { json::text(object, "/metadata/generateName").unwrap_or_default() } else { shown };
    Err(ApiError::invalid(&def.qualified_kind(), shown, &errors))
}
