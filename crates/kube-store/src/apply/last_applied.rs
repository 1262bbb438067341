//! The annotation of client-side apply, for those who move to server-side apply (upstream: apimachinery
//! `managedfields/internal/lastappliedmanager.go` and `lastappliedupdater.go`, v0.36.3).

use serde_json::{Map, Value};

use super::element::go_json;
use super::{ApplyConflict, Request, without_managers};
use crate::path;

/// The only manager that this is done for; others opt out by their name.
pub(super) const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The most that annotations may hold together.
const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

impl Request<'_> {
    /// The conflicts about fields that the annotation does not claim; `None` when it claims all.
    pub(super) fn not_last_applied(&self, live: Option<&Value>, mut conflict: ApplyConflict) -> Option<ApplyConflict> {
        let Some(claimed) = live.and_then(|live| self.claimed(live)) else { return Some(conflict) };
        conflict.conflicts.retain(|conflict| !claimed.has(&conflict.steps));
        (!conflict.conflicts.is_empty()).then_some(conflict)
    }

    /// The fields of the annotation that still are as it says.
    fn claimed(&self, live: &Value) -> Option<super::FieldSet> {
        let live = without_managers(live);
        let text = annotation(&live)?;
        let applied: Value = serde_json::from_str(text).ok()?;
        if path::text(&applied, &["apiVersion"]) != Some(self.writer.api_version) {
            return None;
        }
        let is_sound = |value: &Value| self.typed.problems(value, self.ty, true).is_empty();
        if !is_sound(&applied) || !is_sound(&live) {
            return None;
        }
        let changes = self.typed.compare(&applied, &live, self.ty);
        let fields = self.typed.fields(&applied, self.ty);
        Some(fields.difference(&changes.modified).difference(&changes.added).difference(&changes.removed))
    }
}

fn annotation(object: &Value) -> Option<&str> {
    path::text(object, &["metadata", "annotations", ANNOTATION]).filter(|text| !text.is_empty())
}

/// Brings the annotation, where there is one, up to date with what was applied.
pub(super) fn refresh(object: &mut Value, config: &Value) {
    if annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(metadata)) = config.get_mut("metadata")
        && let Some(Value::Object(annotations)) = metadata.get_mut("annotations")
    {
        annotations.shift_remove(ANNOTATION);
        if annotations.is_empty() {
            metadata.shift_remove("annotations");
        }
    }
    let text = format!("{}\n", go_json(&sorted(&config)));
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        let annotations = path::object_at(metadata, "annotations");
        annotations.insert(ANNOTATION.to_owned(), Value::from(text));
        let size = |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(0, str::len);
        if annotations.iter().map(size).sum::<usize>() > ANNOTATIONS_MAX_BYTES {
            annotations.shift_remove(ANNOTATION);
        }
    }
}

/// Go writes the fields of a map in the order of their names.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
