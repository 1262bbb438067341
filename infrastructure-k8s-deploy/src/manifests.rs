//! From the manifests as they are written to the manifests as they are applied.

use serde_json::json;
use sha2::{Digest, Sha256};
use stack::cluster::{Manifest, ManifestError};

use crate::config::Config;
use crate::database::{self, POOL_SURGE};
use crate::{Inputs, workload};

#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("no manifest has the {0}, which the configuration sets")]
    Missing(String),
    #[error("config.versions: no container runs an image of `{0}`")]
    UnusedVersion(String),
    #[error("config.{workload}.replicas: min {min} and max {max} leave no number of replicas")]
    Bounds { workload: &'static str, min: u32, max: u32 },
    #[error(
        "config.backend.replicas.max: {max} replicas and one more during a rollout leave none of the database's {user_connections} connections for each; \
         lower it, or choose a larger `size` in the db stack"
    )]
    Connections { max: u32, user_connections: u32 },
    #[error("{0}")]
    Platform(String),
}

/// Fills in image versions, bounds, behaviour and the database. `source` is what `k8s/` holds.
///
/// # Errors
/// When the configuration names what no manifest has, or the replicas exceed the database's connections.
pub fn manifests(config: &Config, inputs: &Inputs, source: Vec<Manifest>) -> Result<Vec<Manifest>, DeployError> {
    let mut manifests = source;
    let pool_size = pool_size(config, inputs)?;
    let generated = database::objects(&inputs.database, pool_size, &inputs.certificate_authority);
    let digest = Sha256::digest(serde_json::to_vec(&generated).unwrap_or_default());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();

    for (name, settings) in [("backend", &config.backend), ("frontend", &config.frontend)] {
        let scaling = &settings.replicas;
        if scaling.min == 0 || scaling.max < scaling.min {
            return Err(DeployError::Bounds { workload: name, min: scaling.min, max: scaling.max });
        }
        workload::set_deployment(find(&mut manifests, "Deployment", "platform", name)?, settings);
        workload::set_autoscaler(find(&mut manifests, "HorizontalPodAutoscaler", "platform", name)?, scaling);
    }
    workload::set_config_digest(find(&mut manifests, "Deployment", "platform", "backend")?, &digest);
    find(&mut manifests, "Deployment", "monitoring", "grafana")?.value["spec"]["replicas"] =
        json!(config.grafana_replicas);
    for (repository, version) in &config.versions {
        let mut used = false;
        for manifest in &mut manifests {
            used |= workload::set_version(manifest, repository, version);
        }
        if !used {
            return Err(DeployError::UnusedVersion(repository.clone()));
        }
    }
    for object in generated {
        manifests.push(Manifest::generated(object)?);
    }
    Ok(manifests)
}

fn pool_size(config: &Config, inputs: &Inputs) -> Result<u32, DeployError> {
    let max = config.backend.replicas.max;
    let user_connections = inputs.database.user_connections;
    platform::connection_pool_size(user_connections, max, POOL_SURGE)
        .ok_or(DeployError::Connections { max, user_connections })
}

fn find<'a>(
    manifests: &'a mut [Manifest],
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<&'a mut Manifest, DeployError> {
    manifests
        .iter_mut()
        .find(|manifest| manifest.is(kind, namespace, name))
        .ok_or_else(|| DeployError::Missing(format!("{kind} {namespace}/{name}")))
}
