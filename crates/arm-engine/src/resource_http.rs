//! GET, PUT, PATCH and DELETE of resources of any type.

use arm_model::id::ResourceId;
use serde_json::Value;

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, Patching, Placement};
use crate::request::{Request, Response};
use crate::resources::{Conditions, Written, merge};
use crate::router::Denied;

impl Engine {
    pub(crate) fn get_resource(&self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let kind = providers::known_kind(id)?;
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

    pub(crate) fn put_request(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        providers::known_kind(id)?;
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

    fn written_response(&mut self, id: &ResourceId, written: &Written, request: &Request) -> Response {
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
            // Networking announces an operation for every write, also where the write is already done.
            None if kind.is_some_and(|kind| kind.announces) => {
                let namespace = id.namespace().unwrap_or_default();
                let operation = self.done_operation(id.key());
                self.operation_links(response, &operation, namespace, &location, request)
            }
            None => response,
        }
    }

    pub(crate) fn location_of(&self, id: &ResourceId) -> String {
        let root = providers::root_key(id);
        self.resources.get(&root).and_then(|resource| resource.body["location"].as_str()).unwrap_or("eastus").to_owned()
    }

    /// A PATCH is a PUT of what exists with the request merged over it.
    pub(crate) fn patch_request(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let kind = providers::known_kind(id)?;
        let patch = request.json()?;
        if kind.patching == Patching::No {
            return Err(Fault::not_allowed());
        }
        let Some(existing) = self.resources.get(id.key()) else {
            let found = self.get_resource(id, request)?;
            // A server's parameter with its default value is there without being stored.
            return if found.status == 200 { self.put_request(id, request) } else { Ok(found) };
        };
        let mut body = existing.body.clone();
        if kind.patching == Patching::Merge {
            merge(&mut body, &patch);
        }
        // Tags are replaced as a whole, by every provider.
        if let Some(tags) = patch.get("tags") {
            body["tags"] = tags.clone();
        }
        self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
        let conditions = Conditions { if_match: request.header("if-match").map(str::to_owned), if_none_match: None };
        let written = self.put_resource(id, request.query("api-version").unwrap_or_default(), &body, &conditions)?;
        Ok(self.written_response(id, &written, request))
    }

    pub(crate) fn delete_request(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let kind = providers::known_kind(id)?;
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
            None if kind.announces => {
                let namespace = id.namespace().unwrap_or_default();
                let operation = self.done_operation(id.key());
                Ok(self.operation_links(Response::empty(202), &operation, namespace, &location, request))
            }
            None if kind.placement == Placement::Extension => Ok(Response::json(200, body)),
            None => Ok(Response::empty(200)),
        }
    }
}
