//! A connection to the cloud that an environment's stacks are for.

use arm_client::{AZURE_ENDPOINT, ArmClient, Connection};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use stack::arm::{Driver, Live};
use stack::cluster::Cluster;
use stack::file::AzureTarget;
use stack::{Reporter, Target};

use crate::args::StackName;
use crate::cloud;
use crate::error::{CliError, Result};
use crate::project::Project;

const CLUSTER_API_VERSION: &str = "2026-05-01";

pub struct Session {
    pub project: Project,
    pub environment: String,
    pub target: Target,
    pub arm: ArmClient,
    /// The authority that signs what the cloud serves, where the cloud names one.
    pub certificate_authority: Option<String>,
    /// Where the platform answers, when that is not its load balancer's address.
    pub console_url: Option<String>,
    /// The cloud of this machine answers, also where it only stands for Azure. Its public addresses reach nobody; it says itself
    /// where the platform answers.
    pub is_embedded: bool,
    pub commit: Option<String>,
    /// What this command leaves in ARM's records under one name.
    pub run: String,
}

impl Session {
    /// Whether an environment's stacks go to the embedded cloud.
    pub fn is_for_this_machine(project: &Project, environment: &str) -> Result<bool> {
        Ok(target_of(project, environment)? == Target::Local)
    }

    /// Connects; a local cloud that does not run is started when `start` is set.
    pub async fn open(project: Project, environment: &str, start: bool, reporter: &dyn Reporter) -> Result<Session> {
        let target = target_of(&project, environment)?;
        let commit = stack::git::commit(&project.root);
        let mut is_embedded = target == Target::Local;
        let (connection, certificate_authority, console_url) = match &target {
            Target::Local => {
                let cloud = if start {
                    cloud::ensure_running(reporter, None).await?
                } else {
                    let cloud = cloud::running()?;
                    cloud.check_answers().await?;
                    cloud
                };
                (cloud.arm_connection(), Some(cloud.certificate_authority.clone()), cloud.console_url.clone())
            }
            Target::Azure(azure) => {
                let connection = Connection::from_environment(&subscription(azure, environment)?)?;
                if connection.endpoint != AZURE_ENDPOINT {
                    reporter.line(&format!("Azure is {} (MAREA_ARM_ENDPOINT)", connection.endpoint));
                }
                is_embedded =
                    cloud::find()?.is_some_and(|cloud| cloud.arm_connection().endpoint == connection.endpoint);
                (connection, None, None)
            }
        };
        let arm = ArmClient::new(&connection)?;
        Ok(Session {
            project,
            environment: environment.to_owned(),
            target,
            arm,
            certificate_authority,
            console_url,
            is_embedded,
            commit,
            run: format!("{}-{}", jiff::Timestamp::now().as_millisecond(), std::process::id()),
        })
    }

    pub fn driver(&self) -> Driver<'_> {
        Driver { client: &self.arm }
    }

    pub fn is_local(&self) -> bool {
        self.target == Target::Local
    }

    pub async fn live(&self, stack: StackName) -> Result<Option<Live>> {
        Ok(self.driver().live(&stack_resource(stack)).await?)
    }

    /// The cluster that the base stack made.
    pub async fn cluster(&self, cluster_id: &str) -> Result<Cluster> {
        Ok(Cluster::connect(&self.kubeconfig(cluster_id).await?).await?)
    }

    pub async fn kubeconfig(&self, cluster_id: &str) -> Result<String> {
        let answer =
            self.arm.post(&format!("{cluster_id}/listClusterAdminCredential"), CLUSTER_API_VERSION, None).await?;
        let encoded = answer.pointer("/kubeconfigs/0/value").and_then(serde_json::Value::as_str).unwrap_or_default();
        BASE64
            .decode(encoded)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .filter(|text| !text.is_empty())
            .ok_or_else(|| {
                CliError::failed(format!("{cluster_id} gave no credentials"))
                    .advice("Wait until the cluster is ready and run the command again.")
            })
    }
}

/// The subscription that the files or the environment name.
pub fn subscription(azure: &AzureTarget, environment: &str) -> Result<String> {
    azure.subscription.clone().or_else(|| std::env::var("AZURE_SUBSCRIPTION_ID").ok()).ok_or_else(|| {
        CliError::bad_input(format!("no Azure subscription is named for `{environment}`"))
            .advice("Set AZURE_SUBSCRIPTION_ID, or `target: {azure: {subscription: …}}` in the stacks' files.")
    })
}

/// The deployment stack's name in ARM.
pub fn stack_resource(stack: StackName) -> String {
    format!("marea-{}", stack.name())
}

/// All stacks of an environment go to one cloud: the base stack's file says which, and the others must agree.
pub fn target_of(project: &Project, environment: &str) -> Result<Target> {
    let mut target = None;
    for stack in StackName::ALL {
        let file: stack::StackFile<serde_json::Value> = project.load(stack, environment)?;
        match &target {
            None => target = Some(file.target),
            Some(first) if *first != file.target => {
                let file = project.file(stack, environment);
                return Err(CliError::bad_input(format!(
                    "{}: its `target` differs from the base stack's",
                    file.display()
                ))
                .advice("Name the same target in all three files."));
            }
            Some(_) => {}
        }
    }
    target.ok_or_else(|| CliError::failed("no stack has a target"))
}
