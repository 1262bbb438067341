//! The db stack as an ARM deployment.

use std::collections::BTreeMap;

use arm_model::Typed;
use arm_model::resources::{VirtualNetworkLink, VirtualNetworkPeering};
use infrastructure_k8s_base::Outputs as BaseOutputs;
use infrastructure_k8s_db::{
    CLUSTER_LINK, Config, Db, Inputs, PASSWORD, PASSWORD_PARAMETER, PEERING_TO_CLUSTER, VIRTUAL_NETWORK,
};
use stack::arm::Deployment;
use stack::secrets::Secret;
use stack::{Reporter, Stack};

use crate::args::StackName;
use crate::error::{CliError, Result};
use crate::project::Project;
use crate::session::{Session, stack_resource};
use crate::vault::Vault;

pub fn load(project: &Project, environment: &str) -> Result<Config> {
    let file = project.load::<Config>(StackName::Db, environment)?;
    let problems = file.config.problems();
    if problems.is_empty() {
        return Ok(file.config);
    }
    let path = project.file(StackName::Db, environment);
    let list = problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>();
    Err(CliError::bad_input(format!("{}:{list}", path.display())).advice("Correct the file."))
}

/// The administrator's password and what changes with it.
pub struct Password {
    pub value: Secret,
    pub revision: String,
}

/// The password, made now if there is none and `generate` is set; a preview only says that there will be one.
pub fn password(session: &Session, generate: bool) -> Result<Password> {
    let mut vault = Vault::open(&session.project, StackName::Db, &session.environment)?;
    let value = match vault.get(PASSWORD)? {
        Some(value) => value,
        None if generate => vault.generate(PASSWORD)?,
        None => Secret::new("preview-only-1A"),
    };
    Ok(Password { value, revision: vault.revision(PASSWORD).unwrap_or_else(|| "none".to_owned()) })
}

fn inputs(session: &Session, base: &BaseOutputs, password_revision: &str) -> Inputs {
    Inputs {
        subscription_id: session.arm.subscription_id().to_owned(),
        cluster_resource_group: base.resource_group.clone(),
        cluster_network_name: base.virtual_network_name.clone(),
        cluster_network_id: base.virtual_network_id.clone(),
        backend_subnet_prefix: base.backend_subnet_prefix.clone(),
        password_revision: password_revision.to_owned(),
    }
}

/// What the stack declares; it holds no password in any case.
pub fn template(session: &Session, config: &Config, base: &BaseOutputs) -> arm_model::Template {
    Db::template(config, &inputs(session, base, ""))
}

pub fn deployment(session: &Session, config: &Config, base: &BaseOutputs, password: &Password) -> Deployment {
    Deployment {
        name: stack_resource(StackName::Db),
        location: config.location.clone(),
        template: Db::template(config, &inputs(session, base, &password.revision)),
        parameters: BTreeMap::new(),
        secure_parameters: BTreeMap::from([(PASSWORD_PARAMETER.to_owned(), password.value.clone())]),
        tags: super::history::tags(session, StackName::Db),
        deny_delete: config.deny_delete,
    }
}

/// When the cluster's network was deleted and made again, Azure leaves this side of the peering `Disconnected`, refuses to update
/// it, and the zone's link points to the network that is gone. Both are deleted here; the stack makes them again.
///
/// Returns whether anything was repaired, in which case the stack must be applied.
pub async fn repair_peering(session: &Session, config: &Config, reporter: &dyn Reporter) -> Result<bool> {
    let group = format!("{}/resourceGroups/{}", session.arm.subscription_path(), config.resource_group);
    let peering = format!(
        "{group}/providers/Microsoft.Network/virtualNetworks/{VIRTUAL_NETWORK}/virtualNetworkPeerings/{PEERING_TO_CLUSTER}"
    );
    let found = session.arm.find(&peering, VirtualNetworkPeering::API_VERSION).await?.unwrap_or_default();
    if found["properties"]["peeringState"] != "Disconnected" {
        return Ok(false);
    }
    reporter.line("db: the cluster's network was made anew; repairing the peering");
    let link = format!(
        "{group}/providers/Microsoft.Network/privateDnsZones/{}/virtualNetworkLinks/{CLUSTER_LINK}",
        config.network.zone
    );
    for (path, api_version) in
        [(&peering, VirtualNetworkPeering::API_VERSION), (&link, VirtualNetworkLink::API_VERSION)]
    {
        if let Some(operation) = session.arm.delete(path, api_version).await? {
            operation.wait(|_| {}).await?;
        }
    }
    Ok(true)
}
