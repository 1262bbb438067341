//! `stack.<env>.yaml`, `config`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stack::Profile;

/// The cluster and its network.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    #[serde(default)]
    pub profile: Profile,
    /// Azure region, e.g. `eastus`.
    pub location: String,
    #[serde(default = "default_group")]
    pub resource_group: String,
    #[serde(default = "default_name")]
    pub cluster_name: String,
    /// `major.minor`; AKS chooses the patch.
    #[serde(default = "default_version")]
    pub kubernetes_version: String,
    #[serde(default)]
    pub tier: ClusterTier,
    #[serde(default)]
    pub network: Network,
    /// Pools by name: a letter, then at most eleven letters or digits, all lower case.
    pub node_pools: BTreeMap<String, NodePool>,
    #[serde(default)]
    pub autoscaler: AutoscalerProfile,
}

fn default_group() -> String {
    "marea-base".to_owned()
}

fn default_name() -> String {
    "marea".to_owned()
}

fn default_version() -> String {
    "1.36".to_owned()
}

/// AKS's pricing tier of the control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ClusterTier {
    /// No uptime guarantee, no charge.
    #[default]
    Free,
    Standard,
    Premium,
}

/// Address ranges, as CIDR blocks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Network {
    pub virtual_network: String,
    /// Pods have addresses of their own (overlay), outside the virtual network.
    pub pods: String,
    pub services: String,
    /// Inside `services`, not its first address.
    pub dns_service: String,
    /// The db stack's network, from which nothing may come in.
    pub database: String,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            virtual_network: "10.224.0.0/16".to_owned(),
            pods: "10.244.0.0/16".to_owned(),
            services: "10.100.0.0/16".to_owned(),
            dns_service: "10.100.0.10".to_owned(),
            database: "10.225.0.0/16".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PoolMode {
    /// Runs AKS's own pods, monitoring and the ingress.
    System,
    #[default]
    User,
}

/// Machines of one size. Either `count`, or `min` and `max` for the cluster autoscaler.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodePool {
    #[serde(default)]
    pub mode: PoolMode,
    /// e.g. `Standard_B2s`
    pub vm_size: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// The pool's own subnet, a CIDR block inside the virtual network.
    pub subnet: String,
    /// 10 to 250 pods per node. AKS reserves 20 MB of memory for each.
    #[serde(default = "default_max_pods")]
    pub max_pods: u32,
    /// GiB; without it the size's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_disk_gib: Option<u32>,
}

fn default_max_pods() -> u32 {
    30
}

/// The cluster autoscaler's settings for all pools; what is left out has AKS's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct AutoscalerProfile {
    /// e.g. `10s`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_interval: Option<String>,
    /// `random`, `least-waste`, `most-pods` or `priority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expander: Option<String>,
    /// e.g. `10m`; AKS takes whole minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_after_add: Option<String>,
    /// e.g. `10s`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_after_delete: Option<String>,
    /// e.g. `3m`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_after_failure: Option<String>,
    /// e.g. `10m`; AKS takes whole minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_unneeded_time: Option<String>,
    /// Share of a node's requests below which it is unneeded, e.g. `0.5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_utilization_threshold: Option<String>,
    /// e.g. `15m`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_node_provision_time: Option<String>,
}

/// A value that no region and no profile admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path inside `config`.
    pub field: String,
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "config.{}: {}", self.field, self.problem)
    }
}

impl Config {
    /// What is wrong by itself, before anything is asked of Azure.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let systems = self.node_pools.values().filter(|pool| pool.mode == PoolMode::System).count();
        if systems == 0 {
            problems.push(Problem {
                field: "nodePools".into(),
                problem: "no pool has `mode: system`, which AKS needs".into(),
            });
        }
        for (name, pool) in &self.node_pools {
            let field = format!("nodePools.{name}");
            let mut report =
                |sub: &str, problem: String| problems.push(Problem { field: format!("{field}{sub}"), problem });
            if !is_pool_name(name) {
                report("", "a pool's name is a lower-case letter and at most eleven letters or digits".into());
            }
            match (pool.count, pool.min, pool.max) {
                (Some(_), None, None) => {}
                (None, Some(min), Some(max)) if min <= max && max > 0 => {}
                (None, Some(min), Some(max)) => report("", format!("min {min} and max {max} leave no number of nodes")),
                _ => report("", "set either `count`, or both `min` and `max`".into()),
            }
            if !(10..=250).contains(&pool.max_pods) {
                report(".maxPods", format!("{} is not between 10 and 250", pool.max_pods));
            }
        }
        problems
    }
}

fn is_pool_name(name: &str) -> bool {
    name.len() <= 12
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
