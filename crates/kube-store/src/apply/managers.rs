//! `metadata.managedFields`: who owns which fields (upstream: apimachinery `managedfields/internal/managedfields.go` and
//! `capmanagers.go`, v0.36.3).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use units::Timestamp;

use super::set::FieldSet;
use crate::path;

/// More update entries than this are folded together, oldest first.
const MAX_UPDATE_MANAGERS: usize = 10;
const FOLDED_MANAGER: &str = "ancient-changes";

/// What tells entries apart. Appliers are one whatever version they apply with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManagerId {
    pub name: String,
    pub is_apply: bool,
    /// Empty for appliers.
    pub api_version: String,
    pub subresource: String,
}

impl ManagerId {
    /// As messages name a manager: `"kubectl-edit" using apps/v1`.
    pub(super) fn described(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if !self.is_apply {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }

    /// The identifier that upstream sorts managers by: the entry's JSON.
    pub(super) fn sort_key(&self) -> String {
        let mut entry = Map::new();
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                entry.insert(name.to_owned(), Value::from(value));
            }
        };
        set("manager", &self.name);
        set("operation", operation(self.is_apply));
        set("apiVersion", &self.api_version);
        set("subresource", &self.subresource);
        Value::Object(entry).to_string()
    }
}

fn operation(is_apply: bool) -> &'static str {
    if is_apply { "Apply" } else { "Update" }
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub api_version: String,
    pub fields: FieldSet,
    /// RFC 3339, as it was written.
    pub time: Option<String>,
}

pub(super) type Managers = BTreeMap<ManagerId, Entry>;

/// Reads the entries of an object.
///
/// # Errors
/// When an entry is malformed.
pub(super) fn decode(object: &Value) -> Result<Managers, String> {
    let entries = path::get(object, &["metadata", "managedFields"]).and_then(Value::as_array);
    entries.into_iter().flatten().enumerate().map(|(index, entry)| decode_entry(index, entry)).collect()
}

fn decode_entry(index: usize, entry: &Value) -> Result<(ManagerId, Entry), String> {
    let text = |name: &str| path::text(entry, &[name]).unwrap_or_default().to_owned();
    let is_apply = match text("operation").as_str() {
        "Apply" => true,
        "Update" => false,
        _ => return Err("operation must be `Apply` or `Update`".to_owned()),
    };
    let api_version = text("apiVersion");
    if api_version.is_empty() {
        return Err("apiVersion must not be empty".to_owned());
    }
    match text("fieldsType").as_str() {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
        other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
    }
    let fields = FieldSet::decode(entry.get("fieldsV1").unwrap_or(&Value::Null))?;
    let id = ManagerId {
        name: text("manager"),
        is_apply,
        api_version: if is_apply { String::new() } else { api_version.clone() },
        subresource: text("subresource"),
    };
    let time = path::text(entry, &["time"]).map(str::to_owned);
    Ok((id, Entry { api_version, fields, time }))
}

/// Writes the entries into an object, which must be one; without entries the field goes away.
pub(super) fn encode(object: &mut Value, managers: &Managers) {
    let Value::Object(map) = object else { return };
    if managers.is_empty() {
        remove(object);
        return;
    }
    let mut entries: Vec<(&ManagerId, &Entry)> = managers.iter().collect();
    entries.sort_by(compare);
    let entries = entries.into_iter().map(|(id, entry)| encode_entry(id, entry)).collect();
    path::object_at(map, "metadata").insert("managedFields".to_owned(), Value::Array(entries));
}

pub(super) fn remove(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.shift_remove("managedFields");
    }
}

/// Appliers first, then by time.
fn compare(a: &(&ManagerId, &Entry), b: &(&ManagerId, &Entry)) -> Ordering {
    b.0.is_apply
        .cmp(&a.0.is_apply)
        .then_with(|| seconds(a.1).cmp(&seconds(b.1)))
        .then_with(|| a.0.name.cmp(&b.0.name))
        .then_with(|| a.1.api_version.cmp(&b.1.api_version))
        .then_with(|| a.0.subresource.cmp(&b.0.subresource))
}

fn seconds(entry: &Entry) -> i64 {
    entry.time.as_deref().and_then(|time| Timestamp::parse(time).ok()).map_or(0, Timestamp::secs)
}

fn encode_entry(id: &ManagerId, entry: &Entry) -> Value {
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| {
        if value.as_str() != Some("") {
            map.insert(name.to_owned(), value);
        }
    };
    set("manager", Value::from(id.name.as_str()));
    set("operation", Value::from(operation(id.is_apply)));
    set("apiVersion", Value::from(entry.api_version.as_str()));
    set("time", entry.time.as_deref().map_or(Value::from(""), Value::from));
    set("fieldsType", Value::from("FieldsV1"));
    set("fieldsV1", entry.fields.encode());
    set("subresource", Value::from(id.subresource.as_str()));
    Value::Object(map)
}

/// Folds the oldest update entries into one per version until there are few enough.
pub(super) fn cap(managers: &mut Managers) {
    let mut updaters: Vec<ManagerId> = managers.keys().filter(|id| !id.is_apply).cloned().collect();
    let mut count = updaters.len();
    if count <= MAX_UPDATE_MANAGERS {
        return;
    }
    updaters.sort_by_cached_key(|id| (seconds(&managers[id]), id.sort_key()));
    let mut first_of_version: BTreeMap<String, ManagerId> = BTreeMap::new();
    for id in updaters {
        if count <= MAX_UPDATE_MANAGERS {
            break;
        }
        let version = id.api_version.clone();
        let Some(first) = first_of_version.get(&version) else {
            first_of_version.insert(version, id);
            continue;
        };
        let bucket = ManagerId {
            name: FOLDED_MANAGER.to_owned(),
            is_apply: false,
            api_version: version,
            subresource: String::new(),
        };
        if !managers.contains_key(&bucket)
            && let Some(entry) = managers.remove(first)
        {
            managers.insert(bucket.clone(), entry);
        }
        if let Some(folded) = managers.remove(&id)
            && let Some(entry) = managers.get_mut(&bucket)
        {
            entry.fields = entry.fields.union(&folded.fields);
            // The folded entry is the more recent one.
            entry.time = folded.time;
            count -= 1;
        }
    }
}
