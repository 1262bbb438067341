//! What-if: the deployment runs on a copy of the engine, and the difference is the answer.

use std::collections::BTreeSet;

use arm_model::id::ResourceId;
use serde_json::{Map, Value, json};

use crate::effect::{Effect, Outcome};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers;
use crate::request::{Request, Response};

/// How one resource would change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub id: String,
    /// Create, Delete, Modify, NoChange, Ignore, or Detach for stacks.
    pub kind: &'static str,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub delta: Vec<Value>,
}

impl Engine {
    /// A copy in which the change was made and all its work outside succeeded.
    pub(crate) fn simulated(&self, change: impl FnOnce(&mut Engine) -> Result<(), Fault>) -> Result<Engine, Fault> {
        let mut copy = self.clone();
        change(&mut copy)?;
        copy.pump();
        // Bounded: an effect is consumed in every turn, and none makes more than a few new ones.
        for _ in 0..10_000 {
            let effects = copy.take_effects();
            let Some((id, effect)) = effects.into_iter().next() else { break };
            copy.release_all();
            let outcome = copy.imagined(&effect);
            copy.complete(id, outcome, self.now);
        }
        Ok(copy)
    }

    fn imagined(&self, effect: &Effect) -> Outcome {
        let old = |id: &str, name: &str| {
            let resource = self.resources.get(&id.to_ascii_lowercase());
            resource.and_then(|resource| resource.body["properties"][name].as_str().map(str::to_owned))
        };
        match effect {
            Effect::EnsureCluster { cluster_id, body, .. } => Outcome::Cluster {
                fqdn: old(cluster_id, "fqdn")
                    .unwrap_or_else(|| format!("{}.hcp.azmk8s.io", body["name"].as_str().unwrap_or("cluster"))),
                admin_kubeconfig: "not yet known".to_owned(),
                user_kubeconfig: "not yet known".to_owned(),
                oidc_issuer_url: body["properties"]["oidcIssuerProfile"]["issuerURL"]
                    .as_str()
                    .unwrap_or("https://not-yet-known/")
                    .to_owned(),
            },
            Effect::EnsurePostgres { .. } => {
                Outcome::Postgres { host_address: "0.0.0.0".to_owned(), state: "Ready".to_owned() }
            }
            Effect::StopCluster { .. } | Effect::StopPostgres { .. } => Outcome::Stopped,
            Effect::DeleteCluster { .. } | Effect::DeletePostgres { .. } => Outcome::Deleted,
        }
    }

    pub(super) fn what_if_deployment(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let body = request.json()?;
        let ids_only = body["properties"]["whatIfSettings"]["resultFormat"]
            .as_str()
            .is_some_and(|format| format.eq_ignore_ascii_case("ResourceIdOnly"));
        let wanted = Self::wanted(id, &body, request)?;
        let after = self.simulated(|engine| engine.start_deployment(wanted, None).map(|_| ()))?;
        let Some(deployment) = after.deployments.get(id.key()) else {
            return Err(Fault::new(500, "InternalServerError", "The what-if produced no deployment."));
        };
        let result = match &deployment.error {
            Some(error) => json!({ "status": "Failed", "error": error }),
            None => {
                let complete = deployment.mode == "Complete";
                let touched = after.deployed_ids(id.key());
                let mut changes = changes_between(self, &after, &touched, &[]);
                if !complete {
                    changes.retain(|change| change.kind != "Delete");
                }
                changes.extend(self.untouched(id.scope(), &changes));
                let rendered: Vec<Value> = changes.iter().map(|change| render_change(change, ids_only)).collect();
                json!({ "status": "Succeeded", "properties": { "correlationId": deployment.correlation_id, "changes": rendered, "potentialChanges": [], "diagnostics": [] } })
            }
        };
        let operation = self.record_result(id.key(), result);
        let location = format!(
            "{}/subscriptions/{}/operationresults/{operation}?api-version={}",
            request.base_url,
            self.settings.subscription_id,
            request.query("api-version").unwrap_or_default()
        );
        Ok(Response::empty(202).header("Location", location).poll_soon())
    }

    /// Resources of a group that the template leaves alone.
    fn untouched(&self, scope: &str, changes: &[Change]) -> Vec<Change> {
        let scope = ResourceId::parse(scope).ok().filter(|scope| scope.resource_group().is_some());
        let Some(scope) = scope else { return Vec::new() };
        let prefix = format!("{}/", scope.key());
        self.resources
            .below(&prefix)
            .filter(|(key, _)| {
                ResourceId::parse(key).is_ok_and(|id| id.names().len() == 1)
                    && !changes.iter().any(|change| change.id.eq_ignore_ascii_case(key))
            })
            .map(|(_, resource)| Change {
                id: resource.id.clone(),
                kind: "Ignore",
                before: Some(comparable(self, &resource.id, &BTreeSet::new())),
                after: None,
                delta: Vec::new(),
            })
            .collect()
    }
}

/// The changes of the touched resources, and of those that are gone or were detached.
pub(crate) fn changes_between(before: &Engine, after: &Engine, touched: &[String], detached: &[String]) -> Vec<Change> {
    let explicit: BTreeSet<String> = touched.iter().map(|id| id.to_ascii_lowercase()).collect();
    let mut changes = Vec::new();
    for id in touched {
        let key = id.to_ascii_lowercase();
        let old = before.resources.contains(&key).then(|| comparable(before, id, &explicit));
        let new = after.resources.contains(&key).then(|| comparable(after, id, &explicit));
        let delta = match (&old, &new) {
            (Some(old), Some(new)) => differences("", old, new),
            _ => Vec::new(),
        };
        let kind = match (&old, &new) {
            (None, _) => "Create",
            (Some(_), None) => "Delete",
            (Some(_), Some(_)) if delta.is_empty() => "NoChange",
            (Some(_), Some(_)) => "Modify",
        };
        changes.push(Change { id: id.clone(), kind, before: old, after: new, delta });
    }
    for (key, resource) in before.resources.iter() {
        let child_of_listed = ResourceId::parse(key).is_ok_and(|id| {
            id.parent().is_some_and(|parent| !after.resources.contains(parent.key()) || explicit.contains(parent.key()))
        });
        if !after.resources.contains(key) && !explicit.contains(key) && !child_of_listed {
            changes.push(Change {
                id: resource.id.clone(),
                kind: "Delete",
                before: Some(comparable(before, &resource.id, &explicit)),
                after: None,
                delta: Vec::new(),
            });
        }
    }
    for id in detached {
        if !explicit.contains(&id.to_ascii_lowercase()) {
            changes.push(Change {
                id: id.clone(),
                kind: "Detach",
                before: Some(comparable(before, id, &explicit)),
                after: None,
                delta: Vec::new(),
            });
        }
    }
    changes
}

/// A resource without what only the platform writes, and without children that are listed on their own.
pub(crate) fn comparable(engine: &Engine, id: &str, explicit: &BTreeSet<String>) -> Value {
    let Some(resource) = engine.resources.get(&id.to_ascii_lowercase()) else { return Value::Null };
    let mut body = engine.render(resource);
    if let Some(kind) = providers::find(&resource.resource_type) {
        for rule in kind.inline {
            let children = engine.world().children(&resource.id, rule.child_type);
            let child_kind = providers::find(rule.child_type);
            let shown =
                children.into_iter().filter(|child| !explicit.contains(&child.id.to_ascii_lowercase())).map(|child| {
                    let mut item = child.body.clone();
                    strip(&mut item, child_kind.map_or(&[], |kind| kind.read_only));
                    let stripped = crate::state::StoredResource { body: item, ..child.clone() };
                    rule.render(&stripped)
                });
            let shown: Vec<Value> = shown.collect();
            if shown.is_empty() {
                remove(&mut body, &format!("properties.{}", rule.field));
            } else {
                body["properties"][rule.field] = shown.into();
            }
        }
        strip(&mut body, kind.read_only);
    }
    remove(&mut body, "properties.provisioningState");
    if body["properties"].as_object().is_some_and(Map::is_empty) {
        remove(&mut body, "properties");
    }
    body
}

fn strip(body: &mut Value, read_only: &[&str]) {
    for path in read_only.iter().chain(&["etag", "eTag", "systemData"]) {
        remove(body, path);
    }
}

fn remove(body: &mut Value, path: &str) {
    let pointer = format!("/{}", path.replace('.', "/"));
    let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", path));
    if let Some(Value::Object(members)) = body.pointer_mut(parent) {
        members.remove(name);
    }
}

/// Property by property, paths relative to the resource's root.
pub(crate) fn differences(path: &str, before: &Value, after: &Value) -> Vec<Value> {
    let joined = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let mut found = Vec::new();
            for name in names {
                // A side that has no properties at all differs in each of them, not in the word.
                let nothing = Value::Object(Map::new());
                let whole = path.is_empty() && name == "properties";
                let of =
                    |side: &'_ Map<String, Value>| side.get(name).cloned().or_else(|| whole.then(|| nothing.clone()));
                match (of(old).as_ref(), of(new).as_ref()) {
                    (Some(one), Some(other)) => found.extend(differences(&joined(name), one, other)),
                    (Some(one), None) if !one.is_null() => {
                        found.push(changed(&joined(name), "Delete", one, &Value::Null))
                    }
                    (None, Some(other)) if !other.is_null() => {
                        found.push(changed(&joined(name), "Create", &Value::Null, other))
                    }
                    _ => {}
                }
            }
            found
        }
        (Value::Array(old), Value::Array(new)) => array_differences(path, old, new),
        (one, other) if same(one, other) => Vec::new(),
        (one, other) => vec![changed(path, "Modify", one, other)],
    }
}

fn array_differences(path: &str, old: &[Value], new: &[Value]) -> Vec<Value> {
    let mut children = Vec::new();
    for index in 0..old.len().max(new.len()) {
        let name = index.to_string();
        match (old.get(index), new.get(index)) {
            (Some(one), Some(other)) => {
                let inner = differences("", one, other);
                let is_scalar = inner.len() == 1 && inner[0]["path"] == "";
                if is_scalar {
                    children.push(changed(&name, "Modify", one, other));
                } else if !inner.is_empty() {
                    children.push(json!({ "path": name, "propertyChangeType": "Modify", "children": inner }));
                }
            }
            (Some(one), None) => children.push(changed(&name, "Delete", one, &Value::Null)),
            (None, Some(other)) => children.push(changed(&name, "Create", &Value::Null, other)),
            (None, None) => {}
        }
    }
    if children.is_empty() {
        Vec::new()
    } else {
        vec![json!({ "path": path, "propertyChangeType": "Array", "children": children })]
    }
}

/// Ids compare without case; everything else as it is.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) if one.starts_with("/subscriptions/") => {
            one.eq_ignore_ascii_case(other)
        }
        (one, other) => one == other,
    }
}

fn changed(path: &str, kind: &str, before: &Value, after: &Value) -> Value {
    let mut entry = json!({ "path": path, "propertyChangeType": kind });
    if !before.is_null() {
        entry["before"] = before.clone();
    }
    if !after.is_null() {
        entry["after"] = after.clone();
    }
    entry
}

pub(crate) fn render_change(change: &Change, ids_only: bool) -> Value {
    let kind = if ids_only && matches!(change.kind, "Modify" | "NoChange") { "Deploy" } else { change.kind };
    let mut rendered = json!({ "resourceId": change.id, "changeType": kind });
    if !ids_only {
        if let Some(before) = &change.before {
            rendered["before"] = before.clone();
        }
        if let Some(after) = &change.after {
            rendered["after"] = after.clone();
        }
        if !change.delta.is_empty() {
            rendered["delta"] = change.delta.clone().into();
        }
    }
    rendered
}
