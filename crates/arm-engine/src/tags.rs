//! Tags: `…/providers/Microsoft.Resources/tags/default` on any scope, and the subscription's `tagNames`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::request::{Method, Request, Response};
use crate::resources::LockedAction;
use crate::router::Denied;

/// Azure's limit of tags on one resource, group or subscription.
pub(crate) const MOST_TAGS: usize = 50;

/// What any write with tags must hold.
pub(crate) fn check_tags(tags: &Value) -> Result<(), Fault> {
    if tags.is_null() {
        return Ok(());
    }
    let invalid = |code: &str, message: String| Err(Fault::bad_request(code, message).target("tags"));
    let Some(tags) = tags.as_object() else {
        return invalid(
            "InvalidRequestContent",
            "The request content was invalid: 'tags' must be an object.".to_owned(),
        );
    };
    if tags.len() > MOST_TAGS {
        return invalid(
            "TooManyTags",
            format!("The number of tags '{}' is greater than the maximum of {MOST_TAGS}.", tags.len()),
        );
    }
    for (name, value) in tags {
        let Some(text) = value.as_str() else {
            return invalid("InvalidTagValue", format!("The value of the tag '{name}' is not a string."));
        };
        if name.is_empty() || name.chars().count() > 512 || name.contains(['<', '>', '%', '&', '\\', '?', '/']) {
            return invalid(
                "InvalidTagNameCharacters",
                format!(
                    "The tag name '{name}' has reserved characters ('<,>,%,&,\\,?,/') or is not of 1 to 512 characters."
                ),
            );
        }
        if text.chars().count() > 256 {
            return invalid("InvalidTagValue", format!("The value of the tag '{name}' is longer than 256 characters."));
        }
    }
    Ok(())
}

impl Engine {
    /// `scope` is the path before `/providers/Microsoft.Resources/tags/default`.
    pub(crate) fn tags_request(&mut self, request: &Request, scope: &str) -> Result<Response, Fault> {
        let key = scope.to_ascii_lowercase();
        let is_subscription = key.matches('/').count() == 2;
        if !is_subscription && !self.resources.contains(&key) {
            return Err(Fault::new(404, "ResourceNotFound", format!("The resource '{scope}' could not be found.")));
        }
        let old = self.tags_of(&key);
        let new = match request.method {
            Method::Get => return Ok(Response::json(200, tags_body(scope, &old))),
            Method::Put => wanted(&request.json()?)?,
            Method::Patch => patched(&old, &request.json()?)?,
            Method::Delete => Map::new(),
            Method::Post | Method::Head => return Err(Fault::not_allowed()),
        };
        check_tags(&Value::Object(new.clone()))?;
        self.check_locks(&key, LockedAction::Write)?;
        self.check_denied(&key, Denied::Write, &request.principal.object_id)?;
        self.set_tags(&key, new.clone(), is_subscription);
        Ok(if request.method == Method::Delete {
            Response::empty(200)
        } else {
            Response::json(200, tags_body(scope, &new))
        })
    }

    fn tags_of(&self, key: &str) -> Map<String, Value> {
        match self.resources.get(key) {
            Some(resource) => resource.body["tags"].as_object().cloned().unwrap_or_default(),
            None => self.meta_view().map(|meta| meta.subscription_tags.clone()).unwrap_or_default(),
        }
    }

    fn set_tags(&mut self, key: &str, tags: Map<String, Value>, is_subscription: bool) {
        if is_subscription {
            self.meta().subscription_tags = tags;
        } else if let Some(resource) = self.resources.get_mut(key) {
            if tags.is_empty() {
                if let Some(members) = resource.body.as_object_mut() {
                    members.remove("tags");
                }
            } else {
                resource.body["tags"] = Value::Object(tags);
            }
        }
    }

    /// Names that were made on purpose, and those in use with their values' counts.
    fn tag_names(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut names: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        if let Some(meta) = self.meta_view() {
            for (name, values) in &meta.tag_names {
                names.insert(name.clone(), values.iter().map(|value| (value.clone(), 0)).collect());
            }
        }
        for resource in self.resources.values() {
            for (name, value) in resource.body["tags"].as_object().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default().to_owned();
                *names.entry(name.clone()).or_default().entry(value).or_default() += 1;
            }
        }
        names
    }

    fn tag_name_body(&self, name: &str, values: &BTreeMap<String, u64>) -> Value {
        let base = format!("/subscriptions/{}/tagNames/{name}", self.settings.subscription_id);
        let count = |number: u64| json!({ "type": if number == 0 { "Predefined" } else { "Total" }, "value": number });
        let values_shown: Vec<Value> = values
            .iter()
            .map(|(value, number)| json!({ "id": format!("{base}/tagValues/{value}"), "tagValue": value, "count": count(*number) }))
            .collect();
        json!({ "id": base, "tagName": name, "count": count(values.values().sum()), "values": values_shown })
    }

    /// `rest` follows `/subscriptions/{id}/tagNames`.
    pub(crate) fn tag_names_request(&mut self, request: &Request, rest: &[&str]) -> Result<Response, Fault> {
        match (request.method, rest) {
            (Method::Get, []) => {
                let items = self.tag_names().iter().map(|(name, values)| self.tag_name_body(name, values)).collect();
                self.list_page(items, request)
            }
            (Method::Put, [name]) => {
                let created = self.meta().tag_names.insert((*name).to_owned(), Default::default()).is_none();
                let values = self.tag_names().remove(*name).unwrap_or_default();
                Ok(Response::json(if created { 201 } else { 200 }, self.tag_name_body(name, &values)))
            }
            (Method::Delete, [name]) => {
                if self.tag_names().get(*name).is_some_and(|values| values.values().any(|number| *number > 0)) {
                    return Err(Fault::conflict(
                        "TagNameInUse",
                        format!("The tag name '{name}' is in use and cannot be deleted."),
                    ));
                }
                let existed = self.meta().tag_names.remove(*name).is_some();
                Ok(Response::empty(if existed { 200 } else { 204 }))
            }
            (Method::Put, [name, values, value]) if values.eq_ignore_ascii_case("tagvalues") => {
                let Some(known) = self.meta().tag_names.get_mut(*name) else {
                    return Err(Fault::new(404, "TagNameNotFound", format!("The tag name '{name}' was not found.")));
                };
                let created = known.insert((*value).to_owned());
                let id = format!("/subscriptions/{}/tagNames/{name}/tagValues/{value}", self.settings.subscription_id);
                let body = json!({ "id": id, "tagValue": value, "count": { "type": "Predefined", "value": 0 } });
                Ok(Response::json(if created { 201 } else { 200 }, body))
            }
            (Method::Delete, [name, values, value]) if values.eq_ignore_ascii_case("tagvalues") => {
                let removed = self.meta().tag_names.get_mut(*name).is_some_and(|known| known.remove(*value));
                Ok(Response::empty(if removed { 200 } else { 204 }))
            }
            _ => Err(Fault::not_allowed()),
        }
    }
}

fn tags_body(scope: &str, tags: &Map<String, Value>) -> Value {
    json!({
        "id": format!("{scope}/providers/Microsoft.Resources/tags/default"), "name": "default", "type": "Microsoft.Resources/tags",
        "properties": { "tags": tags },
    })
}

fn wanted(body: &Value) -> Result<Map<String, Value>, Fault> {
    body["properties"]["tags"].as_object().cloned().ok_or_else(|| {
        Fault::invalid_content("The request content was invalid: 'properties.tags' must be an object.")
            .target("properties.tags")
    })
}

fn patched(old: &Map<String, Value>, body: &Value) -> Result<Map<String, Value>, Fault> {
    let given = wanted(body)?;
    let mut new = old.clone();
    match body["operation"].as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
        "replace" => return Ok(given),
        "merge" => new.extend(given),
        // By name alone where no value is given, else only where the value is the same.
        "delete" => new.retain(|name, value| given.get(name).is_none_or(|given| given != value && given != "")),
        other => {
            return Err(Fault::bad_request(
                "InvalidTagsPatchOperation",
                format!("The tags patch operation '{other}' is not one of: Merge, Replace, Delete."),
            ));
        }
    }
    Ok(new)
}
