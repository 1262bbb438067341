//! `stack.<env>.yaml`, `config`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is set in the manifests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The folder of the manifests, relative to this file.
    #[serde(default = "default_manifests")]
    pub manifests: PathBuf,
    pub backend: Workload,
    pub frontend: Workload,
    /// Other images: the repository as a manifest has it → the version to run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// 0 leaves Grafana's data source and dashboards in the cluster, where the console draws them.
    #[serde(default = "default_grafana")]
    pub grafana_replicas: u32,
    /// A database that is none of the stack `db`'s, for `--target kube:CONTEXT`. Its password is the secret `databasePassword` of
    /// this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<ForeignDatabase>,
    /// PEM file, relative to this file, of the authorities that sign the database's certificate. Without it, the
    /// authority that the target's cloud names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_file: Option<PathBuf>,
    /// How long a rollout may take.
    #[serde(default = "default_rollout_seconds")]
    pub rollout_seconds: u64,
}

/// Where another database is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ForeignDatabase {
    /// As pods reach it.
    pub host: String,
    #[serde(default = "default_database_port")]
    pub port: u16,
    pub name: String,
    pub user: String,
    /// How many connections the platform may have, all replicas together.
    pub user_connections: u32,
}

fn default_database_port() -> u16 {
    5432
}

fn default_manifests() -> PathBuf {
    PathBuf::from("../k8s")
}

fn default_grafana() -> u32 {
    1
}

fn default_rollout_seconds() -> u64 {
    300
}

/// An autoscaled workload. The backend may be any image that answers `livenessPath` on `port`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Workload {
    /// With its version, e.g. `marea.azurecr.io/backend:0.1.0`.
    pub image: String,
    #[serde(default = "default_port")]
    pub port: u16,
    #[serde(default = "default_liveness")]
    pub liveness_path: String,
    #[serde(default = "default_readiness")]
    pub readiness_path: String,
    /// What must answer through the ingress before `up` is done. Without it `/` of the frontend and `/api/v1/overview` of
    /// the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_path: Option<String>,
    pub replicas: Scaling,
}

impl Config {
    /// The paths that must answer through the ingress once everything is rolled out.
    pub fn public_paths(&self) -> [&str; 2] {
        [
            self.frontend.public_path.as_deref().unwrap_or("/"),
            self.backend.public_path.as_deref().unwrap_or("/api/v1/overview"),
        ]
    }
}

fn default_port() -> u16 {
    8080
}

fn default_liveness() -> String {
    "/health".to_owned()
}

fn default_readiness() -> String {
    "/ready".to_owned()
}

/// The HPA's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scaling {
    pub min: u32,
    pub max: u32,
    /// Average utilization in percent of the request.
    pub targets: BTreeMap<Metric, u32>,
    /// Kubernetes' own where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<ScalingBehavior>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    Cpu,
    Memory,
}

/// `autoscaling/v2`'s behavior.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScalingBehavior {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScalingRules {
    /// 0 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window_seconds: Option<u32>,
    /// `Max`, `Min` or `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<ScalingPolicy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// `Pods` or `Percent`.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: u32,
    /// 1 to 1800.
    pub period_seconds: u32,
}
