//! A stack's life: deploy, delete or let go of what is no longer declared, delete.

use arm_model::error::ErrorBody;
use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::deletion::Deletions;
use crate::deployment::{Wanted, duration, resolve_parameters, shown_parameters};
use crate::engine::Engine;
use crate::expression::DeploymentScope;
use crate::fault::Fault;
use crate::state::{Stack, StackPhase, Status};

/// What happens to what a stack lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unmanage {
    pub delete_resources: bool,
    pub delete_groups: bool,
}

impl Unmanage {
    pub fn of_settings(settings: &Value) -> Unmanage {
        let deletes = |name: &str| {
            settings["actionOnUnmanage"][name].as_str().is_some_and(|action| action.eq_ignore_ascii_case("delete"))
        };
        Unmanage { delete_resources: deletes("resources"), delete_groups: deletes("resourceGroups") }
    }
}

impl Engine {
    /// Starts a stack's deployment under its operation.
    pub(super) fn start_stack(&mut self, id: &ResourceId, body: &Value, principal: &str) -> Result<String, Fault> {
        let properties = &body["properties"];
        check_settings(properties)?;
        let existing = self.stacks.get(id.key()).cloned();
        if existing.as_ref().is_some_and(|stack| !stack.phase.is_final()) {
            return Err(Fault::conflict(
                "DeploymentStackInNonTerminalState",
                format!(
                    "The deployment stack '{}' is in a non-terminal state and cannot be changed until its current operation ends.",
                    id.name()
                ),
            ));
        }
        let location = body["location"].as_str().map(crate::providers::normalized_location);
        if id.resource_group().is_none() && location.is_none() {
            return Err(Fault::bad_request(
                "LocationRequired",
                "The location property is required for a deployment stack at subscription scope.",
            ));
        }
        let scope = properties["deploymentScope"].as_str().map_or_else(|| id.scope().to_owned(), str::to_owned);
        let name: String = format!("{}-{}", id.name().chars().take(50).collect::<String>(), &self.guid()[..8]);
        let deployment_id = ResourceId::parse(&format!(
            "{}/providers/Microsoft.Resources/deployments/{name}",
            scope.trim_end_matches('/')
        ))
        .map_err(|error| Fault::bad_request("DeploymentStackInvalidDeploymentScope", error.to_string()))?;
        let wanted = Wanted {
            id: deployment_id.clone(),
            location: location.clone(),
            tags: body.get("tags").filter(|tags| !tags.is_null()).cloned(),
            properties: properties.clone(),
            principal: principal.to_owned(),
            correlation_id: None,
        };
        self.start_deployment(wanted, None)?;
        let operation = self.start_operation(id.key());
        let correlation_id = self
            .deployments
            .get(deployment_id.key())
            .map(|deployment| deployment.correlation_id.clone())
            .unwrap_or_default();
        let parameters = resolve_parameters(
            &properties["template"],
            &properties["parameters"],
            &DeploymentScope::default(),
            self.now,
        )
        .unwrap_or_default();
        let parameters = parameters
            .into_iter()
            .map(|(name, mut typed)| {
                if typed.is_secure() {
                    typed.value = Value::Null;
                }
                (name, typed)
            })
            .collect();
        let mut settings = json!({});
        for key in ["actionOnUnmanage", "denySettings", "description", "deploymentScope", "bypassStackOutOfSyncError"] {
            if let Some(value) = properties.get(key).filter(|value| !value.is_null()) {
                settings[key] = value.clone();
            }
        }
        let stack = Stack {
            id: existing.as_ref().map_or_else(|| id.to_string(), |stack| stack.id.clone()),
            location,
            tags: body.get("tags").filter(|tags| !tags.is_null()).cloned(),
            settings,
            template: properties["template"].clone(),
            parameters,
            phase: StackPhase::Deploying,
            operation: operation.clone(),
            deployment_id: Some(deployment_id.to_string()),
            correlation_id,
            started: self.now,
            ended: None,
            created: existing.as_ref().map_or(self.now, |stack| stack.created),
            managed: existing.map(|stack| stack.managed).unwrap_or_default(),
            detached: Vec::new(),
            deleted: Vec::new(),
            failed: Vec::new(),
            deletions: Deletions::default(),
            outputs: Default::default(),
            error: None,
        };
        self.stacks.insert(id.key().to_owned(), stack);
        Ok(operation)
    }

    /// Starts a stack's deletion; `None` when it is gone already because nothing had to be deleted.
    pub(super) fn start_stack_deletion(&mut self, key: &str, unmanage: Unmanage) -> Result<Option<String>, Fault> {
        let Some(mut stack) = self.stacks.get(key).cloned() else { return Ok(None) };
        if !stack.phase.is_final() {
            if stack.phase == StackPhase::Deleting {
                return Ok(Some(stack.operation));
            }
            return Err(Fault::conflict(
                "DeploymentStackInNonTerminalState",
                "The deployment stack is in a non-terminal state and cannot be deleted until its current operation ends.",
            ));
        }
        let (delete, detach) = partition(&stack.managed, unmanage);
        if delete.is_empty() {
            self.stacks.remove(key);
            return Ok(None);
        }
        stack.operation = self.start_operation(key);
        stack.phase = StackPhase::Deleting;
        stack.detached = detach;
        stack.deletions = Deletions::of(delete);
        stack.error = None;
        stack.failed = Vec::new();
        stack.started = self.now;
        stack.ended = None;
        let operation = stack.operation.clone();
        self.stacks.insert(key.to_owned(), stack);
        Ok(Some(operation))
    }

    /// Moves every stack that is not at rest on. Returns whether anything changed.
    pub(crate) fn advance_stacks(&mut self) -> bool {
        let active: Vec<String> =
            self.stacks.iter().filter(|(_, stack)| !stack.phase.is_final()).map(|(key, _)| key.clone()).collect();
        let mut changed = false;
        for key in active {
            let Some(mut stack) = self.stacks.get(&key).cloned() else { continue };
            let moved = match stack.phase {
                StackPhase::Deploying => self.collect_deployment(&mut stack),
                StackPhase::DeletingResources | StackPhase::Deleting => self.continue_deletions(&key, &mut stack),
                _ => false,
            };
            if moved {
                changed = true;
                if self.stacks.contains(&key) {
                    self.stacks.insert(key, stack);
                }
            }
        }
        changed
    }

    fn collect_deployment(&mut self, stack: &mut Stack) -> bool {
        let key = stack.deployment_id.as_deref().unwrap_or_default().to_ascii_lowercase();
        let Some(deployment) = self.deployments.get(&key) else {
            self.end_stack(
                stack,
                StackPhase::Failed,
                Some(ErrorBody::new("DeploymentStackDeploymentNotFound", "The deployment of the stack was deleted.")),
            );
            return true;
        };
        let (status, error, outputs) = (deployment.status, deployment.error.clone(), deployment.outputs.clone());
        if !status.is_final() {
            return false;
        }
        let deployed = self.deployed_ids(&key);
        let known = |list: &[String], id: &String| list.iter().any(|other| other.eq_ignore_ascii_case(id));
        if status != Status::Succeeded {
            let added: Vec<String> = deployed.into_iter().filter(|id| !known(&stack.managed, id)).collect();
            stack.managed.extend(added);
            let phase = if status == Status::Canceled { StackPhase::Canceled } else { StackPhase::Failed };
            let error = ErrorBody::new(
                "DeploymentStackDeploymentFailed",
                "One or more resources could not be deployed. Correlation id: see the deployment's operations.",
            )
            .details(error.into_iter().collect());
            self.end_stack(stack, phase, Some(error));
            return true;
        }
        let gone: Vec<String> = stack
            .managed
            .iter()
            .filter(|id| !known(&deployed, id) && self.resources.contains(&id.to_ascii_lowercase()))
            .cloned()
            .collect();
        let (delete, detach) = partition(&gone, Unmanage::of_settings(&stack.settings));
        stack.managed = deployed;
        stack.outputs = outputs;
        stack.detached = detach;
        stack.deletions = Deletions::of(delete);
        stack.phase = StackPhase::DeletingResources;
        true
    }

    fn continue_deletions(&mut self, key: &str, stack: &mut Stack) -> bool {
        let mut deletions = stack.deletions.clone();
        let moved = self.advance_deletions(&mut deletions);
        stack.deletions = deletions;
        if !stack.deletions.is_finished() {
            return moved;
        }
        stack.deleted = stack.deletions.done.clone();
        stack.failed = stack.deletions.failed.clone();
        let deleting = stack.phase == StackPhase::Deleting;
        if !stack.failed.is_empty() {
            let details = stack.failed.iter().map(|(id, error)| error.clone().target(id.clone())).collect();
            let error =
                ErrorBody::new("DeploymentStackDeleteResourcesFailed", "One or more resources could not be deleted.")
                    .details(details);
            // What could not be deleted stays managed, so that the next attempt finds it.
            for (id, _) in &stack.failed {
                if !stack.managed.iter().any(|managed| managed.eq_ignore_ascii_case(id)) {
                    stack.managed.push(id.clone());
                }
            }
            if deleting {
                let gone = stack.deleted.clone();
                stack.managed.retain(|id| !gone.iter().any(|gone| gone.eq_ignore_ascii_case(id)));
            }
            self.end_stack(stack, StackPhase::Failed, Some(error));
        } else if deleting {
            self.end_operation(&stack.operation, Status::Succeeded, None);
            self.stacks.remove(key);
        } else {
            self.end_stack(stack, StackPhase::Succeeded, None);
        }
        true
    }

    fn end_stack(&mut self, stack: &mut Stack, phase: StackPhase, error: Option<ErrorBody>) {
        let status = match phase {
            StackPhase::Succeeded => Status::Succeeded,
            StackPhase::Canceled => Status::Canceled,
            _ => Status::Failed,
        };
        stack.phase = phase;
        stack.ended = Some(self.now);
        self.end_operation(&stack.operation, status, error.clone());
        stack.error = error;
    }

    /// A stack as a GET shows it.
    pub(crate) fn stack_body(&self, stack: &Stack) -> Value {
        let id = ResourceId::parse(&stack.id).ok();
        let deny = match stack.settings["denySettings"]["mode"].as_str() {
            Some(mode) if !mode.eq_ignore_ascii_case("none") => mode,
            _ => "none",
        };
        let references = |ids: &[String]| -> Value { ids.iter().map(|id| json!({ "id": id })).collect() };
        let mut properties = stack.settings.clone();
        properties["denySettings"]["mode"] = deny.into();
        if properties["actionOnUnmanage"]["managementGroups"].is_null() {
            properties["actionOnUnmanage"]["managementGroups"] = "detach".into();
        }
        properties["provisioningState"] = stack.phase.as_str().into();
        properties["resources"] =
            stack.managed.iter().map(|id| json!({ "id": id, "status": "managed", "denyStatus": deny })).collect();
        properties["detachedResources"] = references(&stack.detached);
        properties["deletedResources"] = references(&stack.deleted);
        properties["failedResources"] =
            stack.failed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
        properties["parameters"] = shown_parameters(&stack.parameters);
        properties["correlationId"] = stack.correlation_id.clone().into();
        properties["duration"] = duration(stack.started, stack.ended.unwrap_or(self.now)).into();
        if let Some(deployment) = &stack.deployment_id {
            properties["deploymentId"] = deployment.clone().into();
        }
        if !stack.outputs.is_empty() {
            properties["outputs"] = shown_parameters(&stack.outputs);
        }
        if let Some(error) = &stack.error {
            properties["error"] = json!(error);
        }
        let mut body = json!({
            "id": stack.id,
            "name": id.as_ref().map_or("", |id| id.name()),
            "type": "Microsoft.Resources/deploymentStacks",
            "properties": properties,
            "systemData": { "createdAt": stack.created.rfc3339_micros(), "lastModifiedAt": stack.started.rfc3339_micros() },
        });
        if let Some(location) = &stack.location {
            body["location"] = location.clone().into();
        }
        if let Some(tags) = &stack.tags {
            body["tags"] = tags.clone();
        }
        body
    }
}

/// What is deleted and what is let go. Resources of a group that is deleted go with it.
fn partition(ids: &[String], unmanage: Unmanage) -> (Vec<String>, Vec<String>) {
    let parsed: Vec<ResourceId> = ids.iter().filter_map(|id| ResourceId::parse(id).ok()).collect();
    let is_group = |id: &ResourceId| id.resource_group().is_some() && id.namespace().is_none();
    let deletes = |id: &ResourceId| if is_group(id) { unmanage.delete_groups } else { unmanage.delete_resources };
    let (delete, detach): (Vec<&ResourceId>, Vec<&ResourceId>) = parsed.iter().partition(|id| deletes(id));
    let groups: Vec<&ResourceId> = delete.iter().copied().filter(|id| is_group(id)).collect();
    let covered = |id: &ResourceId| groups.iter().any(|group| id.is_within(group));
    let delete = delete.into_iter().filter(|id| !covered(id)).map(|id| id.key().to_owned()).collect();
    (delete, detach.into_iter().filter(|id| !covered(id)).map(ToString::to_string).collect())
}

fn check_settings(properties: &Value) -> Result<(), Fault> {
    let one_of = |pointer: &str, choices: &[&str], required: bool| {
        let value = properties.pointer(pointer).and_then(Value::as_str);
        match value {
            None if !required => Ok(()),
            Some(value) if choices.iter().any(|choice| choice.eq_ignore_ascii_case(value)) => Ok(()),
            other => Err(Fault::bad_request(
                "DeploymentStackInvalidProperty",
                format!(
                    "The value '{}' of 'properties{}' is not one of: {}.",
                    other.unwrap_or_default(),
                    pointer.replace('/', "."),
                    choices.join(", ")
                ),
            )),
        }
    };
    one_of("/actionOnUnmanage/resources", &["delete", "detach"], true)?;
    one_of("/actionOnUnmanage/resourceGroups", &["delete", "detach"], false)?;
    one_of("/actionOnUnmanage/managementGroups", &["delete", "detach"], false)?;
    one_of("/denySettings/mode", &["none", "denyDelete", "denyWriteAndDelete"], false)
}
