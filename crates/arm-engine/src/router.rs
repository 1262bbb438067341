//! Path and method → handler.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, Placement};
use crate::request::{Method, Request, Response};
use crate::resources::{Conditions, Written, merge};

/// Items in one page of a list.
const PAGE: usize = 100;

impl Engine {
    pub(crate) fn route(&mut self, request: &Request) -> Result<Response, Fault> {
        let path = request.path.trim_end_matches('/');
        let lower = path.to_ascii_lowercase();
        let segments: Vec<&str> = lower.split('/').skip(1).collect();
        self.check_envelope(request, &segments)?;
        match (request.method, segments.as_slice()) {
            (Method::Get, ["subscriptions"]) => self.list_page(vec![self.subscription_body()], request),
            (Method::Get, ["tenants"]) => self.list_page(vec![self.tenant_body()], request),
            (Method::Get, ["subscriptions", _]) => Ok(Response::json(200, self.subscription_body())),
            (Method::Get, ["subscriptions", _, "locations"]) => self.list_page(self.locations(), request),
            (Method::Get, ["subscriptions", _, "providers"]) => self.list_page(self.providers(), request),
            (Method::Get, ["subscriptions", _, "providers", namespace]) => {
                self.provider(namespace).map(|body| Response::json(200, body))
            }
            (Method::Post, ["subscriptions", _, "providers", namespace, verb @ ("register" | "unregister")]) => {
                self.register(namespace, *verb == "register")
            }
            (_, ["subscriptions", _, "providers", _, "locations", _, kind, guid]) if is_status_path(kind) => {
                self.operation_status(guid, request)
            }
            (_, ["subscriptions", _, "providers", _, "locations", _, "operationresults", guid]) => {
                self.operation_result(guid, request)
            }
            (_, ["subscriptions", _, "operationresults", guid]) => self.operation_result(guid, request),
            (
                Method::Get,
                ["subscriptions", _, "resources"] | ["subscriptions", _, "resourcegroups", _, "resources"],
            ) => self.list_resources(request),
            (Method::Get, ["subscriptions", _, "resourcegroups"]) => self.list_groups(request),
            (_, ["subscriptions", _, "resourcegroups", _]) => self.group_request(request, path),
            (_, ["subscriptions", ..]) => self.provider_request(request, path),
            _ => Err(Fault::new(404, "NotFound", format!("There is nothing at '{path}'."))),
        }
    }

    fn check_envelope(&self, request: &Request, segments: &[&str]) -> Result<(), Fault> {
        let Some(version) = request.query("api-version").filter(|version| !version.is_empty()) else {
            return Err(Fault::bad_request(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            ));
        };
        if !providers::is_version(version) {
            return Err(Fault::bad_request(
                "InvalidApiVersionParameter",
                format!(
                    "The api-version '{version}' is invalid. It must be of the form yyyy-MM-dd or yyyy-MM-dd-preview."
                ),
            ));
        }
        match segments {
            ["subscriptions", subscription, ..]
                if !subscription.eq_ignore_ascii_case(&self.settings.subscription_id) =>
            {
                Err(Fault::new(
                    404,
                    "SubscriptionNotFound",
                    format!("The subscription '{subscription}' could not be found."),
                ))
            }
            _ => Ok(()),
        }
    }

    fn provider_request(&mut self, request: &Request, path: &str) -> Result<Response, Fault> {
        // A path with a type but no name, or an action, has an odd number of segments after the namespace.
        let (base, last) = path.rsplit_once('/').unwrap_or((path, ""));
        let own = ResourceId::parse(path).ok().filter(|id| id.namespace().is_some());
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
            (Method::Get, Some(id), _) => self.get_resource(&id, request),
            (Method::Head, Some(id), _) => {
                Ok(Response::empty(if self.resources.contains(id.key()) { 204 } else { 404 }))
            }
            (Method::Put, Some(id), _) => self.put_request(&id, request),
            (Method::Patch, Some(id), _) => self.patch_request(&id, request),
            (Method::Delete, Some(id), _) => self.delete_request(&id, request),
            (Method::Post, None, Some(id)) if id.namespace().is_some() => self.action(&id, last, request),
            (Method::Get, None, _) => self.list_type(path, request),
            (Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Head, ..) => {
                Err(Fault::not_allowed())
            }
        }
    }

    fn get_resource(&self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let kind = providers::find(&id.resource_type()).ok_or_else(|| providers::unknown_type(id))?;
        providers::check_version(kind, request.query("api-version").unwrap_or_default(), None)?;
        if let Some(resource) = self.resources.get(id.key()) {
            let response = Response::json(200, self.render(resource));
            return Ok(if kind.etag.is_empty() { response } else { response.header("ETag", resource.etag.clone()) });
        }
        if let Some(group) = id
            .resource_group()
            .filter(|group| !self.resources.contains(ResourceId::of_group(&self.settings.subscription_id, group).key()))
        {
            return Err(Fault::group_not_found(group));
        }
        if let (true, Some(server)) = (
            id.is_type("Microsoft.DBforPostgreSQL/flexibleServers/configurations"),
            id.parent().and_then(|server| self.resources.get(server.key())),
        ) {
            let sku = server.body["sku"]["name"].as_str().unwrap_or_default();
            if let Some(parameter) = providers::default_parameter(id, sku) {
                return Ok(Response::json(200, parameter.body(id, None)));
            }
        }
        Err(Fault::resource_not_found(
            &id.resource_type(),
            &id.template_name(),
            id.resource_group().unwrap_or_default(),
        ))
    }

    fn put_request(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let body = request.json()?;
        self.check_registered(id)?;
        self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
        let conditions = Conditions {
            if_match: request.header("if-match").map(str::to_owned),
            if_none_match: request.header("if-none-match").map(str::to_owned),
        };
        let written = self.put_resource(id, request.query("api-version").unwrap_or_default(), &body, &conditions)?;
        Ok(self.written_response(id, &written, request))
    }

    fn written_response(&self, id: &ResourceId, written: &Written, request: &Request) -> Response {
        let kind = providers::find(&id.resource_type());
        let (created, updated) = kind.map_or((201, 200), |kind| kind.put_status);
        let status = if written.created { created } else { updated };
        let body = self.resources.get(id.key()).map(|resource| self.render(resource)).unwrap_or(Value::Null);
        let location = self.location_of(id);
        let response = if status == 202 { Response::empty(202) } else { Response::json(status, body) };
        match &written.operation {
            Some(operation) => {
                self.operation_links(response, operation, id.namespace().unwrap_or_default(), &location, request)
            }
            // PostgreSQL answers every write with 202, also one that changes nothing; its clients then read the resource.
            None if status == 202 => response.header(
                "Location",
                format!("{}{}?api-version={}", request.base_url, id, request.query("api-version").unwrap_or_default()),
            ),
            None => response,
        }
    }

    fn location_of(&self, id: &ResourceId) -> String {
        let root = providers::root_key(id);
        self.resources.get(&root).and_then(|resource| resource.body["location"].as_str()).unwrap_or("eastus").to_owned()
    }

    /// A PATCH is a PUT of what exists with the request merged over it.
    fn patch_request(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let patch = request.json()?;
        let Some(existing) = self.resources.get(id.key()) else {
            return self.get_resource(id, request);
        };
        let mut body = existing.body.clone();
        merge(&mut body, &patch);
        self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
        let conditions = Conditions { if_match: request.header("if-match").map(str::to_owned), if_none_match: None };
        let written = self.put_resource(id, request.query("api-version").unwrap_or_default(), &body, &conditions)?;
        Ok(self.written_response(id, &written, request))
    }

    fn delete_request(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let kind = providers::find(&id.resource_type()).ok_or_else(|| providers::unknown_type(id))?;
        providers::check_version(kind, request.query("api-version").unwrap_or_default(), None)?;
        let location = self.location_of(id);
        let Some(existing) = self.resources.get(id.key()) else { return Ok(Response::empty(204)) };
        if request.header("if-match").is_some_and(|wanted| wanted != "*" && wanted != existing.etag) {
            return Err(Fault::new(
                412,
                "PreconditionFailed",
                "The condition in the If-Match header was not satisfied.",
            ));
        }
        let body = existing.body.clone();
        self.check_denied(id.key(), Denied::Delete, &request.principal.object_id)?;
        match self.delete_key(id.key())? {
            Some(operation) => Ok(self.operation_links(
                Response::empty(202),
                &operation,
                id.namespace().unwrap_or_default(),
                &location,
                request,
            )),
            None if kind.placement == Placement::Extension => Ok(Response::json(200, body)),
            None => Ok(Response::empty(200)),
        }
    }

    fn action(&mut self, id: &ResourceId, action: &str, request: &Request) -> Result<Response, Fault> {
        let Some(resource) = self.resources.get(id.key()) else { return self.get_resource(id, request) };
        match (resource.resource_type.as_str(), action.to_ascii_lowercase().as_str()) {
            ("Microsoft.ContainerService/managedClusters", "listclusteradmincredential") => {
                Ok(Response::json(200, providers::kubeconfigs(resource, true)?))
            }
            (
                "Microsoft.ContainerService/managedClusters",
                "listclusterusercredential" | "listclustermonitoringusercredential",
            ) => Ok(Response::json(200, providers::kubeconfigs(resource, false)?)),
            (resource_type, _) => Err(Fault::not_offered(&format!("The action '{action}' of {resource_type}"))),
        }
    }

    fn list_type(&self, path: &str, request: &Request) -> Result<Response, Fault> {
        let lower = path.to_ascii_lowercase();
        let Some((scope, rest)) = lower.rsplit_once("/providers/") else {
            return Err(Fault::new(404, "NotFound", format!("There is nothing at '{path}'.")));
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let resource_type =
            std::iter::once(parts[0]).chain(parts[1..].iter().step_by(2).copied()).collect::<Vec<_>>().join("/");
        let Some(kind) = providers::find(&resource_type) else {
            return Err(providers::unknown_type(&ResourceId::of_subscription("").extended(&resource_type, &[""])));
        };
        providers::check_version(kind, request.query("api-version").unwrap_or_default(), None)?;
        self.check_list_scope(scope, &lower)?;
        let within = if parts.len() > 2 { format!("{lower}/") } else { format!("{scope}/") };
        let mut items: Vec<Value> = self
            .world()
            .of_type(kind.resource_type)
            .into_iter()
            .filter(|resource| resource.id.to_ascii_lowercase().starts_with(&within))
            .map(|resource| self.render(resource))
            .collect();
        if resource_type == "microsoft.dbforpostgresql/flexibleservers/configurations" {
            self.add_default_parameters(&lower, &mut items);
        }
        self.list_page(items, request)
    }

    fn check_list_scope(&self, scope: &str, path: &str) -> Result<(), Fault> {
        let parent = path
            .rsplit_once('/')
            .and_then(|(parent, _)| ResourceId::parse(parent).ok())
            .filter(|parent| !parent.names().is_empty());
        if let Some(parent) = parent.filter(|parent| !self.resources.contains(parent.key())) {
            return Err(Fault::resource_not_found(
                &parent.resource_type(),
                &parent.template_name(),
                parent.resource_group().unwrap_or_default(),
            ));
        }
        match ResourceId::parse(scope)
            .ok()
            .and_then(|scope| scope.resource_group().map(|group| (scope.key().to_owned(), group.to_owned())))
        {
            Some((key, group)) if !self.resources.contains(&key) && !key.contains("/providers/") => {
                Err(Fault::group_not_found(&group))
            }
            _ => Ok(()),
        }
    }

    fn add_default_parameters(&self, path: &str, items: &mut Vec<Value>) {
        let Some(server) = path.rsplit_once('/').and_then(|(server, _)| self.resources.get(server)) else { return };
        let sku = server.body["sku"]["name"].as_str().unwrap_or_default();
        for name in providers::default_parameters() {
            let id = ResourceId::parse(&server.id).map(|server| server.child("configurations", name));
            if let Some((id, parameter)) = id
                .ok()
                .filter(|_| !items.iter().any(|item| item["name"] == name))
                .and_then(|id| providers::default_parameter(&id, sku).map(|parameter| (id, parameter)))
            {
                items.push(parameter.body(&id, None));
            }
        }
        items.sort_by_key(|item| item["name"].as_str().unwrap_or_default().to_owned());
    }

    fn list_resources(&self, request: &Request) -> Result<Response, Fault> {
        let scope = request.path.to_ascii_lowercase();
        let scope = scope.trim_end_matches('/').trim_end_matches("/resources");
        self.check_list_scope(scope, "")?;
        let prefix = format!("{scope}/");
        let mut found: Vec<_> = self
            .resources
            .below(&prefix)
            .filter(|(_, resource)| {
                providers::find(&resource.resource_type)
                    .is_some_and(|kind| matches!(kind.placement, Placement::Regional | Placement::Global))
            })
            .map(|(_, resource)| resource)
            .collect();
        found.sort_by_key(|resource| resource.sequence);
        let items = found
            .into_iter()
            .map(|resource| {
                let mut entry = json!({});
                for key in ["id", "name", "type", "location", "tags", "sku", "identity", "kind"] {
                    if let Some(value) = resource.body.get(key) {
                        entry[key] = value.clone();
                    }
                }
                entry
            })
            .filter(|entry| matches_filter(entry, request.query("$filter")))
            .collect();
        self.list_page(items, request)
    }

    /// One page of a list, with the link to the next.
    pub(crate) fn list_page(&self, items: Vec<Value>, request: &Request) -> Result<Response, Fault> {
        let skip: usize = request
            .query("$skiptoken")
            .unwrap_or("0")
            .parse()
            .map_err(|_| Fault::bad_request("InvalidSkipToken", "The $skiptoken is invalid."))?;
        let top = request.query("$top").and_then(|top| top.parse::<usize>().ok()).unwrap_or(PAGE).clamp(1, PAGE);
        let total = items.len();
        let page: Vec<Value> = items.into_iter().skip(skip).take(top).collect();
        let mut body = json!({ "value": page });
        if skip.saturating_add(top) < total {
            let query: Vec<String> = request
                .query
                .iter()
                .filter(|(key, _)| !key.eq_ignore_ascii_case("$skiptoken"))
                .map(|(key, value)| {
                    format!(
                        "{key}={}",
                        value
                            .replace('%', "%25")
                            .replace(' ', "%20")
                            .replace('&', "%26")
                            .replace('+', "%2B")
                            .replace('#', "%23")
                    )
                })
                .collect();
            body["nextLink"] =
                format!("{}{}?{}&$skiptoken={}", request.base_url, request.path, query.join("&"), skip + top).into();
        }
        Ok(Response::json(200, body))
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
                let managed = managed.to_ascii_lowercase();
                managed == key
                    || children && key.strip_prefix(managed.as_str()).is_some_and(|rest| rest.starts_with('/'))
            };
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

/// `resourceType eq '…'`, `name eq '…'` and `tagName eq '…' and tagValue eq '…'`, joined by `and`.
fn matches_filter(entry: &Value, filter: Option<&str>) -> bool {
    let Some(filter) = filter.filter(|filter| !filter.is_empty()) else { return true };
    let mut tag = None;
    filter.split(" and ").all(|clause| {
        let Some((field, value)) = clause.split_once(" eq ") else { return false };
        let value = value.trim().trim_matches('\'');
        match field.trim().to_ascii_lowercase().as_str() {
            "resourcetype" => entry["type"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(value)),
            "name" => entry["name"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(value)),
            "location" => entry["location"].as_str().is_some_and(|text| text.eq_ignore_ascii_case(value)),
            "tagname" => {
                tag = Some(value.to_owned());
                entry["tags"].get(value).is_some()
            }
            "tagvalue" => tag.as_ref().is_some_and(|tag| entry["tags"][tag] == value),
            _ => false,
        }
    })
}
