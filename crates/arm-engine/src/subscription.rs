//! The subscription, its regions, providers and resource groups.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::deletion::Deletions;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, LOCATIONS, Placement};
use crate::request::{Method, Request, Response};
use crate::resources::LockedAction;
use crate::router::Denied;
use crate::state::{GroupDeletion, StoredResource};

pub(crate) const GROUP_TYPE: &str = "Microsoft.Resources/resourceGroups";
pub(crate) const SUBSCRIPTION_NAME: &str = "marea";

/// Namespaces without resource types of their own here.
const OTHER_NAMESPACES: [&str; 8] = [
    "Microsoft.Compute",
    "Microsoft.ContainerRegistry",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
    "Microsoft.Resources",
    "Microsoft.Storage",
];

impl Engine {
    pub(crate) fn subscription_body(&self) -> Value {
        let subscription = &self.settings.subscription_id;
        json!({
            "id": format!("/subscriptions/{subscription}"),
            "subscriptionId": subscription,
            "tenantId": self.settings.tenant_id,
            "displayName": SUBSCRIPTION_NAME,
            "state": "Enabled",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionPolicies": { "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off" },
        })
    }

    pub(crate) fn tenant_body(&self) -> Value {
        let tenant = &self.settings.tenant_id;
        json!({ "id": format!("/tenants/{tenant}"), "tenantId": tenant, "displayName": SUBSCRIPTION_NAME, "tenantCategory": "Home" })
    }

    pub(crate) fn locations(&self) -> Vec<Value> {
        let subscription = &self.settings.subscription_id;
        let location = |(name, display): &(&str, &str)| {
            json!({
                "id": format!("/subscriptions/{subscription}/locations/{name}"),
                "name": name, "type": "Region", "displayName": display, "regionalDisplayName": display,
                "metadata": { "regionType": "Physical", "regionCategory": "Recommended" },
            })
        };
        LOCATIONS.iter().map(location).collect()
    }

    fn namespaces() -> Vec<&'static str> {
        let mut names: Vec<&str> =
            providers::all().filter_map(|kind| kind.resource_type.split('/').next()).chain(OTHER_NAMESPACES).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn provider_body(&self, namespace: &str) -> Value {
        let types: Vec<Value> = providers::all()
            .filter_map(|kind| kind.resource_type.split_once('/').filter(|(of, _)| *of == namespace).map(|(_, types)| (kind, types)))
            .map(|(kind, types)| {
                let locations: Vec<&str> = if kind.placement == Placement::Global { vec!["global"] } else { LOCATIONS.iter().map(|(_, display)| *display).collect() };
                let mut shown = json!({ "resourceType": types, "locations": locations, "apiVersions": versions_of(kind), "defaultApiVersion": versions_of(kind)[0], "capabilities": "SupportsTags, SupportsLocation" });
                if types == "publicIPAddresses" {
                    shown["zoneMappings"] = LOCATIONS.iter().map(|(_, display)| json!({ "location": display, "zones": ["1", "2", "3"] })).collect();
                    shown["apiProfiles"] = json!([{ "profileVersion": "2020-09-01-hybrid", "apiVersion": "2018-11-01" }]);
                }
                shown
            })
            .collect();
        let state = if self.is_registered(namespace) { "Registered" } else { "NotRegistered" };
        let mut body = json!({
            "id": format!("/subscriptions/{}/providers/{namespace}", self.settings.subscription_id),
            "namespace": namespace, "registrationState": state, "registrationPolicy": "RegistrationRequired", "resourceTypes": types,
        });
        if namespace == "Microsoft.Network" {
            // The provider's own application in every directory.
            body["authorizations"] = json!([{ "applicationId": "2cf9eb86-36b5-49dc-86ae-9a63135dfa8c", "roleDefinitionId": "13ba9ab4-19f0-4804-adc4-14ece36cc7a1" }]);
        }
        body
    }

    pub(crate) fn providers(&self) -> Vec<Value> {
        Self::namespaces().into_iter().map(|namespace| self.provider_body(namespace)).collect()
    }

    fn known_namespace(namespace: &str) -> Result<&'static str, Fault> {
        Self::namespaces().into_iter().find(|known| known.eq_ignore_ascii_case(namespace)).ok_or_else(|| {
            Fault::new(404, "InvalidResourceNamespace", format!("The resource namespace '{namespace}' is invalid."))
        })
    }

    pub(crate) fn provider(&self, namespace: &str) -> Result<Value, Fault> {
        Self::known_namespace(namespace).map(|known| self.provider_body(known))
    }

    pub(crate) fn register(&mut self, namespace: &str, register: bool) -> Result<Response, Fault> {
        let known = Self::known_namespace(namespace)?;
        let key = known.to_ascii_lowercase();
        let unregistered = &mut self.meta().unregistered;
        if register {
            unregistered.remove(&key);
        } else {
            unregistered.insert(key);
        }
        Ok(Response::json(200, self.provider_body(known)))
    }

    pub(crate) fn list_groups(&self, request: &Request) -> Result<Response, Fault> {
        let wanted_tag = request.query("$filter").and_then(|filter| {
            let name = filter.split("tagName eq '").nth(1)?.split('\'').next()?.to_owned();
            Some((
                name,
                filter.split("tagValue eq '").nth(1).and_then(|rest| rest.split('\'').next()).map(str::to_owned),
            ))
        });
        let groups = self.world().of_type(GROUP_TYPE).into_iter().map(|group| group.body.clone());
        let tagged = groups.filter(|group| match &wanted_tag {
            None => true,
            Some((name, value)) => {
                group["tags"].get(name).is_some_and(|tag| value.as_ref().is_none_or(|value| tag == value.as_str()))
            }
        });
        self.list_page(tagged.collect(), request)
    }

    pub(crate) fn group_request(&mut self, request: &Request, path: &str) -> Result<Response, Fault> {
        let id =
            ResourceId::parse(path).map_err(|error| Fault::bad_request("InvalidResourceGroup", error.to_string()))?;
        let existing = self.resources.get(id.key()).map(|group| group.body.clone());
        match (request.method, existing) {
            (Method::Head, existing) => Ok(Response::empty(if existing.is_some() { 204 } else { 404 })),
            (Method::Put, existing) => {
                self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
                let body = self.put_group(&id, &request.json()?)?;
                Ok(Response::json(if existing.is_some() { 200 } else { 201 }, body))
            }
            (_, None) => Err(Fault::group_not_found(id.name())),
            (Method::Get, Some(body)) => Ok(Response::json(200, body)),
            (Method::Patch, Some(mut body)) => {
                self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
                let patch = request.json()?;
                for key in ["tags", "managedBy"] {
                    if let Some(value) = patch.get(key) {
                        body[key] = value.clone();
                    }
                }
                self.put_group(&id, &body).map(|body| Response::json(200, body))
            }
            (Method::Delete, Some(_)) => {
                self.check_denied(id.key(), Denied::Delete, &request.principal.object_id)?;
                let operation = self.delete_group(id.key())?;
                let location = format!(
                    "{}/subscriptions/{}/operationresults/{operation}?api-version=2025-04-01",
                    request.base_url, self.settings.subscription_id
                );
                Ok(Response::empty(202).header("Location", location).poll_soon())
            }
            (Method::Post, Some(_)) => Err(Fault::not_allowed()),
        }
    }

    /// `POST …/exportTemplate`: what is in the group, as a template that makes it again.
    pub(crate) fn export_group(&self, request: &Request, group: &str) -> Result<Response, Fault> {
        let id =
            ResourceId::parse(group).map_err(|error| Fault::bad_request("InvalidResourceGroup", error.to_string()))?;
        if !self.resources.contains(id.key()) {
            return Err(Fault::group_not_found(id.name()));
        }
        let body = request.json_or_empty()?;
        let wanted: Vec<String> = body["resources"]
            .as_array()
            .map(|ids| ids.iter().filter_map(|id| id.as_str().map(str::to_ascii_lowercase)).collect())
            .unwrap_or_else(|| vec!["*".to_owned()]);
        let prefix = format!("{}/", id.key());
        let mut inside: Vec<&StoredResource> = self.resources.below(&prefix).map(|(_, resource)| resource).collect();
        inside.sort_by_key(|resource| resource.sequence);
        let chosen = inside
            .into_iter()
            .filter(|resource| wanted.iter().any(|wanted| wanted == "*" || resource.id.eq_ignore_ascii_case(wanted)));
        let resources: Vec<Value> = chosen.filter_map(|resource| self.exported(resource)).collect();
        let template = json!({
            "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0", "parameters": {}, "variables": {}, "resources": resources,
        });
        Ok(Response::json(200, json!({ "template": template })))
    }

    fn exported(&self, resource: &StoredResource) -> Option<Value> {
        let kind = providers::find(&resource.resource_type).filter(|kind| kind.placement != Placement::Extension)?;
        // Children that the parent's body carries are exported with it.
        let carried = providers::all().flat_map(|kind| kind.inline).any(|rule| rule.child_type == kind.resource_type);
        if carried {
            return None;
        }
        let id = ResourceId::parse(&resource.id).ok()?;
        let mut body = crate::deployment::comparable(self, &resource.id, &Default::default());
        for key in ["id", "name", "type", "identity"] {
            body.as_object_mut()?.remove(key);
        }
        let mut exported =
            json!({ "type": kind.resource_type, "apiVersion": versions_of(kind)[0], "name": id.template_name() });
        if let Some(kind) = resource.body["identity"]["type"].as_str() {
            exported["identity"] = json!({ "type": kind });
        }
        crate::resources::merge(&mut exported, &body);
        Some(exported)
    }

    pub(crate) fn put_group(&mut self, id: &ResourceId, request: &Value) -> Result<Value, Fault> {
        let name = id.name();
        let valid = name.len() <= 90
            && !name.ends_with('.')
            && name.chars().all(|c| c.is_alphanumeric() || "-_.()".contains(c));
        if !valid {
            return Err(Fault::bad_request(
                "InvalidResourceGroup",
                format!(
                    "The provided resource group name '{name}' has these invalid characters or is longer than 90: letters, digits, '-', '_', '.', '(' and ')' are allowed."
                ),
            ));
        }
        crate::tags::check_tags(&request["tags"])?;
        let Some(location) = request["location"].as_str().map(providers::normalized_location) else {
            return Err(Fault::bad_request(
                "LocationRequired",
                "The location property is required for this definition.",
            ));
        };
        if !LOCATIONS.iter().any(|(known, _)| *known == location) {
            return Err(Fault::bad_request(
                "LocationNotAvailableForResourceGroup",
                format!("The provided location '{location}' is not available for resource group."),
            ));
        }
        if self.group_deletions.contains(id.key()) {
            return Err(Fault::conflict(
                "ResourceGroupBeingDeleted",
                format!("The resource group '{name}' is in deprovisioning state and cannot perform this operation."),
            ));
        }
        self.check_locks(id.key(), LockedAction::Write)?;
        let existing = self.resources.get(id.key()).cloned();
        if let Some(old) =
            existing.as_ref().and_then(|existing| existing.body["location"].as_str()).filter(|old| *old != location)
        {
            return Err(Fault::conflict(
                "InvalidResourceGroupLocation",
                format!(
                    "Invalid resource group location '{location}'. The Resource group already exists in location '{old}'."
                ),
            ));
        }
        let text = existing.as_ref().map_or_else(|| id.to_string(), |existing| existing.id.clone());
        let mut body = json!({ "id": text, "name": existing.as_ref().map_or(json!(name), |existing| existing.body["name"].clone()), "type": GROUP_TYPE, "location": location });
        for key in ["tags", "managedBy"] {
            if let Some(value) = request.get(key).filter(|value| !value.is_null()) {
                body[key] = value.clone();
            }
        }
        body["properties"] = json!({ "provisioningState": "Succeeded" });
        if existing.as_ref().is_none_or(|existing| existing.body != body) {
            let meta = self.meta();
            meta.next_sequence += 1;
            let sequence = existing.map_or(meta.next_sequence, |existing| existing.sequence);
            let group = StoredResource {
                id: text,
                resource_type: GROUP_TYPE.to_owned(),
                body: body.clone(),
                hidden: Default::default(),
                etag: String::new(),
                sequence,
            };
            self.resources.insert(id.key().to_owned(), group);
        }
        Ok(body)
    }

    /// Starts the deletion of a group with everything in it, or joins the one that is under way.
    pub(crate) fn delete_group(&mut self, key: &str) -> Result<String, Fault> {
        if let Some(deletion) = self.group_deletions.get(key) {
            return Ok(deletion.operation.clone());
        }
        let prefix = format!("{key}/");
        let inside: Vec<String> = self.resources.below(&prefix).map(|(inside, _)| inside.clone()).collect();
        for inside in inside.iter().map(String::as_str).chain([key]) {
            self.check_locks(inside, LockedAction::Delete)?;
        }
        // Children go with their parents, but links of zones have to go before their zone.
        let is_root = |key: &String| {
            let kind = self.resources.get(key).and_then(|resource| providers::find(&resource.resource_type));
            kind.is_some_and(|kind| kind.placement != Placement::Child)
        };
        let roots: Vec<String> = inside.into_iter().filter(is_root).collect();
        let deletions = Deletions::of(roots);
        let operation = self.start_operation(key);
        if let Some(group) = self.resources.get_mut(key) {
            group.body["properties"]["provisioningState"] = "Deleting".into();
        }
        self.group_deletions.insert(key.to_owned(), GroupDeletion { operation: operation.clone(), deletions });
        Ok(operation)
    }
}

fn versions_of(kind: &providers::Kind) -> Vec<&'static str> {
    let range = kind.versions.0..=kind.versions.1;
    API_VERSIONS.into_iter().filter(|version| range.contains(version)).collect()
}

/// What clients that look for a version to use are told; the ranges that are accepted are wider.
const API_VERSIONS: [&str; 8] =
    ["2026-08-01", "2026-05-01", "2025-09-01", "2025-08-01", "2025-04-01", "2024-11-30", "2024-06-01", "2022-04-01"];
