//! GET, PUT, PATCH and DELETE of resources of any type.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, Patching, Placement};
use crate::request::{Method, Request, Response};
use crate::resources::{Conditions, Written, is_etag, merge};
use crate::router::Denied;
use crate::state::Status;

impl Engine {
    pub(crate) fn get_resource(&self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let kind = providers::known_kind(id)?;
        providers::check_version(kind, request.query("api-version").unwrap_or_default(), None)?;
        if let Some(resource) = self.resources.get(id.key()) {
            let response =
                Response::json(200, self.render_for(resource, request.query("api-version").unwrap_or_default()));
            let told = kind.announces || kind.tells_etag;
            return Ok(if told { response.header("ETag", resource.etag.clone()) } else { response });
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
        // Networking answers for its children itself where the parent is there.
        let parent = id.parent().filter(|parent| self.resources.contains(parent.key()));
        if parent.is_some() && kind.announces && kind.placement == Placement::Child {
            let fault = Fault::new(404, "NotFound", format!("Resource {id} not found."));
            let mut body = json!({ "error": fault.body });
            body["error"]["details"] = json!([]);
            return Ok(Response::json(404, body));
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
        self.check_links(&request.principal.object_id, &request.principal.app_id, id, &body)?;
        let conditions = Conditions {
            if_match: request.header("if-match").map(str::to_owned),
            if_none_match: request.header("if-none-match").map(str::to_owned),
        };
        match self.put_resource(id, request.query("api-version").unwrap_or_default(), &body, &conditions) {
            Ok(written) => {
                self.sign(id, &written, &request.principal.object_id);
                Ok(self.written_response(id, &written, request))
            }
            Err(fault) => self.refused_later(id, fault, request),
        }
    }

    /// Assignments and definitions of roles say who made and who changed them last.
    fn sign(&mut self, id: &ResourceId, written: &Written, principal: &str) {
        let kinds = ["Microsoft.Authorization/roleAssignments", "Microsoft.Authorization/roleDefinitions"];
        if !kinds.iter().any(|kind| id.is_type(kind)) {
            return;
        }
        if let Some(resource) = self.resources.get_mut(id.key()) {
            let properties = &mut resource.body["properties"];
            properties["updatedBy"] = principal.into();
            if written.created {
                properties["createdBy"] = principal.into();
            }
        }
    }

    /// Private zones and their links take a request before they look at its conditions: the operation says that they did not hold.
    fn refused_later(&mut self, id: &ResourceId, fault: Fault, request: &Request) -> Result<Response, Fault> {
        let later = providers::find(&id.resource_type()).is_some_and(|kind| kind.conditions_later);
        if !later || fault.status != 412 {
            return Err(fault);
        }
        let operation = self.start_operation(id.key());
        self.end_operation(&operation, Status::Failed, Some(*fault.body));
        Ok(self.operation_links(Response::json(202, json!({})), &operation, id, request))
    }

    fn written_response(&mut self, id: &ResourceId, written: &Written, request: &Request) -> Response {
        let kind = providers::find(&id.resource_type()).unwrap_or(&providers::PLAIN);
        let status = if written.created { kind.put_status.0 } else { kind.put_status.1 };
        let resource = self.resources.get(id.key()).cloned();
        let version = request.query("api-version").unwrap_or_default();
        let body = resource.as_ref().map(|resource| self.render_for(resource, version)).unwrap_or(Value::Null);
        let response = match status {
            202 if kind.announces => Response::json(202, json!({})),
            202 => Response::empty(202),
            status => Response::json(status, body),
        };
        match &written.operation {
            Some(operation) => self.operation_links(response, operation, id, request),
            // Networking announces an operation for every PUT, also where the write is already done.
            None if kind.announces && (status == 202 || request.method == Method::Put) => {
                let operation = self.done_operation(id.key());
                self.operation_links(response, &operation, id, request)
            }
            // PostgreSQL answers every write with 202, also one that changes nothing.
            None if status == 202 => {
                let operation = self.done_operation(id.key());
                self.operation_links(response, &operation, id, request)
            }
            None => match resource.filter(|_| kind.tells_etag) {
                Some(resource) => response.header("ETag", resource.etag),
                None => response,
            },
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
        self.check_links(&request.principal.object_id, &request.principal.app_id, id, &patch)?;
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
        match self.put_resource(id, request.query("api-version").unwrap_or_default(), &body, &conditions) {
            Ok(written) => Ok(self.written_response(id, &written, request)),
            Err(fault) => self.refused_later(id, fault, request),
        }
    }

    pub(crate) fn delete_request(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let kind = providers::known_kind(id)?;
        providers::check_version(kind, request.query("api-version").unwrap_or_default(), None)?;
        let Some(existing) = self.resources.get(id.key()) else { return Ok(Response::empty(204)) };
        if request.header("if-match").is_some_and(|wanted| wanted != "*" && !is_etag(wanted, &existing.etag)) {
            let fault =
                Fault::new(412, "PreconditionFailed", "The condition in the If-Match header was not satisfied.");
            return self.refused_later(id, fault, request);
        }
        let body = existing.body.clone();
        self.check_denied(id.key(), Denied::Delete, &request.principal.object_id)?;
        match self.delete_key(id.key())? {
            Some(operation) => Ok(self.operation_links(Response::empty(202), &operation, id, request)),
            None if kind.announces => {
                let operation = self.done_operation(id.key());
                Ok(self.operation_links(Response::empty(202), &operation, id, request))
            }
            // A role assignment shows what it was; of a lock nothing is said.
            None if id.is_type("Microsoft.Authorization/roleAssignments")
                || id.is_type("Microsoft.Authorization/roleDefinitions") =>
            {
                Ok(Response::json(200, body))
            }
            None => Ok(Response::empty(200)),
        }
    }
}
