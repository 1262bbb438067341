//! Long-running operations and their status documents.

use arm_model::error::ErrorBody;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::request::{Request, Response};
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
        let mut body = json!({
            "id": request.path,
            "name": guid,
            "status": if operation.status == Status::Running { "InProgress" } else { operation.status.as_str() },
            "startTime": operation.started.rfc3339_micros(),
        });
        if let Some(ended) = operation.ended {
            body["endTime"] = ended.rfc3339_micros().into();
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
                (None, Some(resource)) => Ok(Response::json(200, self.render(resource))),
                // A group's deletion ends with 200, a resource's with 204.
                (None, None) if !operation.target.contains("/providers/") => Ok(Response::empty(200)),
                (None, None) => Ok(Response::empty(204)),
            },
        }
    }

    fn operation(&self, guid: &str) -> Result<&Operation, Fault> {
        self.operations
            .get(&guid.to_ascii_lowercase())
            .ok_or_else(|| Fault::new(404, "OperationNotFound", format!("The operation '{guid}' could not be found.")))
    }

    /// The links of a long-running operation, in the provider's own place.
    pub(crate) fn operation_links(
        &self,
        response: Response,
        guid: &str,
        namespace: &str,
        location: &str,
        request: &Request,
    ) -> Response {
        let version = request.query("api-version").unwrap_or("2025-04-01");
        let (status, result) = match namespace.to_ascii_lowercase().as_str() {
            "microsoft.containerservice" => ("operations", "operationresults"),
            "microsoft.dbforpostgresql" => ("azureAsyncOperation", "operationResults"),
            "microsoft.network" => ("operations", "operationResults"),
            _ => ("operationStatuses", "operationResults"),
        };
        let base = format!(
            "{}/subscriptions/{}/providers/{namespace}/locations/{location}",
            request.base_url, self.settings.subscription_id
        );
        response
            .header("Azure-AsyncOperation", format!("{base}/{status}/{guid}?api-version={version}"))
            .header("Location", format!("{base}/{result}/{guid}?api-version={version}"))
            .poll_soon()
    }
}

fn absolute(request: &Request) -> String {
    let query: Vec<String> = request.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}{}?{}", request.base_url, request.path, query.join("&"))
}
