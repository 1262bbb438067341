//! Creating, updating, reading and deleting a deployment stack at subscription scope.

use std::collections::BTreeMap;
use std::time::Duration;

use arm_client::{ArmClient, ArmClientError};
use arm_model::resources::{
    ActionOnUnmanage, DenySettings, DenySettingsMode, Deployment as DeploymentBody, DeploymentProperties,
    DeploymentStack, DeploymentStackProperties, Tags, UnmanageAction,
};
use arm_model::{ResourceId, Template, Typed};
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::whatif;
use crate::change::{Change, ChangeKind};
use crate::report::Reporter;
use crate::secrets::Secret;

/// One stack as it should be.
pub struct Deployment {
    /// `marea-base`
    pub name: String,
    /// Where ARM keeps the deployment's record; resources have their own location.
    pub location: String,
    pub template: Template,
    pub parameters: BTreeMap<String, Value>,
    /// For `securestring` parameters only.
    pub secure_parameters: BTreeMap<String, Secret>,
    pub tags: Tags,
    /// Azure refuses deletions of the stack's resources by anybody, except through the stack.
    pub deny_delete: bool,
}

/// One stack as Azure has it.
#[derive(Clone, Debug)]
pub struct Live {
    /// `succeeded`, `failed`, `deploying` …
    pub state: String,
    pub outputs: Map<String, Value>,
    /// Ids of the managed resources.
    pub resources: Vec<String>,
    pub tags: Tags,
}

impl Live {
    fn read(body: &Value) -> Live {
        let properties = &body["properties"];
        let outputs = properties["outputs"].as_object().map(|outputs| {
            outputs
                .iter()
                .map(|(name, output)| (name.clone(), output.get("value").cloned().unwrap_or_default()))
                .collect()
        });
        let resources = properties["resources"].as_array().map(|resources| {
            resources.iter().filter_map(|resource| resource["id"].as_str()).map(str::to_owned).collect()
        });
        Live {
            state: properties["provisioningState"].as_str().unwrap_or_default().to_ascii_lowercase(),
            outputs: outputs.unwrap_or_default(),
            resources: resources.unwrap_or_default(),
            tags: serde_json::from_value(body["tags"].clone()).unwrap_or_default(),
        }
    }

    pub fn succeeded(&self) -> bool {
        self.state == "succeeded"
    }

    fn is_at_rest(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "canceled")
    }

    /// The outputs as the stack's type, if it has finished once and they are complete.
    pub fn outputs<O: DeserializeOwned>(&self) -> Option<O> {
        serde_json::from_value(Value::Object(self.outputs.clone())).ok()
    }

    pub fn has_type(&self, resource_type: &str) -> bool {
        let needle = format!("/providers/{}/", resource_type.to_ascii_lowercase());
        self.resources.iter().any(|id| id.to_ascii_lowercase().contains(&needle))
    }
}

pub struct Driver<'a> {
    pub client: &'a ArmClient,
}

impl Driver<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Resources/deploymentStacks/{name}", self.client.subscription_path())
    }

    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn live(&self, name: &str) -> Result<Option<Live>, ArmClientError> {
        Ok(self.client.find(&self.path(name), DeploymentStack::API_VERSION).await?.map(|body| Live::read(&body)))
    }

    /// What [`Driver::apply`] would change. `live` is what [`Driver::live`] gave.
    ///
    /// # Errors
    /// When ARM cannot be reached, refuses, or finds the template invalid.
    pub async fn preview(&self, deployment: &Deployment, live: Option<&Live>) -> Result<Vec<Change>, ArmClientError> {
        let path = format!(
            "{}/providers/Microsoft.Resources/deployments/{}/whatIf",
            self.client.subscription_path(),
            deployment.name
        );
        let properties = json!({
            "mode": "Incremental",
            "template": deployment.template.to_value(),
            "parameters": parameters(deployment),
            "whatIfSettings": {"resultFormat": "FullResourcePayloads"},
        });
        let body = json!({"location": deployment.location, "properties": properties});
        let operation = self.client.post_operation(&path, DeploymentBody::API_VERSION, &body).await?;
        let result = operation.wait(|_| {}).await?.unwrap_or_default();
        let mut answer = whatif::read(&result, &path)?;
        // An incremental what-if does not know what the stack owned before: what it no longer names will be deleted.
        for id in live.map(|live| live.resources.as_slice()).unwrap_or_default() {
            let Ok(parsed) = ResourceId::parse(id) else { continue };
            if !answer.declared.contains(&id.to_ascii_lowercase()) && !whatif::is_deployment(&parsed) {
                answer.changes.push(Change {
                    kind: ChangeKind::Delete,
                    target: whatif::below_subscription(id),
                    properties: Vec::new(),
                });
            }
        }
        Ok(answer.changes)
    }

    /// Makes Azure as declared and waits. Can be repeated at any time; a request that finds the stack busy waits for it first.
    ///
    /// # Errors
    /// When ARM cannot be reached, refuses, or a resource fails.
    pub async fn apply(&self, deployment: &Deployment, reporter: &dyn Reporter) -> Result<Live, ArmClientError> {
        let body = DeploymentStack {
            location: Some(deployment.location.clone()),
            tags: deployment.tags.clone(),
            properties: DeploymentStackProperties {
                template: Some(deployment.template.to_value()),
                parameters: parameters(deployment),
                action_on_unmanage: ActionOnUnmanage {
                    resources: UnmanageAction::Delete,
                    resource_groups: Some(UnmanageAction::Delete),
                    management_groups: None,
                },
                deny_settings: DenySettings {
                    mode: if deployment.deny_delete { DenySettingsMode::DenyDelete } else { DenySettingsMode::None },
                    ..DenySettings::default()
                },
                description: Some("Made by marea; change it through `marea up`.".to_owned()),
                ..DeploymentStackProperties::default()
            },
        };
        let body = serde_json::to_value(&body).unwrap_or_default();
        let path = self.path(&deployment.name);
        let operation = loop {
            match self.client.put(&path, DeploymentStack::API_VERSION, &body).await {
                Err(error) if is_busy(&error) => self.wait_until_idle(&deployment.name, reporter).await?,
                other => break other?,
            }
        };
        let answer =
            operation.wait(|progress| reporter.status(&format!("{}: {}", deployment.name, progress.status))).await?;
        Ok(Live::read(&answer.unwrap_or_default()))
    }

    /// Deletes the stack, its resources and its resource groups. `false` where there was none.
    ///
    /// # Errors
    /// When ARM cannot be reached or refuses, or a resource cannot be deleted.
    pub async fn destroy(&self, name: &str, reporter: &dyn Reporter) -> Result<bool, ArmClientError> {
        let path = format!(
            "{}?unmanageAction.Resources=delete&unmanageAction.ResourceGroups=delete&bypassStackOutOfSyncError=true",
            self.path(name)
        );
        let operation = loop {
            match self.client.delete(&path, DeploymentStack::API_VERSION).await {
                Err(error) if is_busy(&error) => self.wait_until_idle(name, reporter).await?,
                other => break other?,
            }
        };
        match operation {
            Some(operation) => {
                operation.wait(|progress| reporter.status(&format!("{name}: {}", progress.status))).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// An interrupted run leaves its operation going in Azure, which takes the next one only after it.
    async fn wait_until_idle(&self, name: &str, reporter: &dyn Reporter) -> Result<(), ArmClientError> {
        let mut pause = Duration::from_millis(20);
        while let Some(live) = self.live(name).await? {
            if live.is_at_rest() {
                break;
            }
            reporter.status(&format!("{name}: waiting for an earlier operation ({})", live.state));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        Ok(())
    }

    /// Records that something was released: an empty deployment, tagged, which ARM keeps in the scope's history.
    ///
    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn record(
        &self,
        scope: &str,
        name: &str,
        location: Option<&str>,
        tags: Tags,
    ) -> Result<(), ArmClientError> {
        let template = if location.is_some() { Template::for_subscription() } else { Template::for_group() };
        let body = DeploymentBody {
            location: location.map(str::to_owned),
            tags,
            properties: DeploymentProperties { template: Some(template.to_value()), ..DeploymentProperties::default() },
        };
        let path = format!("{scope}/providers/Microsoft.Resources/deployments/{name}");
        let body = serde_json::to_value(&body).unwrap_or_default();
        self.client.put(&path, DeploymentBody::API_VERSION, &body).await?.wait(|_| {}).await?;
        Ok(())
    }
}

fn is_busy(error: &ArmClientError) -> bool {
    error.body().is_some_and(|body| body.code == "DeploymentStackInNonTerminalState")
}

fn parameters(deployment: &Deployment) -> IndexMap<String, Value> {
    let plain = deployment.parameters.iter().map(|(name, value)| (name.clone(), json!({"value": value})));
    let secure =
        deployment.secure_parameters.iter().map(|(name, secret)| (name.clone(), json!({"value": secret.expose()})));
    plain.chain(secure).collect()
}
