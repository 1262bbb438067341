//! Running a deployment: steps start when what they wait for is done, in parallel otherwise.

use std::collections::BTreeMap;

use arm_model::error::ErrorBody;
use arm_model::id::ResourceId;
use serde_json::{Map, Value, json};

use super::layout::{LaidOut, is_inner, named_by, variables_of};
use super::resolve_parameters;
use crate::deletion::Deletions;
use crate::engine::Engine;
use crate::expression::{Context, DeploymentScope, Evaluated, ExpressionError, RunTime, evaluate_value, unique_string};
use crate::fault::Fault;
use crate::providers;
use crate::resources::Conditions;
use crate::state::{Deployment, Status, Step, StepState, TypedValue};
use crate::subscription::SUBSCRIPTION_NAME;

/// Keys of a declaration that steer the deployment and are not part of the resource.
const CONTROL_KEYS: [&str; 12] = [
    "type",
    "apiVersion",
    "name",
    "condition",
    "existing",
    "dependsOn",
    "copy",
    "scope",
    "resourceGroup",
    "subscriptionId",
    "comments",
    "metadata",
];

/// What a deployment is asked to be.
pub(crate) struct Wanted {
    pub id: ResourceId,
    pub location: Option<String>,
    pub tags: Option<Value>,
    pub properties: Value,
    pub principal: String,
    pub correlation_id: Option<String>,
}

impl Engine {
    /// Checks a deployment, stores it and starts its operation, which is returned.
    pub(crate) fn start_deployment(&mut self, wanted: Wanted, outer: Option<&Deployment>) -> Result<String, Fault> {
        let key = wanted.id.key().to_owned();
        if self.deployments.get(&key).is_some_and(|running| running.status == Status::Running) {
            return Err(Fault::conflict(
                "DeploymentActive",
                format!(
                    "Unable to edit or replace deployment '{}': previous deployment is still active. Please see https://aka.ms/arm-deploy for usage details.",
                    wanted.id.name()
                ),
            ));
        }
        let mut deployment = self.planned(&wanted, outer)?;
        deployment.operation = self.start_operation(&key);
        deployment.correlation_id = match wanted.correlation_id {
            Some(correlation_id) => correlation_id,
            None => self.guid(),
        };
        let operation = deployment.operation.clone();
        self.deployments.insert(key, deployment);
        Ok(operation)
    }

    /// A deployment with its steps, not yet started. Gives every error that the template alone can have.
    pub(crate) fn planned(&self, wanted: &Wanted, outer: Option<&Deployment>) -> Result<Deployment, Fault> {
        let properties = &wanted.properties;
        if properties.get("templateLink").is_some_and(|link| !link.is_null()) {
            return Err(Fault::not_offered("A templateLink"));
        }
        let mode = match properties["mode"].as_str().unwrap_or("Incremental") {
            mode if mode.eq_ignore_ascii_case("incremental") => "Incremental",
            mode if mode.eq_ignore_ascii_case("complete") => "Complete",
            other => {
                return Err(Fault::bad_request(
                    "InvalidDeploymentMode",
                    format!("The deployment mode '{other}' is not one of Incremental, Complete."),
                ));
            }
        };
        let mut template = properties["template"].clone();
        let scope_id = ResourceId::parse(wanted.id.scope())
            .map_err(|error| Fault::bad_request("InvalidDeployment", error.to_string()))?;
        if let Some(group) = scope_id.resource_group().filter(|_| !self.resources.contains(scope_id.key())) {
            return Err(Fault::group_not_found(group));
        }
        if mode == "Complete" && scope_id.resource_group().is_none() {
            return Err(Fault::bad_request(
                "InvalidDeploymentMode",
                "The deployment mode Complete is only allowed for resource groups.",
            ));
        }
        if scope_id.resource_group().is_none() && wanted.location.is_none() {
            return Err(Fault::bad_request(
                "LocationRequired",
                "The location property is required for this deployment.",
            ));
        }
        let mut scope = self.deployment_scope(wanted, &scope_id, &template, mode);
        let parameters = match outer {
            // Outer scope: the nested template sees the parameters and variables of the one it is in.
            Some(parent) => {
                for key in ["parameters", "variables"] {
                    template[key] = parent.template.get(key).cloned().unwrap_or_else(|| json!({}));
                }
                parent.parameters.clone()
            }
            None => resolve_parameters(&template, &properties["parameters"], &scope, self.now)?,
        };
        scope.deployment["properties"]["parameters"] = super::shown_parameters(&parameters);
        let values = plain_values(&parameters);
        let variables = variables_of(&template);
        let context = Context::new(&values, &variables, &scope);
        let laid_out = LaidOut::of(&template, &context, &scope_id)?;
        Ok(Deployment {
            id: wanted.id.to_string(),
            location: wanted.location.clone(),
            tags: wanted.tags.clone(),
            mode: mode.to_owned(),
            template_hash: unique_string(&template.to_string()),
            template,
            parameters,
            status: Status::Running,
            correlation_id: String::new(),
            operation: String::new(),
            principal: wanted.principal.clone(),
            started: self.now,
            ended: None,
            steps: laid_out.steps,
            outputs: BTreeMap::new(),
            error: None,
            deletions: None,
        })
    }

    fn deployment_scope(&self, wanted: &Wanted, scope: &ResourceId, template: &Value, mode: &str) -> DeploymentScope {
        DeploymentScope {
            tenant_id: self.settings.tenant_id.clone(),
            subscription_id: scope.subscription().unwrap_or_default().to_owned(),
            subscription_name: SUBSCRIPTION_NAME.to_owned(),
            group: self.resources.get(scope.key()).map(|group| group.body.clone()),
            group_name: scope.resource_group().map(str::to_owned),
            deployment: json!({
                "name": wanted.id.name(),
                "location": wanted.location,
                "properties": { "mode": mode, "provisioningState": "Accepted", "template": { "contentVersion": template["contentVersion"] } },
            }),
            principal_id: wanted.principal.clone(),
        }
    }

    fn scope_of(&self, deployment: &Deployment) -> Option<DeploymentScope> {
        let id = ResourceId::parse(&deployment.id).ok()?;
        let scope = ResourceId::parse(id.scope()).ok()?;
        let wanted = Wanted {
            id,
            location: deployment.location.clone(),
            tags: None,
            properties: Value::Null,
            principal: deployment.principal.clone(),
            correlation_id: None,
        };
        Some(self.deployment_scope(&wanted, &scope, &deployment.template, &deployment.mode))
    }

    /// Moves every running deployment on. Returns whether anything changed.
    pub(crate) fn advance_deployments(&mut self) -> bool {
        let running: Vec<String> = self
            .deployments
            .iter()
            .filter(|(_, deployment)| deployment.status == Status::Running)
            .map(|(key, _)| key.clone())
            .collect();
        let mut changed = false;
        for key in running {
            let Some(mut deployment) = self.deployments.get(&key).cloned() else { continue };
            let moved = self.collect_steps(&mut deployment)
                | self.start_steps(&mut deployment)
                | self.finish_deployment(&mut deployment);
            if moved {
                changed = true;
                self.deployments.insert(key, deployment);
            }
        }
        changed
    }

    fn collect_steps(&self, deployment: &mut Deployment) -> bool {
        let mut changed = false;
        for step in deployment.steps.iter_mut().filter(|step| step.state == StepState::Running) {
            let ended = step
                .operation
                .as_ref()
                .and_then(|guid| self.operations.get(guid))
                .map(|operation| (operation.status, operation.error.clone()));
            let (state, error) = match ended {
                Some((Status::Running, _)) => continue,
                Some((Status::Failed | Status::Canceled, error)) => (StepState::Failed, error),
                Some((Status::Succeeded, _)) | None => (StepState::Succeeded, None),
            };
            step.state = state;
            step.status_code = Some(if error.is_some() { 409 } else { step.status_code.unwrap_or(200) });
            step.error = error;
            step.ended = Some(self.now);
            changed = true;
        }
        changed
    }

    fn start_steps(&mut self, deployment: &mut Deployment) -> bool {
        let mut changed = false;
        loop {
            let done =
                |index: &usize| matches!(deployment.steps[*index].state, StepState::Succeeded | StepState::Skipped);
            let ready: Vec<usize> = deployment
                .steps
                .iter()
                .enumerate()
                .filter(|(_, step)| step.state == StepState::Waiting && step.depends_on.iter().all(done))
                .map(|(index, _)| index)
                .collect();
            if ready.is_empty() {
                return changed;
            }
            changed = true;
            for index in ready {
                let result = self.start_step(deployment, index);
                let now = self.now;
                let step = &mut deployment.steps[index];
                step.started = Some(now);
                match result {
                    Ok((code, Some(operation))) => {
                        step.state = StepState::Running;
                        step.operation = Some(operation);
                        step.status_code = Some(code);
                    }
                    Ok((code, None)) => {
                        step.state = StepState::Succeeded;
                        step.status_code = Some(code);
                        step.ended = Some(now);
                    }
                    Err(fault) => {
                        step.state = StepState::Failed;
                        step.status_code = Some(fault.status);
                        step.error = Some(*fault.body);
                        step.ended = Some(now);
                    }
                }
            }
        }
    }

    fn start_step(&mut self, deployment: &Deployment, index: usize) -> Result<(u16, Option<String>), Fault> {
        let step = &deployment.steps[index];
        let id = ResourceId::parse(&step.id).map_err(|error| Fault::invalid_template(error.to_string()))?;
        let kind = if step.resource_type.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
            "Microsoft.Resources/subscriptions/resourceGroups"
        } else {
            &step.resource_type
        };
        self.check_write(&deployment.principal, kind, &step.id)?;
        let body = self.step_body(deployment, step)?;
        if step.resource_type.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
            let existed = self.resources.contains(id.key());
            self.put_group(&id, &body)?;
            return Ok((if existed { 200 } else { 201 }, None));
        }
        if step.resource_type.eq_ignore_ascii_case("Microsoft.Resources/deployments") {
            return self.start_nested(deployment, step, id, body);
        }
        self.check_links(&deployment.principal, &deployment.principal, &id, &body)?;
        let written = self.put_resource(&id, &step.api_version, &body, &Conditions::default())?;
        Ok((if written.created { 201 } else { 200 }, written.operation))
    }

    fn start_nested(
        &mut self,
        deployment: &Deployment,
        step: &Step,
        id: ResourceId,
        mut body: Value,
    ) -> Result<(u16, Option<String>), Fault> {
        let inner = is_inner(&step.raw);
        // Neither form's template is evaluated with the parent's resources: the nested deployment does that itself.
        body["properties"]["template"] = step.raw["properties"]["template"].clone();
        let in_group = ResourceId::parse(id.scope()).is_ok_and(|scope| scope.resource_group().is_some());
        let wanted = Wanted {
            location: body["location"]
                .as_str()
                .map(str::to_owned)
                .or_else(|| deployment.location.clone().filter(|_| !in_group)),
            id,
            tags: body.get("tags").cloned(),
            properties: body["properties"].clone(),
            principal: deployment.principal.clone(),
            correlation_id: Some(deployment.correlation_id.clone()),
        };
        let operation = self.start_deployment(wanted, (!inner).then_some(deployment))?;
        Ok((201, Some(operation)))
    }

    fn step_body(&self, deployment: &Deployment, step: &Step) -> Result<Value, Fault> {
        let mut raw = step.raw.as_object().cloned().unwrap_or_default();
        for key in CONTROL_KEYS {
            raw.remove(key);
        }
        if step.resource_type.eq_ignore_ascii_case("Microsoft.Resources/deployments")
            && let Some(properties) = raw.get_mut("properties").and_then(Value::as_object_mut)
        {
            properties.remove("template");
        }
        self.evaluated(deployment, &Value::Object(raw), step.copies.clone()).map_err(|error| {
            Fault::invalid_template(format!(
                "Unable to process template language expressions for resource '{}' at line '1' and column '1'. '{}'",
                step.id, error.0
            ))
        })
    }

    fn evaluated(&self, deployment: &Deployment, value: &Value, copies: BTreeMap<String, i64>) -> Evaluated {
        let scope = self.scope_of(deployment).ok_or_else(|| ExpressionError::new("The deployment's scope is gone."))?;
        let values = plain_values(&deployment.parameters);
        let variables = variables_of(&deployment.template);
        let live = Live { engine: self, steps: &deployment.steps };
        let context = Context { copies, run_time: Some(&live), ..Context::new(&values, &variables, &scope) };
        evaluate_value(value, &context)
    }

    fn finish_deployment(&mut self, deployment: &mut Deployment) -> bool {
        if deployment.steps.iter().any(|step| step.state == StepState::Running) {
            return false;
        }
        let failures: Vec<ErrorBody> = deployment
            .steps
            .iter()
            .filter_map(|step| {
                step.error
                    .clone()
                    .map(|error| if error.target.is_none() { error.target(step.id.clone()) } else { error })
            })
            .collect();
        if !failures.is_empty() {
            let message = "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.";
            self.end_deployment(
                deployment,
                Status::Failed,
                Some(ErrorBody::new("DeploymentFailed", message).details(failures)),
            );
            return true;
        }
        if deployment.mode == "Complete" {
            let mut deletions =
                deployment.deletions.clone().unwrap_or_else(|| Deletions::of(self.not_in_template(deployment)));
            let moved = self.advance_deletions(&mut deletions);
            let finished = deletions.is_finished();
            let failed: Vec<ErrorBody> = deletions.failed.iter().map(|(_, error)| error.clone()).collect();
            let first = deployment.deletions.is_none();
            deployment.deletions = Some(deletions);
            if !finished {
                return moved || first;
            }
            if !failed.is_empty() {
                self.end_deployment(
                    deployment,
                    Status::Failed,
                    Some(
                        ErrorBody::new(
                            "DeploymentFailed",
                            "Resources that the template does not name could not be deleted.",
                        )
                        .details(failed),
                    ),
                );
                return true;
            }
        }
        match self.evaluate_outputs(deployment) {
            Ok(outputs) => {
                deployment.outputs = outputs;
                self.end_deployment(deployment, Status::Succeeded, None);
            }
            Err(error) => self.end_deployment(deployment, Status::Failed, Some(error)),
        }
        true
    }

    /// Resources of the deployment's group that complete mode deletes.
    fn not_in_template(&self, deployment: &Deployment) -> Vec<String> {
        let Some(scope) = ResourceId::parse(&deployment.id).ok().map(|id| id.scope().to_ascii_lowercase()) else {
            return Vec::new();
        };
        let prefix = format!("{scope}/");
        self.resources
            .below(&prefix)
            .filter(|(key, _)| ResourceId::parse(key).is_ok_and(|id| id.names().len() == 1))
            .map(|(key, _)| key.clone())
            .filter(|key| !deployment.steps.iter().any(|step| step.id.eq_ignore_ascii_case(key)))
            .collect()
    }

    fn end_deployment(&mut self, deployment: &mut Deployment, status: Status, error: Option<ErrorBody>) {
        deployment.status = status;
        deployment.ended = Some(self.now);
        for typed in deployment.parameters.values_mut().filter(|typed| typed.is_secure()) {
            typed.value = Value::Null;
        }
        self.end_operation(&deployment.operation, status, error.clone());
        deployment.error = error;
    }

    pub(crate) fn cancel_deployment(&mut self, key: &str) -> Result<(), Fault> {
        let Some(mut deployment) =
            self.deployments.get(key).cloned().filter(|deployment| deployment.status == Status::Running)
        else {
            return Err(Fault::conflict(
                "DeploymentCannotBeCancelled",
                "The deployment cannot be cancelled because it is not running.",
            ));
        };
        let children: Vec<String> = deployment
            .steps
            .iter()
            .filter(|step| step.state == StepState::Running)
            .map(|step| step.id.to_ascii_lowercase())
            .collect();
        let error = ErrorBody::new("DeploymentCanceled", "The deployment was canceled.");
        self.end_deployment(&mut deployment, Status::Canceled, Some(error));
        self.deployments.insert(key.to_owned(), deployment);
        for child in children {
            if self.deployments.get(&child).is_some_and(|nested| nested.status == Status::Running) {
                self.cancel_deployment(&child)?;
            }
        }
        Ok(())
    }

    fn evaluate_outputs(&self, deployment: &Deployment) -> Result<BTreeMap<String, TypedValue>, ErrorBody> {
        let mut outputs = BTreeMap::new();
        let empty = Map::new();
        for (name, output) in deployment.template["outputs"].as_object().unwrap_or(&empty) {
            let failed = |error: ExpressionError| {
                ErrorBody::new("DeploymentOutputEvaluationFailed", format!("Unable to evaluate template outputs: '{name}'. Please see error details and deployment operations. Please see https://aka.ms/arm-common-errors for usage details."))
                    .details(vec![ErrorBody::new("DeploymentOutputEvaluationFailed", error.0).target(name.clone())])
            };
            if let Some(condition) = output.get("condition")
                && self.evaluated(deployment, condition, BTreeMap::new()).map_err(failed)? == Value::Bool(false)
            {
                continue;
            }
            let value = match output.get("copy") {
                Some(copy) => {
                    let looped =
                        json!({ "copy": [{ "name": "items", "count": copy["count"], "input": copy["input"] }] });
                    self.evaluated(deployment, &looped, BTreeMap::new()).map_err(failed)?["items"].clone()
                }
                None => self
                    .evaluated(deployment, output.get("value").unwrap_or(&Value::Null), BTreeMap::new())
                    .map_err(failed)?,
            };
            let typed = TypedValue { kind: output["type"].as_str().unwrap_or("object").to_owned(), value };
            let value = if typed.is_secure() { Value::Null } else { typed.value };
            outputs.insert(name.clone(), TypedValue { kind: typed.kind, value });
        }
        Ok(outputs)
    }

    /// The ids that a deployment and its nested ones deployed, without the nested deployments themselves.
    pub(crate) fn deployed_ids(&self, key: &str) -> Vec<String> {
        let Some(deployment) = self.deployments.get(key) else { return Vec::new() };
        let mut ids = Vec::new();
        for step in deployment.steps.iter().filter(|step| step.state != StepState::Skipped) {
            if step.resource_type.eq_ignore_ascii_case("Microsoft.Resources/deployments") {
                ids.extend(self.deployed_ids(&step.id.to_ascii_lowercase()));
            } else if step.state == StepState::Succeeded || self.resources.contains(&step.id.to_ascii_lowercase()) {
                ids.push(step.id.clone());
            }
        }
        ids
    }
}

fn plain_values(parameters: &BTreeMap<String, TypedValue>) -> BTreeMap<String, Value> {
    parameters.iter().map(|(name, typed)| (name.clone(), typed.value.clone())).collect()
}

/// Run-time functions over what exists now.
struct Live<'a> {
    engine: &'a Engine,
    steps: &'a [Step],
}

impl Live<'_> {
    fn id_of(&self, target: &str) -> Result<String, ExpressionError> {
        if target.starts_with('/') {
            return Ok(target.to_ascii_lowercase());
        }
        match named_by(self.steps, target).first() {
            Some(index) => Ok(self.steps[*index].id.to_ascii_lowercase()),
            None => Err(ExpressionError::new(format!("The resource '{target}' is not defined in the template."))),
        }
    }
}

impl RunTime for Live<'_> {
    fn reference(&self, target: &str, full: bool) -> Evaluated {
        let key = self.id_of(target)?;
        let body = match (self.engine.resources.get(&key), self.engine.deployments.get(&key)) {
            (Some(resource), _) => self.engine.render(resource),
            (None, Some(deployment)) => self.engine.deployment_body(deployment),
            (None, None) => {
                return Err(ExpressionError::new(format!(
                    "The resource '{key}' referenced by the template does not exist."
                )));
            }
        };
        Ok(if full { body } else { body["properties"].clone() })
    }

    fn list(&self, function: &str, target: &str) -> Evaluated {
        let key = self.id_of(target)?;
        let cluster = self
            .engine
            .resources
            .get(&key)
            .filter(|resource| resource.resource_type == "Microsoft.ContainerService/managedClusters");
        let name = match function {
            "listclusteradmincredential" => "clusterAdmin",
            "listclusterusercredential" => "clusterUser",
            _ => {
                return Err(ExpressionError::new(format!(
                    "The template function '{function}' is not offered by the embedded Azure Resource Manager."
                )));
            }
        };
        let cluster =
            cluster.ok_or_else(|| ExpressionError::new(format!("The resource '{key}' is not a managed cluster.")))?;
        providers::kubeconfigs(cluster, name).map_err(|fault| ExpressionError::new(fault.body.message))
    }
}
