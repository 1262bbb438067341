//! The deployments' own paths.

use arm_model::id::ResourceId;
use serde_json::{Value, json};
use units::Timestamp;

use super::run::Wanted;
use super::shown_parameters;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::request::{Method, Request, Response};
use crate::state::{Deployment, Status, Step, StepState};

const MARK: &str = "/providers/microsoft.resources/deployments";

impl Engine {
    pub(crate) fn deployment_request(&mut self, request: &Request, path: &str) -> Result<Response, Fault> {
        let lower = path.to_ascii_lowercase();
        let at = lower.rfind(MARK).ok_or_else(Fault::not_allowed)?;
        let (scope, rest) = (&path[..at], path[at + MARK.len()..].trim_start_matches('/'));
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let [name, tail @ ..] = parts.as_slice() else {
            return self.list_deployments(scope, request);
        };
        let id = ResourceId::parse(&format!("{scope}/providers/Microsoft.Resources/deployments/{name}"))
            .map_err(|error| Fault::bad_request("InvalidDeploymentName", error.to_string()))?;
        if name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.()".contains(c)) {
            return Err(Fault::bad_request(
                "InvalidDeploymentName",
                format!("The deployment name '{name}' must have 1 to 64 letters, digits, '-', '_', '.', '(' or ')'."),
            ));
        }
        let tail: Vec<String> = tail.iter().map(|part| part.to_ascii_lowercase()).collect();
        let tail: Vec<&str> = tail.iter().map(String::as_str).collect();
        match (request.method, tail.as_slice()) {
            (Method::Put, []) => self.put_deployment(&id, request),
            (Method::Get, []) => {
                self.deployment(&id).map(|deployment| Response::json(200, self.deployment_body(deployment)))
            }
            (Method::Head, []) => Ok(Response::empty(if self.deployments.contains(id.key()) { 204 } else { 404 })),
            (Method::Delete, []) => self.delete_deployment(&id, request),
            (Method::Post, ["cancel"]) => {
                self.deployment(&id)?;
                self.cancel_deployment(id.key()).map(|()| Response::empty(204))
            }
            (Method::Post, ["validate"]) => self.validate_deployment(&id, request),
            (Method::Post, ["whatif"]) => self.what_if_deployment(&id, request),
            (Method::Post, ["exporttemplate"]) => {
                self.deployment(&id).map(|deployment| Response::json(200, json!({ "template": deployment.template })))
            }
            (Method::Get, ["operations"]) => {
                self.deployment(&id).map(operations_of).and_then(|items| self.list_page(items, request))
            }
            (Method::Get, ["operations", operation]) => {
                let found = self
                    .deployment(&id)
                    .map(operations_of)?
                    .into_iter()
                    .find(|item| item["operationId"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(operation)));
                found.map(|item| Response::json(200, item)).ok_or_else(|| {
                    Fault::new(
                        404,
                        "DeploymentOperationNotFound",
                        format!("Deployment operation '{operation}' could not be found."),
                    )
                })
            }
            (Method::Get, ["operationstatuses", guid]) => self.operation_status(guid, request),
            _ => Err(Fault::not_allowed()),
        }
    }

    fn deployment(&self, id: &ResourceId) -> Result<&Deployment, Fault> {
        self.deployments.get(id.key()).ok_or_else(|| {
            Fault::new(404, "DeploymentNotFound", format!("Deployment '{}' could not be found.", id.name()))
        })
    }

    pub(super) fn wanted(id: &ResourceId, body: &Value, request: &Request) -> Result<Wanted, Fault> {
        let properties = body
            .get("properties")
            .filter(|properties| properties.is_object())
            .ok_or_else(|| Fault::invalid_content("The request content was invalid: 'properties' is required."))?;
        Ok(Wanted {
            id: id.clone(),
            location: body["location"].as_str().map(crate::providers::normalized_location),
            tags: body.get("tags").filter(|tags| !tags.is_null()).cloned(),
            properties: properties.clone(),
            principal: request.principal.object_id.clone(),
            correlation_id: request.header("x-ms-correlation-request-id").map(str::to_owned),
        })
    }

    fn put_deployment(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let wanted = Self::wanted(id, &request.json()?, request)?;
        let existed = self.deployments.contains(id.key());
        let operation = self.start_deployment(wanted, None)?;
        let body = self.deployment(id).map(|deployment| self.deployment_body(deployment))?;
        let version = request.query("api-version").unwrap_or_default();
        Ok(Response::json(if existed { 200 } else { 201 }, body)
            .header(
                "Azure-AsyncOperation",
                format!("{}{id}/operationStatuses/{operation}?api-version={version}", request.base_url),
            )
            .poll_soon())
    }

    fn delete_deployment(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        match self.deployments.get(id.key()).map(|deployment| deployment.status) {
            None => Ok(Response::empty(204)),
            Some(Status::Running) => Err(Fault::conflict(
                "DeploymentActive",
                format!("The deployment '{}' is active and cannot be deleted. Cancel it first.", id.name()),
            )),
            Some(_) => {
                self.deployments.remove(id.key());
                let operation = self.done_operation(id.key());
                let location = format!(
                    "{}/subscriptions/{}/operationresults/{operation}?api-version={}",
                    request.base_url,
                    self.settings.subscription_id,
                    request.query("api-version").unwrap_or_default()
                );
                Ok(Response::empty(202).header("Location", location).poll_soon())
            }
        }
    }

    fn validate_deployment(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let wanted = Self::wanted(id, &request.json()?, request)?;
        let planned = self.planned(&wanted, None)?;
        let simulated = self.simulated(|engine| engine.start_deployment(wanted, None).map(|_| ()))?;
        let outcome = simulated.deployments.get(id.key()).and_then(|deployment| deployment.error.clone());
        if let Some(error) = outcome {
            let message = format!(
                "The template deployment '{}' is not valid according to the validation procedure. See inner errors for details.",
                id.name()
            );
            return Err(Fault::bad_request("InvalidTemplateDeployment", message).details(error.details));
        }
        let mut body = self.deployment_body(&planned);
        let ids: Vec<Value> = simulated.deployed_ids(id.key()).into_iter().map(|id| json!({ "id": id })).collect();
        body["properties"]["validatedResources"] = ids.into();
        body["properties"]["provisioningState"] = "Succeeded".into();
        Ok(Response::json(200, body))
    }

    fn list_deployments(&self, scope: &str, request: &Request) -> Result<Response, Fault> {
        if request.method != Method::Get {
            return Err(Fault::not_allowed());
        }
        let scope_id =
            ResourceId::parse(scope).map_err(|error| Fault::bad_request("InvalidScope", error.to_string()))?;
        if let Some(group) = scope_id.resource_group().filter(|_| !self.resources.contains(scope_id.key())) {
            return Err(Fault::group_not_found(group));
        }
        let prefix = format!("{}{MARK}/", scope_id.key());
        let mut found: Vec<&Deployment> = self.deployments.below(&prefix).map(|(_, deployment)| deployment).collect();
        found.sort_by(|one, other| other.started.cmp(&one.started).then_with(|| one.id.cmp(&other.id)));
        let wanted = request
            .query("$filter")
            .and_then(|filter| filter.split("provisioningState eq '").nth(1)?.split('\'').next().map(str::to_owned));
        let items = found.into_iter().map(|deployment| self.deployment_body(deployment));
        let items = items.filter(|body| {
            wanted.as_ref().is_none_or(|state| {
                body["properties"]["provisioningState"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(state))
            })
        });
        self.list_page(items.collect(), request)
    }

    /// A deployment as a GET shows it.
    pub(crate) fn deployment_body(&self, deployment: &Deployment) -> Value {
        let id = ResourceId::parse(&deployment.id).ok();
        let mut properties = json!({
            "templateHash": deployment.template_hash,
            "parameters": shown_parameters(&deployment.parameters),
            "mode": deployment.mode,
            "provisioningState": deployment.status.as_str(),
            "timestamp": deployment.ended.unwrap_or(deployment.started).rfc3339_micros(),
            "duration": duration(deployment.started, deployment.ended.unwrap_or(self.now)),
            "correlationId": deployment.correlation_id,
            "providers": providers_of(&deployment.steps),
            "dependencies": dependencies_of(&deployment.steps),
        });
        if deployment.status == Status::Succeeded {
            properties["outputs"] = shown_parameters(&deployment.outputs);
            let resources = self.deployed_ids(&deployment.id.to_ascii_lowercase());
            properties["outputResources"] = resources.into_iter().map(|id| json!({ "id": id })).collect();
        }
        if let Some(error) = &deployment.error {
            properties["error"] = json!(error);
        }
        let mut body = json!({
            "id": deployment.id,
            "name": id.as_ref().map_or("", |id| id.name()),
            "type": "Microsoft.Resources/deployments",
            "properties": properties,
        });
        if let Some(location) = &deployment.location {
            body["location"] = location.clone().into();
        }
        if let Some(tags) = &deployment.tags {
            body["tags"] = tags.clone();
        }
        body
    }
}

/// ISO 8601 with milliseconds: `PT1.5S`.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let millis = (to - from).0.max(0);
    format!("PT{}.{:03}S", millis / 1000, millis % 1000)
}

fn providers_of(steps: &[Step]) -> Value {
    let mut grouped: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for step in steps {
        if let Some((namespace, kind)) = step.resource_type.split_once('/') {
            let kinds = grouped.entry(namespace).or_default();
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    grouped
        .into_iter()
        .map(|(namespace, kinds)| {
            let kinds: Vec<Value> =
                kinds.into_iter().map(|kind| json!({ "resourceType": kind, "locations": [Value::Null] })).collect();
            json!({ "namespace": namespace, "resourceTypes": kinds })
        })
        .collect()
}

fn described(step: &Step) -> Value {
    let name = ResourceId::parse(&step.id).map(|id| id.template_name()).unwrap_or_default();
    json!({ "id": step.id, "resourceType": step.resource_type, "resourceName": name })
}

fn dependencies_of(steps: &[Step]) -> Value {
    let waiting = steps.iter().filter(|step| !step.depends_on.is_empty());
    waiting
        .map(|step| {
            let mut entry = described(step);
            entry["dependsOn"] = step.depends_on.iter().map(|index| described(&steps[*index])).collect();
            entry
        })
        .collect()
}

fn operations_of(deployment: &Deployment) -> Vec<Value> {
    let started = deployment.steps.iter().filter(|step| !matches!(step.state, StepState::Waiting | StepState::Skipped));
    started.map(|step| operation_of(deployment, step)).collect()
}

fn operation_of(deployment: &Deployment, step: &Step) -> Value {
    let state = match step.state {
        StepState::Running => "Running",
        StepState::Failed => "Failed",
        _ => "Succeeded",
    };
    let mut target = described(step);
    target["apiVersion"] = step.api_version.clone().into();
    if let Some(symbol) = &step.symbol {
        target["symbolicName"] = symbol.clone().into();
    }
    let begun = step.started.unwrap_or(deployment.started);
    let mut properties = json!({
        "provisioningOperation": "Create",
        "provisioningState": state,
        "timestamp": step.ended.unwrap_or(begun).rfc3339_micros(),
        "duration": duration(begun, step.ended.unwrap_or(begun)),
        "statusCode": step.status_code.map_or("OK".to_owned(), status_name),
        "targetResource": target,
    });
    if let Some(error) = &step.error {
        properties["statusMessage"] = json!({ "status": "Failed", "error": error });
    }
    json!({ "id": format!("{}/operations/{}", deployment.id, step.operation_id), "operationId": step.operation_id, "properties": properties })
}

/// Operations name the status rather than numbering it.
fn status_name(code: u16) -> String {
    match code {
        200 => "OK".to_owned(),
        201 => "Created".to_owned(),
        202 => "Accepted".to_owned(),
        400 => "BadRequest".to_owned(),
        403 => "Forbidden".to_owned(),
        404 => "NotFound".to_owned(),
        409 => "Conflict".to_owned(),
        412 => "PreconditionFailed".to_owned(),
        other => other.to_string(),
    }
}
