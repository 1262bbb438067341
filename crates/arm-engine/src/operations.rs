//! Long-running operations and their status documents.

use arm_model::error::ErrorBody;
use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::request::{Method, Request, Response};
use crate::state::{Operation, Status};

impl Engine {
    pub(crate) fn start_operation(&mut self, target: &str) -> String {
        let guid = self.guid();
        let operation = Operation {
            target: target.to_owned(),
            started: self.now,
            ended: None,
            status: Status::Running,
            error: None,
            result: None,
        };
        self.operations.insert(guid.clone(), operation);
        guid
    }

    pub(crate) fn end_operation(&mut self, guid: &str, status: Status, error: Option<ErrorBody>) {
        let now = self.now;
        if let Some(operation) = self.operations.get_mut(guid).filter(|operation| !operation.status.is_final()) {
            operation.status = status;
            operation.error = error;
            operation.ended = Some(now);
        }
    }

    /// An operation that was over when it was announced. One row serves all of them, so that writes do not pile rows up.
    pub(crate) fn done_operation(&mut self, target: &str) -> String {
        let guid = crate::ids::guid_of(&format!("done\0{target}"));
        let operation = Operation {
            target: target.to_owned(),
            started: self.now,
            ended: Some(self.now),
            status: Status::Succeeded,
            error: None,
            result: None,
        };
        self.operations.insert(guid.clone(), operation);
        guid
    }

    /// A finished operation with something to show, e.g. the result of a what-if.
    pub(crate) fn record_result(&mut self, target: &str, result: Value) -> String {
        let guid = self.start_operation(target);
        self.end_operation(&guid, Status::Succeeded, None);
        if let Some(operation) = self.operations.get_mut(&guid) {
            operation.result = Some(result);
        }
        guid
    }

    /// The document behind `Azure-AsyncOperation`.
    pub(crate) fn operation_status(&self, guid: &str, request: &Request) -> Result<Response, Fault> {
        let operation = self.operation(guid)?;
        let status = if operation.status == Status::Running { "InProgress" } else { operation.status.as_str() };
        let mut body = json!({ "status": status });
        let lower = request.path.to_ascii_lowercase();
        let of = |namespace: &str| lower.contains(&format!("/providers/{namespace}/"));
        // Networking says no more than the status, the others when it began, AKS also when it ended.
        if !of("microsoft.network") {
            body["name"] = guid.into();
            body["startTime"] = operation.started.rfc3339_micros().into();
        }
        if let Some(ended) = operation.ended.filter(|_| !of("microsoft.network") && !of("microsoft.dbforpostgresql")) {
            body["endTime"] = ended.rfc3339_micros().into();
        }
        if lower.contains("/deploymentstackoperationstatus/") {
            let status =
                if operation.status == Status::Running { "deploying".to_owned() } else { status.to_ascii_lowercase() };
            body = json!({ "id": request.path, "name": guid, "status": status });
        }
        if let Some(error) = &operation.error {
            body["error"] = json!(error);
        }
        if let Some(result) = &operation.result {
            body["properties"] = result.get("properties").cloned().unwrap_or_else(|| result.clone());
        }
        Ok(Response::json(200, body).poll_soon())
    }

    /// What `Location` leads to: 202 while the operation runs, then what it made.
    pub(crate) fn operation_result(&self, guid: &str, request: &Request) -> Result<Response, Fault> {
        let operation = self.operation(guid)?;
        match operation.status {
            Status::Running => Ok(Response::empty(202).header("Location", absolute(request)).poll_soon()),
            Status::Failed | Status::Canceled => {
                let error = operation
                    .error
                    .clone()
                    .unwrap_or_else(|| ErrorBody::new("OperationFailed", "The operation did not succeed."));
                Err(Fault { status: 409, body: Box::new(error) })
            }
            Status::Succeeded => match (&operation.result, self.resources.get(&operation.target)) {
                (Some(result), _) => Ok(Response::json(200, result.clone())),
                (None, Some(resource)) => {
                    let version = request.query("api-version").unwrap_or_default();
                    Ok(Response::json(200, self.render_for(resource, version)))
                }
                // A group's deletion ends with 200, as a database server's does, another resource's with 204.
                (None, None) if !operation.target.contains("/providers/") => Ok(Response::empty(200)),
                (None, None) if operation.target.contains("/providers/microsoft.dbforpostgresql/") => {
                    Ok(Response::empty(200))
                }
                (None, None) => {
                    let response = Response::empty(204).header("Location", absolute(request));
                    if !operation.target.contains("/providers/microsoft.network/") {
                        return Ok(response);
                    }
                    let status = absolute(request).replacen("/operationResults/", "/operations/", 1);
                    Ok(response.header("Azure-AsyncOperation", status))
                }
            },
        }
    }

    fn operation(&self, guid: &str) -> Result<&Operation, Fault> {
        self.operations
            .get(&guid.to_ascii_lowercase())
            .ok_or_else(|| Fault::new(404, "OperationNotFound", format!("The operation '{guid}' could not be found.")))
    }

    /// The links of a long-running operation, in the provider's own place. An answer that shows the resource names no `Location`: what
    /// was made is read where it was written.
    pub(crate) fn operation_links(
        &self,
        response: Response,
        guid: &str,
        id: &ResourceId,
        request: &Request,
    ) -> Response {
        let version = request.query("api-version").unwrap_or("2025-04-01");
        let namespace = id.namespace().unwrap_or_default();
        let (status, result) = match namespace.to_ascii_lowercase().as_str() {
            "microsoft.containerservice" => ("operations", "operationresults"),
            "microsoft.dbforpostgresql" => ("azureAsyncOperation", "operationResults"),
            "microsoft.network" => ("operations", "operationResults"),
            _ => ("operationStatuses", "operationResults"),
        };
        let subscription = format!("{}/subscriptions/{}", request.base_url, self.settings.subscription_id);
        let place = format!("{subscription}/providers/{namespace}/locations/{}", self.location_of(id));
        let (status, result) = match id.resource_group() {
            // Zones are in no region.
            Some(group) if id.resource_type().to_ascii_lowercase().starts_with("microsoft.network/privatednszones") => {
                let place = format!("{subscription}/resourceGroups/{group}/providers/{namespace}");
                (format!("{place}/privateDnsOperationStatuses"), format!("{place}/privateDnsOperationResults"))
            }
            _ => (format!("{place}/{status}"), format!("{place}/{result}")),
        };
        let shows = response.status != 202;
        let response = match (response.status, &response.body) {
            (202, None) if namespace.eq_ignore_ascii_case("Microsoft.DBforPostgreSQL") => {
                Response { body: Some(self.postgres_operation(id, request)), ..response }
            }
            _ => response,
        };
        let response = response.header("Azure-AsyncOperation", format!("{status}/{guid}?api-version={version}"));
        let response = match shows {
            true => response,
            false => response.header("Location", format!("{result}/{guid}?api-version={version}")),
        };
        response.poll_soon()
    }
}

impl Engine {
    /// What flexible servers answer while they work: the operation's name and when it began.
    fn postgres_operation(&self, id: &ResourceId, request: &Request) -> Value {
        let kind = id.resource_type().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let action = request.path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let name = match (request.method, kind.as_str(), action.as_str()) {
            (Method::Post, _, "start") => "StartServer",
            (Method::Post, _, "stop") => "StopServer",
            (Method::Post, _, _) => "RestartServer",
            (_, "configurations", _) => "UpdateConfiguration",
            (Method::Delete, "databases", _) => "DropServerDatabase",
            (_, "databases", _) => "UpsertServerDatabase",
            (Method::Delete, "firewallrules", _) => "DropServerFirewallRules",
            (_, "firewallrules", _) => "UpsertServerFirewallRules",
            (Method::Delete, ..) => "DropServer",
            _ => "UpsertServer",
        };
        let version = if name == "UpsertServer" { "V2" } else { "" };
        json!({ "operation": format!("{name}ManagementOperation{version}"), "startTime": self.now.rfc3339_micros() })
    }
}

fn absolute(request: &Request) -> String {
    let query: Vec<String> = request.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}{}?{}", request.base_url, request.path, query.join("&"))
}
