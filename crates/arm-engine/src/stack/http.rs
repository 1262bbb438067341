//! The stacks' own paths.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use super::run::Unmanage;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::request::{Method, Request, Response};

const MARK: &str = "/providers/microsoft.resources/deploymentstacks";

impl Engine {
    pub(crate) fn stack_request(&mut self, request: &Request, path: &str) -> Result<Response, Fault> {
        let lower = path.to_ascii_lowercase();
        let at = lower.rfind(MARK).ok_or_else(Fault::not_allowed)?;
        let (scope, rest) = (&path[..at], path[at + MARK.len()..].trim_start_matches('/'));
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let scope_id =
            ResourceId::parse(scope).map_err(|error| Fault::bad_request("InvalidScope", error.to_string()))?;
        if let Some(group) = scope_id.resource_group().filter(|_| !self.resources.contains(scope_id.key())) {
            return Err(Fault::group_not_found(group));
        }
        let [name, tail @ ..] = parts.as_slice() else {
            return self.list_stacks(&scope_id, request);
        };
        let id = scope_id.extended("Microsoft.Resources/deploymentStacks", &[name]);
        if name.len() > 90 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.()".contains(c)) {
            return Err(Fault::bad_request(
                "InvalidDeploymentStackName",
                format!(
                    "The deployment stack name '{name}' must have 1 to 90 letters, digits, '-', '_', '.', '(' or ')'."
                ),
            ));
        }
        match (request.method, tail.first().map(|part| part.to_ascii_lowercase()).as_deref()) {
            (Method::Put, None) => self.put_stack(&id, request),
            (Method::Get, None) => self.stack_response(&id),
            (Method::Head, None) => Ok(Response::empty(if self.stacks.contains(id.key()) { 204 } else { 404 })),
            (Method::Delete, None) => self.delete_stack(&id, request),
            (Method::Post, Some("exporttemplate")) => self.stack_response(&id).map(|_| {
                Response::json(
                    200,
                    json!({ "template": self.stacks.get(id.key()).map(|stack| stack.template.clone()) }),
                )
            }),
            (Method::Post, Some("validate")) => self.validate_stack(&id, request),
            _ => Err(Fault::not_allowed()),
        }
    }

    fn stack_response(&self, id: &ResourceId) -> Result<Response, Fault> {
        let stack = self.stacks.get(id.key()).ok_or_else(|| match id.resource_group() {
            Some(_) => Fault::new(
                404,
                "DeploymentStackResourceNotFound",
                format!("The deployment stack '{id}' could not be found."),
            ),
            None => Fault::new(
                404,
                "ResourceNotFound",
                format!("The resource '{}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", id.name()),
            ),
        })?;
        Ok(Response::json(200, self.stack_body(stack)))
    }

    fn list_stacks(&self, scope: &ResourceId, request: &Request) -> Result<Response, Fault> {
        if request.method != Method::Get {
            return Err(Fault::not_allowed());
        }
        let prefix = format!("{}{MARK}/", scope.key());
        self.list_page(self.stacks.below(&prefix).map(|(_, stack)| self.stack_body(stack)).collect(), request)
    }

    pub(super) fn stack_links(&self, response: Response, operation: &str, request: &Request) -> Response {
        let version = request.query("api-version").unwrap_or_default();
        let base = format!(
            "{}/subscriptions/{}/providers/Microsoft.Resources/locations/eastus",
            request.base_url, self.settings.subscription_id
        );
        response
            .header(
                "Azure-AsyncOperation",
                format!("{base}/deploymentStackOperationStatus/{operation}?api-version={version}"),
            )
            .poll_soon()
    }

    fn put_stack(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let body = request.json()?;
        let existed = self.stacks.contains(id.key());
        let operation = self.start_stack(id, &body, &request.principal.object_id)?;
        let mut response = self.stack_response(id)?;
        response.status = if existed { 200 } else { 201 };
        Ok(self.stack_links(response, &operation, request))
    }

    fn delete_stack(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        if !self.stacks.contains(id.key()) {
            return Ok(Response::empty(204));
        }
        let action = |name: &str| match request.query(name) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("delete") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("detach") => Ok(false),
            Some(other) => Err(Fault::bad_request(
                "InvalidQueryParameter",
                format!("The value '{other}' of {name} is not one of: delete, detach."),
            )),
        };
        let unmanage = Unmanage {
            delete_resources: action("unmanageAction.Resources")?,
            delete_groups: action("unmanageAction.ResourceGroups")?,
        };
        match self.start_stack_deletion(id.key(), unmanage)? {
            Some(operation) => Ok(self.stack_links(Response::empty(202), &operation, request)),
            None => Ok(Response::empty(200)),
        }
    }

    fn validate_stack(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let body = request.json()?;
        let principal = request.principal.object_id.clone();
        let after = self.simulated(|engine| engine.start_stack(id, &body, &principal).map(|_| ()))?;
        let Some(stack) = after.stacks.get(id.key()) else { return Err(Fault::not_allowed()) };
        if let Some(error) = &stack.error {
            return Err(Fault::bad_request(
                "DeploymentStackValidationFailed",
                "The deployment stack is not valid. See inner errors for details.",
            )
            .details(error.details.clone()));
        }
        let validated: Vec<Value> = stack.managed.iter().map(|id| json!({ "id": id })).collect();
        let properties = json!({ "actionOnUnmanage": stack.settings["actionOnUnmanage"], "denySettings": stack.settings["denySettings"], "validatedResources": validated });
        Ok(Response::json(
            200,
            json!({ "id": id.to_string(), "name": id.name(), "type": "Microsoft.Resources/deploymentStacks", "properties": properties }),
        ))
    }
}
