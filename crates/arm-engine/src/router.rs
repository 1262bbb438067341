//! Path and method → handler.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers;
use crate::rbac::{Access, is_within};
use crate::request::{Method, Request, Response};

const ZONE_TYPE: &str = "Microsoft.Network/privateDnsZones";

/// First and last api-version of `Microsoft.Resources`, which serves groups, deployments, stacks, tags and providers.
const RESOURCES_VERSIONS: (&str, &str) = ("2014-04-01", "2026-12-31");

impl Engine {
    pub(crate) fn route(&mut self, request: &Request) -> Result<Response, Fault> {
        // Clients that build paths from parts leave empty ones: `/providers/Microsoft.Network//virtualNetworks/…`.
        let path =
            format!("/{}", request.path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
        // The oldest form of a deployment's operations, which Azure's Python client still asks for.
        let path = match path.to_ascii_lowercase().split('/').collect::<Vec<_>>().as_slice() {
            ["", "subscriptions", _, "resourcegroups", _, "deployments", ..] => {
                let parts: Vec<&str> = path.splitn(6, '/').collect();
                format!("{}/providers/Microsoft.Resources/{}", parts[..5].join("/"), parts[5])
            }
            _ => path,
        };
        let path = path.as_str();
        let lower = path.to_ascii_lowercase();
        let segments: Vec<&str> = lower.split('/').skip(1).collect();
        self.check_envelope(request, &segments)?;
        let Some(access) = Access::of(request, path) else { return self.dispatch(request, path, &segments) };
        if !self.sees_subscription(&request.principal.object_id) && segments.len() == 2 {
            return Err(self.subscription_not_found(segments[1]));
        }
        let whole = match self.check_access(&request.principal.object_id, &request.principal.app_id, &access) {
            Ok(whole) => whole,
            Err(fault) => {
                self.log_request(request, &access, &fault.clone().into());
                return Err(fault);
            }
        };
        let result = self.dispatch(request, path, &segments).map(|mut response| {
            if !whole {
                self.keep_readable(&mut response, &request.principal.object_id);
            }
            response
        });
        match &result {
            Ok(response) => self.log_request(request, &access, response),
            Err(fault) => self.log_request(request, &access, &fault.clone().into()),
        }
        result
    }

    fn keep_readable(&self, response: &mut Response, principal: &str) {
        let Some(items) = response.body.as_mut().and_then(|body| body["value"].as_array_mut()) else { return };
        items.retain(|item| {
            let (id, kind) = (item["id"].as_str().unwrap_or_default(), item["type"].as_str().unwrap_or_default());
            let kind = if kind == crate::subscription::GROUP_TYPE {
                "Microsoft.Resources/subscriptions/resourceGroups"
            } else {
                kind
            };
            self.is_allowed(principal, &format!("{kind}/read"), id)
        });
    }

    fn dispatch(&mut self, request: &Request, path: &str, segments: &[&str]) -> Result<Response, Fault> {
        match (request.method, segments) {
            (Method::Get, ["subscriptions"]) => {
                let shown = self.sees_subscription(&request.principal.object_id).then(|| self.subscription_body());
                self.list_page(shown.into_iter().collect(), request)
            }
            (Method::Get, ["tenants"]) => self.list_page(vec![self.tenant_body()], request),
            (Method::Get, ["subscriptions", _]) => Ok(Response::json(200, self.subscription_body())),
            (Method::Get, ["subscriptions", _, "locations"]) => self.list_page(self.locations(), request),
            (_, ["subscriptions", _, "tagnames", ..]) => {
                let rest: Vec<&str> = path.split('/').skip(4).collect();
                self.tag_names_request(request, &rest)
            }
            (_, ["subscriptions", _, "providers", _, "locations", _, kind, guid]) if is_status_path(kind) => {
                self.operation_status(guid, request)
            }
            (_, ["subscriptions", _, "providers", _, "locations", _, "operationresults", guid]) => {
                self.operation_result(guid, request)
            }
            (_, ["subscriptions", _, "operationresults", guid]) => self.operation_result(guid, request),
            (Method::Get, ["subscriptions", _, "resourcegroups", _, "providers", "microsoft.network", kind, guid])
                if *kind == PRIVATE_DNS_STATUS =>
            {
                self.operation_status(guid, request)
            }
            (
                Method::Get,
                [
                    "subscriptions",
                    _,
                    "resourcegroups",
                    _,
                    "providers",
                    "microsoft.network",
                    "privatednsoperationresults",
                    guid,
                ],
            ) => self.operation_result(guid, request),
            (_, ["subscriptions", _, "providers"] | ["providers"]) => self.list_page(self.providers(), request),
            (_, ["providers", ..]) | (_, ["subscriptions", _, "providers", _]) => {
                self.namespace_request(request, segments)
            }
            (
                _,
                [
                    "subscriptions",
                    _,
                    "providers",
                    _,
                    "resourcetypes"
                    | "providerpermissions"
                    | "register"
                    | "unregister"
                    | "locations"
                    | "checkzonepeers"
                    | "checknameavailability",
                    ..,
                ],
            ) => self.namespace_request(request, segments),
            (
                Method::Get,
                ["subscriptions", _, "resources"] | ["subscriptions", _, "resourcegroups", _, "resources"],
            ) => self.list_resources(request, path),
            (Method::Get, ["subscriptions", _, "resourcegroups"]) => self.list_groups(request),
            (_, ["subscriptions", _, "resourcegroups", _]) => self.group_request(request, path),
            (Method::Post, ["subscriptions", _, "resourcegroups", _, "exporttemplate"]) => {
                self.export_group(request, path.rsplit_once('/').map_or(path, |(group, _)| group))
            }
            (Method::Post, ["subscriptions", _, "resourcegroups", _, "moveresources" | "validatemoveresources"]) => {
                Err(Fault::not_offered("Moving resources between resource groups"))
            }
            (_, [scope @ .., "providers", "microsoft.resources", "tags", "default"]) if !scope.is_empty() => {
                self.tags_request(request, &path[..path.len() - "/providers/Microsoft.Resources/tags/default".len()])
            }
            (_, ["subscriptions", ..]) => {
                let result = self.provider_request(request, path);
                self.in_own_form(path, result)
            }
            _ => Err(Fault::new(404, "NotFound", format!("There is nothing at '{path}'."))),
        }
    }

    /// Azure DNS, asked for a record set of a zone that is there, writes its refusals without the envelope of everybody else.
    fn in_own_form(&self, path: &str, result: Result<Response, Fault>) -> Result<Response, Fault> {
        let Err(fault) = &result else { return result };
        let Ok(id) = ResourceId::parse(path) else { return result };
        let is_record = id.parent().is_some_and(|zone| zone.is_type(ZONE_TYPE) && self.resources.contains(zone.key()))
            && !id.is_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks");
        if is_record && [400, 404, 412].contains(&fault.status) {
            let code = if fault.status == 404 { "NotFound" } else { fault.body.code.as_str() };
            return Ok(Response::json(fault.status, json!({ "code": code, "message": fault.body.message })));
        }
        result
    }

    fn subscription_not_found(&self, subscription: &str) -> Fault {
        Fault::new(404, "SubscriptionNotFound", format!("The subscription '{subscription}' could not be found."))
    }

    fn check_envelope(&self, request: &Request, segments: &[&str]) -> Result<(), Fault> {
        let Some(version) = request.query("api-version").filter(|version| !version.is_empty()) else {
            return Err(Fault::bad_request(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            ));
        };
        let own =
            matches!(segments, ["subscriptions", _] | ["subscriptions", _, "resourcegroups", ..] | ["subscriptions"])
                && !segments.contains(&"providers")
                || segments.contains(&"microsoft.resources");
        let unknown =
            own && !(RESOURCES_VERSIONS.0..=RESOURCES_VERSIONS.1).contains(&version.get(..10).unwrap_or_default());
        if !providers::is_version(version) || unknown {
            return Err(Fault::bad_request(
                "InvalidApiVersionParameter",
                format!(
                    "The api-version '{version}' is invalid. The supported versions are '{}'.",
                    providers::RESOURCES_API_VERSIONS.join(",")
                ),
            ));
        }
        match segments {
            ["subscriptions", subscription, ..]
                if !subscription.eq_ignore_ascii_case(&self.settings.subscription_id) =>
            {
                let guid = subscription.len() == 36
                    && subscription.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
                if guid {
                    return Err(self.subscription_not_found(subscription));
                }
                Err(Fault::bad_request(
                    "InvalidSubscriptionId",
                    format!("The provided subscription identifier '{subscription}' is malformed or invalid."),
                ))
            }
            _ => Ok(()),
        }
    }

    fn provider_request(&mut self, request: &Request, path: &str) -> Result<Response, Fault> {
        // A path with a type but no name, or an action, has an odd number of segments after the namespace.
        let (base, last) = path.rsplit_once('/').unwrap_or((path, ""));
        let own = match ResourceId::parse(path) {
            Ok(id) => Some(id).filter(|id| id.namespace().is_some()),
            Err(_) => None,
        };
        let named = own.clone().or_else(|| ResourceId::parse(base).ok());
        let namespace =
            path.to_ascii_lowercase().rsplit_once("/providers/").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        if namespace.starts_with("microsoft.resources/deploymentstackswhatifresults") {
            return self.stack_what_if_request(request, path);
        }
        if namespace.starts_with("microsoft.resources/deploymentstacks") {
            return self.stack_request(request, path);
        }
        if namespace.starts_with("microsoft.resources/deployments") {
            return self.deployment_request(request, path);
        }
        match (request.method, own, named) {
            (Method::Get, Some(id), _) => match self.computed_item(&id) {
                Some(found) => found,
                None => match self.computed_list(path, request) {
                    // `eventtypes/management/values` and the like have a name where others have a type.
                    Some(found) => found,
                    None => self.get_resource(&id, request),
                },
            },
            (Method::Head, Some(id), _) => {
                providers::known_kind(&id)?;
                Ok(Response::empty(if self.resources.contains(id.key()) { 204 } else { 404 }))
            }
            (Method::Put, Some(id), _) => self.put_request(&id, request),
            (Method::Patch, Some(id), _) => self.patch_request(&id, request),
            (Method::Delete, Some(id), _) => self.delete_request(&id, request),
            (Method::Post, None, Some(id)) if id.namespace().is_some() => self.action(&id, last, request),
            (Method::Get, None, _) => match self.computed_list(path, request) {
                Some(found) => found,
                None => self.list_type(path, request),
            },
            (Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Head, ..) => {
                Err(Fault::not_allowed())
            }
        }
    }
    pub(crate) fn check_registered(&self, id: &ResourceId) -> Result<(), Fault> {
        match id.namespace() {
            Some(namespace) if !self.is_registered(namespace) => Err(Fault::conflict(
                "MissingSubscriptionRegistration",
                format!(
                    "The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to register subscriptions."
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Deny settings of deployment stacks, which bind everybody but the stack.
    pub(crate) fn check_denied(&self, key: &str, action: Denied, principal: &str) -> Result<(), Fault> {
        for stack in self.stacks.values() {
            let deny = &stack.settings["denySettings"];
            let applies = match deny["mode"].as_str().unwrap_or("none").to_ascii_lowercase().as_str() {
                "denydelete" => action == Denied::Delete,
                "denywriteanddelete" => true,
                _ => false,
            };
            let excluded =
                deny["excludedPrincipals"].as_array().is_some_and(|list| list.iter().any(|entry| entry == principal));
            let children = deny["applyToChildScopes"] == true;
            let covers = |managed: &String| {
                is_within(key, managed) && (children || key.len() == managed.len())
                    // Deleting what holds a resource deletes the resource.
                    || action == Denied::Delete && is_within(managed, key)
            };
            let verb = if action == Denied::Delete { "delete" } else { "write" };
            let named = ResourceId::parse(key).map(|id| format!("{}/{verb}", id.resource_type())).unwrap_or_default();
            let allowed = deny["excludedActions"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let excluded = excluded || allowed.into_iter().any(|pattern| crate::rbac::matches(pattern, &named));
            if applies && !excluded && stack.managed.iter().any(covers) {
                return Err(Fault::new(
                    403,
                    "DenyAssignmentAuthorizationFailed",
                    format!(
                        "The client '{principal}' has permission to perform the action on scope '{key}'; however, the access is denied because of the deny assignment of the deployment stack '{}'.",
                        stack.id
                    ),
                ));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Write,
    Delete,
}

/// Whether a path asks for the state of a long-running operation.
pub fn is_poll(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    match parts.as_slice() {
        [.., kind, _] => {
            *kind == "operationresults"
                || *kind == PRIVATE_DNS_STATUS
                || is_status_path(kind) && lower.contains("/providers/")
        }
        _ => false,
    }
}

const PRIVATE_DNS_STATUS: &str = "privatednsoperationstatuses";

fn is_status_path(kind: &str) -> bool {
    matches!(
        kind,
        "operations"
            | "operationstatuses"
            | "azureasyncoperation"
            | "deploymentstackoperationstatus"
            | "operationstatus"
    )
}
