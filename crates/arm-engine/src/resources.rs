//! Writing, reading and deleting resources of any type; what is special about a type is in `providers`.

use arm_model::id::ResourceId;
use serde_json::{Map, Value, json};
use units::Timestamp;

use crate::engine::{Engine, Settings};
use crate::fault::Fault;
use crate::providers::{self, Inline, Kind, Outside, Placement};
use crate::state::{EffectKind, StoredResource};
use crate::table::Table;

/// What a provider may look at while it decides.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub resources: &'a Table<StoredResource>,
    pub settings: &'a Settings,
    pub now: Timestamp,
}

impl<'a> World<'a> {
    pub fn get(&self, id: &str) -> Option<&'a StoredResource> {
        self.resources.get(&id.to_ascii_lowercase())
    }

    /// Every resource of a type, in order of creation.
    pub fn of_type(&self, resource_type: &str) -> Vec<&'a StoredResource> {
        let mut found: Vec<_> = self
            .resources
            .values()
            .filter(|resource| resource.resource_type.eq_ignore_ascii_case(resource_type))
            .collect();
        found.sort_by_key(|resource| resource.sequence);
        found
    }

    /// Direct children of one type, in order of creation.
    pub fn children(&self, parent_key: &str, child_type: &str) -> Vec<&'a StoredResource> {
        let prefix = format!(
            "{}/{}/",
            parent_key.to_ascii_lowercase(),
            child_type.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
        );
        let mut found: Vec<_> = self
            .resources
            .below(&prefix)
            .filter(|(key, _)| !key[prefix.len()..].contains('/'))
            .map(|(_, resource)| resource)
            .collect::<Vec<&'a StoredResource>>();
        found.sort_by_key(|resource| resource.sequence);
        found
    }
}

/// A write as a provider sees it: it validates `body` and fills in what Azure fills in.
pub(crate) struct Put<'a> {
    pub world: World<'a>,
    pub id: &'a ResourceId,
    pub existing: Option<&'a StoredResource>,
    pub body: Value,
    pub hidden: std::collections::BTreeMap<String, String>,
    /// A fresh guid, for principal ids and the like.
    pub guid: String,
    /// Names of the inline children that the request lists.
    pub inline: Vec<(String, Value)>,
}

impl Put<'_> {
    pub fn properties(&mut self) -> &mut Map<String, Value> {
        if !self.body["properties"].is_object() {
            self.body["properties"] = json!({});
        }
        match &mut self.body["properties"] {
            Value::Object(properties) => properties,
            _ => unreachable!("it was just made an object"),
        }
    }

    pub fn property(&self, pointer: &str) -> &Value {
        self.body.pointer(&format!("/properties/{pointer}")).unwrap_or(&Value::Null)
    }

    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.property(pointer).as_str()
    }

    /// Sets `properties.{name}` where the request left it out.
    pub fn default(&mut self, name: &str, value: Value) {
        let properties = self.properties();
        if properties.get(name).is_none_or(Value::is_null) {
            properties.insert(name.to_owned(), value);
        }
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.properties().insert(name.to_owned(), value);
    }
}

/// `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

pub(crate) struct Written {
    pub created: bool,
    pub operation: Option<String>,
}

const KEPT_KEYS: [&str; 9] =
    ["location", "tags", "sku", "identity", "kind", "zones", "managedBy", "extendedLocation", "properties"];

impl Engine {
    pub(crate) fn world(&self) -> World<'_> {
        World { resources: &self.resources, settings: &self.settings, now: self.now }
    }

    /// Creates or replaces a resource, with its inline children, or changes nothing.
    pub(crate) fn put_resource(
        &mut self,
        id: &ResourceId,
        api_version: &str,
        body: &Value,
        conditions: &Conditions,
    ) -> Result<Written, Fault> {
        let kind = providers::find(&id.resource_type()).ok_or_else(|| providers::unknown_type(id))?;
        providers::check_version(kind, api_version, body["location"].as_str())?;
        self.check_place(id, kind)?;
        self.check_running(id, kind)?;
        self.check_locks(id.key(), LockedAction::Write)?;
        // A child that is refused takes the parent and the other children back with it.
        let with_children = !kind.inline.is_empty();
        if with_children {
            self.resources.begin();
        }
        let result = self.put_checked(id, kind, body, conditions);
        if with_children && result.is_err() {
            self.resources.take_back();
        }
        if with_children {
            self.resources.keep();
        }
        let (created, changed) = result?;
        Ok(Written { created, operation: self.start_work(id, kind, created, changed) })
    }

    fn check_place(&self, id: &ResourceId, kind: &Kind) -> Result<(), Fault> {
        if let Some(group) = id.resource_group() {
            let key = ResourceId::of_group(id.subscription().unwrap_or_default(), group).key().to_owned();
            if self.group_deletions.contains(&key) {
                return Err(Fault::conflict(
                    "ResourceGroupBeingDeleted",
                    format!(
                        "The resource group '{group}' is in deprovisioning state and cannot perform this operation."
                    ),
                ));
            }
            if !self.resources.contains(&key) {
                return Err(Fault::group_not_found(group));
            }
        } else if kind.placement != Placement::Extension {
            return Err(Fault::new(
                404,
                "InvalidResourceType",
                format!("The resource type '{}' cannot be deployed to a subscription.", kind.resource_type),
            ));
        }
        if let Some(parent) = id.parent().filter(|parent| !self.resources.contains(parent.key())) {
            return Err(Fault::new(
                404,
                "ParentResourceNotFound",
                format!(
                    "Failed to perform 'write' on resource(s) of type '{}', because the parent resource '{}' could not be found.",
                    kind.resource_type.split_once('/').map_or("", |(_, types)| types),
                    parent
                ),
            ));
        }
        Ok(())
    }

    /// What was stopped can only be started or deleted.
    fn check_running(&self, id: &ResourceId, kind: &Kind) -> Result<(), Fault> {
        let root = self.resources.get(&providers::root_key(id));
        let Some(root) = root.filter(|root| providers::is_stopped(&root.body)) else { return Ok(()) };
        match kind.outside {
            Outside::Nothing => Ok(()),
            Outside::Cluster => Err(Fault::conflict(
                "OperationNotAllowed",
                format!("Managed cluster '{}' is stopped. Start it before changing it or its agent pools.", root.id),
            )),
            Outside::Postgres => Err(Fault::conflict(
                "ServerNotInExpectedState",
                format!("The server '{}' is stopped. Start it before changing it.", root.id),
            )),
        }
    }

    /// Returns whether the resource was created and whether anything changed.
    fn put_checked(
        &mut self,
        id: &ResourceId,
        kind: &'static Kind,
        request: &Value,
        conditions: &Conditions,
    ) -> Result<(bool, bool), Fault> {
        let existing = self.resources.get(id.key()).cloned();
        // A resource keeps the case that it was made with.
        let kept = existing.as_ref().and_then(|existing| ResourceId::parse(&existing.id).ok());
        let id = kept.as_ref().unwrap_or(id);
        check_conditions(existing.as_ref(), conditions)?;
        let (body, inline) = split_inline(id, kind, prepared(kind, request, existing.as_ref())?)?;
        check_location(id, kind, &body, existing.as_ref())?;
        let guid = self.guid();
        let hidden = existing.as_ref().map(|resource| resource.hidden.clone()).unwrap_or_default();
        let listed = inline.iter().map(|(_, child, body)| (child.name().to_owned(), body.clone())).collect();
        let mut put = Put { world: self.world(), id, existing: existing.as_ref(), body, hidden, guid, inline: listed };
        (kind.put)(&mut put)?;
        let (body, hidden) = (put.body, put.hidden);
        let changed = self.store(id, kind, body, hidden, existing.as_ref());
        let children_changed = self.put_inline(id, kind, request, &inline)?;
        (kind.after)(self, id.key());
        Ok((existing.is_none(), changed || children_changed))
    }

    fn store(
        &mut self,
        id: &ResourceId,
        kind: &Kind,
        mut body: Value,
        hidden: std::collections::BTreeMap<String, String>,
        existing: Option<&StoredResource>,
    ) -> bool {
        let held = existing.and_then(|existing| existing.body.pointer(kind.etag)).filter(|_| !kind.etag.is_empty());
        if let Some(existing) = existing {
            if let Some(etag) = held {
                set_pointer(&mut body, kind.etag, etag.clone());
            }
            if existing.body == body && existing.hidden == hidden {
                return false;
            }
        }
        let guid = self.guid();
        // Networking's etags are weak validators in quotation marks, those of AKS and Azure DNS are bare.
        let weak = kind.etag == "/etag" && !kind.resource_type.starts_with("Microsoft.Network/privateDnsZones");
        let etag = if weak { format!("W/\"{guid}\"") } else { guid };
        if !kind.etag.is_empty() {
            set_pointer(&mut body, kind.etag, etag.clone().into());
        }
        let sequence = existing.map_or_else(
            || {
                let meta = self.meta();
                meta.next_sequence += 1;
                meta.next_sequence
            },
            |existing| existing.sequence,
        );
        let stored = StoredResource {
            id: id.to_string(),
            resource_type: kind.resource_type.to_owned(),
            body,
            hidden,
            etag,
            sequence,
        };
        self.resources.insert(id.key().to_owned(), stored);
        true
    }

    /// A child that the platform makes by itself: no checks, no operation.
    pub(crate) fn insert_system_child(&mut self, id: &ResourceId, resource_type: &str, properties: Value) {
        let meta = self.meta();
        meta.next_sequence += 1;
        let sequence = meta.next_sequence;
        let body = json!({ "id": id.to_string(), "name": id.name(), "type": resource_type, "properties": properties });
        let child = StoredResource {
            id: id.to_string(),
            resource_type: resource_type.to_owned(),
            body,
            hidden: Default::default(),
            etag: String::new(),
            sequence,
        };
        self.resources.insert(id.key().to_owned(), child);
    }

    fn put_inline(
        &mut self,
        id: &ResourceId,
        kind: &'static Kind,
        request: &Value,
        inline: &[(&'static Inline, ResourceId, Value)],
    ) -> Result<bool, Fault> {
        let mut changed = false;
        for (rule, child, body) in inline {
            let child_kind = providers::find(rule.child_type).ok_or_else(|| providers::unknown_type(child))?;
            changed |= self.put_checked(child, child_kind, body, &Conditions::default())?.1;
        }
        for rule in kind
            .inline
            .iter()
            .filter(|rule| rule.prune && request["properties"].get(rule.field).is_some_and(Value::is_array))
        {
            let gone: Vec<String> = self
                .world()
                .children(id.key(), rule.child_type)
                .iter()
                .map(|child| child.id.to_ascii_lowercase())
                .filter(|key| !inline.iter().any(|(_, listed, _)| listed.key() == key))
                .collect();
            for key in gone {
                self.check_in_use(&key)?;
                self.resources.remove(&key);
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Queues the work outside that follows from a write, and starts its operation.
    fn start_work(&mut self, id: &ResourceId, kind: &Kind, created: bool, changed: bool) -> Option<String> {
        let effect = match kind.outside {
            Outside::Nothing => return None,
            Outside::Cluster => EffectKind::EnsureCluster,
            Outside::Postgres => EffectKind::EnsurePostgres,
        };
        let target = providers::root_key(id);
        let settled = self.resources.get(&target).is_some_and(|root| providers::is_settled(&root.body));
        if !changed && settled {
            return None;
        }
        let operation = self.start_operation(id.key());
        for key in [target.as_str(), id.key()] {
            if let Some(resource) = self.resources.get_mut(key) {
                providers::mark_busy(&mut resource.body, created && key == id.key());
            }
        }
        self.queue_effect(effect, &target, Some(operation.clone()));
        Some(operation)
    }

    /// The resource as a GET gives it: with its inline children.
    pub(crate) fn render(&self, resource: &StoredResource) -> Value {
        let mut body = resource.body.clone();
        let Some(kind) = providers::find(&resource.resource_type) else { return body };
        for rule in kind.inline {
            let children = self.world().children(&resource.id, rule.child_type);
            let view = providers::find(rule.child_type).map(|kind| kind.view);
            let rendered = children.iter().map(|child| {
                let mut entry = rule.render(child);
                if let Some(view) = view.filter(|_| !rule.flat) {
                    view(&self.world(), child, &mut entry);
                }
                entry
            });
            let rendered = rendered.collect();
            body["properties"][rule.field] = Value::Array(rendered);
        }
        (kind.view)(&self.world(), resource, &mut body);
        body
    }

    /// As [`Engine::render`], to a client of one api-version.
    pub(crate) fn render_for(&self, resource: &StoredResource, api_version: &str) -> Value {
        let mut body = self.render(resource);
        if let Some(kind) = providers::find(&resource.resource_type) {
            kind.shown.iter().for_each(|shown| shown.apply(&mut body, api_version));
        }
        body
    }

    /// Deletes a resource or a resource group. `None` means that it is gone already.
    pub(crate) fn delete_key(&mut self, key: &str) -> Result<Option<String>, Fault> {
        let Some(resource) = self.resources.get(key).cloned() else { return Ok(None) };
        let going = |effect: &&crate::state::PendingEffect| {
            effect.target == key && matches!(effect.kind, EffectKind::DeleteCluster | EffectKind::DeletePostgres)
        };
        if let Some(operation) = self.effects.values().find(going).and_then(|effect| effect.operations.first()) {
            return Ok(Some(operation.clone()));
        }
        self.check_locks(key, LockedAction::Delete)?;
        let id = ResourceId::parse(&resource.id)
            .map_err(|error| Fault::bad_request("InvalidResourceId", error.to_string()))?;
        let Some(kind) = providers::find(&resource.resource_type) else {
            return self.delete_group(key).map(Some);
        };
        self.check_in_use(key)?;
        let root = providers::root_key(&id);
        match (kind.outside, root == key) {
            (Outside::Nothing, _) => {
                self.remove_with_children(key);
                Ok(None)
            }
            (outside, true) => {
                let operation = self.start_operation(key);
                if let Some(resource) = self.resources.get_mut(key) {
                    providers::mark_deleting(&mut resource.body);
                }
                let effect =
                    if outside == Outside::Cluster { EffectKind::DeleteCluster } else { EffectKind::DeletePostgres };
                self.queue_effect(effect, key, Some(operation.clone()));
                Ok(Some(operation))
            }
            (outside, false) => {
                self.remove_with_children(key);
                let operation = self.start_operation(key);
                let effect =
                    if outside == Outside::Cluster { EffectKind::EnsureCluster } else { EffectKind::EnsurePostgres };
                self.queue_effect(effect, &root, Some(operation.clone()));
                Ok(Some(operation))
            }
        }
    }

    pub(crate) fn remove_with_children(&mut self, key: &str) {
        let resource_type = self.resources.get(key).map(|resource| resource.resource_type.clone());
        let prefix = format!("{key}/");
        let below: Vec<String> = self.resources.below(&prefix).map(|(key, _)| key.clone()).collect();
        for child in below {
            self.resources.remove(&child);
        }
        self.resources.remove(key);
        if let Some(kind) = resource_type.and_then(|resource_type| providers::find(&resource_type)) {
            (kind.after)(self, key);
        }
    }

    fn check_in_use(&self, key: &str) -> Result<(), Fault> {
        let Some(resource) = self.resources.get(key) else { return Ok(()) };
        match providers::find(&resource.resource_type) {
            Some(kind) => (kind.in_use)(&self.world(), resource),
            None => Ok(()),
        }
    }

    /// Locks apply to what they are on and to everything below.
    pub(crate) fn check_locks(&self, key: &str, action: LockedAction) -> Result<(), Fault> {
        for lock in self.world().of_type("Microsoft.Authorization/locks") {
            let lock_key = lock.id.to_ascii_lowercase();
            let Some((scope, _)) = lock_key.rsplit_once("/providers/microsoft.authorization/locks/") else { continue };
            let covers = key == scope || key.strip_prefix(scope).is_some_and(|rest| rest.starts_with('/'));
            let read_only =
                lock.body["properties"]["level"].as_str().is_some_and(|level| level.eq_ignore_ascii_case("ReadOnly"));
            if covers
                && key != lock_key
                && !key.contains("/providers/microsoft.authorization/locks/")
                && (read_only || action == LockedAction::Delete)
            {
                let verb = if action == LockedAction::Delete { "delete" } else { "write" };
                return Err(Fault::conflict(
                    "ScopeLocked",
                    format!(
                        "The scope '{key}' cannot perform {verb} operation because following scope(s) are locked: '{scope}'. Please remove the lock and try again."
                    ),
                ));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockedAction {
    Write,
    Delete,
}

/// Some clients put a bare etag into quotation marks, as HTTP asks.
pub(crate) fn is_etag(wanted: &str, own: &str) -> bool {
    let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    bare(wanted) == bare(own)
}

fn check_conditions(existing: Option<&StoredResource>, conditions: &Conditions) -> Result<(), Fault> {
    let failed = |message: String| Err(Fault::new(412, "PreconditionFailed", message));
    if let Some(wanted) = &conditions.if_match {
        match existing {
            None => return failed(format!("The resource does not exist, but If-Match '{wanted}' was given.")),
            Some(resource) if wanted != "*" && !is_etag(wanted, &resource.etag) => {
                return failed(format!(
                    "The condition '{wanted}' in the If-Match header was not satisfied: the resource's etag is '{}'.",
                    resource.etag
                ));
            }
            Some(_) => {}
        }
    }
    match (&conditions.if_none_match, existing) {
        (Some(wanted), Some(_)) if wanted == "*" => {
            failed("The resource already exists, but If-None-Match '*' was given.".to_owned())
        }
        _ => Ok(()),
    }
}

/// The request's body with only what a client may say, over what exists where the type merges.
fn prepared(kind: &Kind, request: &Value, existing: Option<&StoredResource>) -> Result<Value, Fault> {
    let Some(request) = request.as_object() else {
        return Err(Fault::invalid_content(
            "The request content was invalid and could not be deserialized: 'the body must be a JSON object'.",
        ));
    };
    if request.get("properties").is_some_and(|properties| !properties.is_object() && !properties.is_null()) {
        return Err(Fault::invalid_content("The request content was invalid: 'properties' must be an object.")
            .target("properties"));
    }
    crate::tags::check_tags(request.get("tags").unwrap_or(&Value::Null))?;
    let mut body = Value::Object(Map::new());
    if let (Some(existing), true) = (existing, kind.merges) {
        body = existing.body.clone();
    }
    for key in KEPT_KEYS {
        match request.get(key) {
            Some(Value::Null) | None => {}
            Some(value) if kind.merges => merge(&mut body[key], value),
            Some(value) => body[key] = value.clone(),
        }
    }
    if let Some(tags) = request.get("tags").filter(|tags| tags.is_object()) {
        body["tags"] = tags.clone();
    }
    for path in kind.read_only {
        restore_path(&mut body, path, existing.map(|existing| &existing.body));
    }
    Ok(body)
}

/// Objects are merged; everything else, arrays too, is replaced.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                merge(old.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// Sets a value below an object that exists, or makes that object.
fn set_pointer(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for part in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    *place = value;
}

/// Puts a read-only property back to what it was, or takes it out.
fn restore_path(body: &mut Value, path: &str, existing: Option<&Value>) {
    let pointer = format!("/{}", path.replace('.', "/"));
    let old = existing.and_then(|existing| existing.pointer(&pointer)).cloned();
    let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", path));
    if let Some(Value::Object(members)) = body.pointer_mut(parent) {
        match old {
            Some(old) => {
                members.insert(name.to_owned(), old);
            }
            None => {
                members.remove(name);
            }
        }
    }
}

type InlineChildren = Vec<(&'static Inline, ResourceId, Value)>;

fn split_inline(id: &ResourceId, kind: &'static Kind, mut body: Value) -> Result<(Value, InlineChildren), Fault> {
    let mut children = Vec::new();
    for rule in kind.inline {
        let Some(Value::Array(items)) =
            body["properties"].as_object_mut().and_then(|properties| properties.remove(rule.field))
        else {
            continue;
        };
        for item in items {
            let Some(name) = item["name"].as_str().filter(|name| providers::is_plain_name(name)) else {
                return Err(Fault::bad_request(
                    "InvalidResourceName",
                    format!("An entry of '{}' has no valid name.", rule.field),
                )
                .target(rule.field));
            };
            let child = id.child(rule.child_type.rsplit('/').next().unwrap_or_default(), name);
            if children.iter().any(|(_, other, _)| *other == child) {
                return Err(Fault::bad_request(
                    "DuplicateResourceName",
                    format!("The name '{name}' occurs twice in '{}'.", rule.field),
                ));
            }
            children.push((rule, child, rule.child_body(item)));
        }
    }
    Ok((body, children))
}

fn check_location(id: &ResourceId, kind: &Kind, body: &Value, existing: Option<&StoredResource>) -> Result<(), Fault> {
    if kind.placement != Placement::Regional && kind.placement != Placement::Global {
        return Ok(());
    }
    let Some(location) = body["location"].as_str().filter(|location| !location.is_empty()) else {
        return Err(Fault::bad_request("LocationRequired", "The location property is required for this definition."));
    };
    let location = providers::normalized_location(location);
    let known = if kind.placement == Placement::Global {
        location == "global"
    } else {
        providers::LOCATIONS.iter().any(|(name, _)| *name == location)
    };
    if !known {
        return Err(Fault::bad_request(
            "LocationNotAvailableForResourceType",
            format!("The provided location '{location}' is not available for resource type '{}'.", kind.resource_type),
        ));
    }
    match existing.and_then(|existing| existing.body["location"].as_str()) {
        Some(old) if providers::normalized_location(old) != location => Err(Fault::conflict(
            "InvalidResourceLocation",
            format!(
                "The resource '{}' already exists in location '{old}' in resource group '{}'. A resource with the same name cannot be created in location '{location}'. Please select a new resource name.",
                id.name(),
                id.resource_group().unwrap_or_default()
            ),
        )),
        _ => Ok(()),
    }
}
