//! What a stack's update would change: `deploymentStacksWhatIfResults`.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::deployment::{Change, changes_between};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::request::{Method, Request, Response};

const MARK: &str = "/providers/microsoft.resources/deploymentstackswhatifresults";

impl Engine {
    /// PUT computes and stores a result, GET and POST `whatIf` show it.
    pub(crate) fn stack_what_if_request(&mut self, request: &Request, path: &str) -> Result<Response, Fault> {
        let lower = path.to_ascii_lowercase();
        let at = lower.rfind(MARK).ok_or_else(Fault::not_allowed)?;
        let rest = path[at + MARK.len()..].trim_start_matches('/').to_owned();
        let (name, action) = rest
            .split_once('/')
            .map_or((rest.as_str(), None), |(name, action)| (name, Some(action.to_ascii_lowercase())));
        let scope =
            ResourceId::parse(&path[..at]).map_err(|error| Fault::bad_request("InvalidScope", error.to_string()))?;
        if name.is_empty() && request.method == Method::Get {
            return self.list_stack_what_ifs(&scope, request);
        }
        let id = scope.extended("Microsoft.Resources/deploymentStacksWhatIfResults", &[name]);
        let stored = self
            .operations
            .values()
            .find(|operation| operation.target == id.key())
            .and_then(|operation| operation.result.clone());
        match (request.method, action.as_deref()) {
            (Method::Put, None) => self.put_stack_what_if(&id, request, stored.is_some()),
            (Method::Get, None) | (Method::Post, Some("whatif")) => {
                stored.map(|result| Response::json(200, result)).ok_or_else(|| {
                    Fault::new(
                        404,
                        "DeploymentStackWhatIfResultNotFound",
                        format!("The deployment stack what-if result '{name}' could not be found."),
                    )
                })
            }
            (Method::Delete, None) => {
                self.forget_what_if(id.key());
                Ok(Response::empty(if stored.is_some() { 200 } else { 204 }))
            }
            _ => Err(Fault::not_allowed()),
        }
    }

    fn list_stack_what_ifs(&self, scope: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let prefix = format!("{}{MARK}/", scope.key());
        let results = self.operations.values().filter(|operation| operation.target.starts_with(&prefix));
        let mut items: Vec<Value> = results.filter_map(|operation| operation.result.clone()).collect();
        items.sort_by_key(|item| item["id"].as_str().unwrap_or_default().to_owned());
        self.list_page(items, request)
    }

    fn forget_what_if(&mut self, key: &str) {
        let old: Vec<String> = self
            .operations
            .iter()
            .filter(|(_, operation)| operation.target == key)
            .map(|(guid, _)| guid.clone())
            .collect();
        for guid in old {
            self.operations.remove(&guid);
        }
    }

    fn put_stack_what_if(&mut self, id: &ResourceId, request: &Request, existed: bool) -> Result<Response, Fault> {
        let body = request.json()?;
        let stack_id = body["properties"]["deploymentStackResourceId"]
            .as_str()
            .and_then(|stack| ResourceId::parse(stack).ok())
            .ok_or_else(|| {
                Fault::invalid_content("'properties.deploymentStackResourceId' must be the id of a deployment stack.")
            })?;
        let principal = request.principal.object_id.clone();
        let after = self.simulated(|engine| engine.start_stack(&stack_id, &body, &principal).map(|_| ()))?;
        let Some(stack) = after.stacks.get(stack_id.key()) else {
            return Err(Fault::bad_request("DeploymentStackNotFound", "The id does not name a deployment stack."));
        };
        let mut properties = json!({
            "deploymentStackResourceId": stack_id.to_string(),
            "retentionInterval": body["properties"]["retentionInterval"].as_str().unwrap_or("P1D"),
            "actionOnUnmanage": stack.settings["actionOnUnmanage"],
            "denySettings": stack.settings["denySettings"],
            "correlationId": stack.correlation_id,
            "provisioningState": if stack.error.is_some() { "failed" } else { "succeeded" },
        });
        match &stack.error {
            Some(error) => properties["error"] = json!(error),
            None => {
                let changes = changes_between(self, &after, &stack.managed, &stack.detached);
                properties["changes"] = json!({ "resourceChanges": changes.iter().map(rendered).collect::<Vec<_>>() });
            }
        }
        let result = json!({ "id": id.to_string(), "name": id.name(), "type": "Microsoft.Resources/deploymentStacksWhatIfResults", "location": body["location"], "properties": properties });
        self.forget_what_if(id.key());
        let operation = self.record_result(id.key(), result.clone());
        Ok(self.stack_links(Response::json(if existed { 200 } else { 201 }, result), &operation, request))
    }
}

fn rendered(change: &Change) -> Value {
    let id = ResourceId::parse(&change.id).ok();
    let kind = match change.kind {
        "Create" => "create",
        "Delete" => "delete",
        "Detach" => "detach",
        "Modify" => "modify",
        _ => "noChange",
    };
    let mut shown = json!({ "id": change.id, "type": id.map(|id| id.resource_type()).unwrap_or_default(), "changeType": kind, "changeCertainty": "definite" });
    let mut configuration = json!({});
    for (name, value) in [("before", &change.before), ("after", &change.after)] {
        if let Some(value) = value {
            configuration[name] = value.clone();
        }
    }
    if !change.delta.is_empty() {
        configuration["delta"] = change.delta.clone().into();
    }
    shown["resourceConfigurationChanges"] = configuration;
    shown
}
