//! The decision view of a whole platform: pools, workloads, autoscalers, database, network.
//!
//! Built from templates and manifests, so that lint, simulator and price read what will be deployed and not the
//! configuration that led to it. No I/O, no clock.

mod addons;
mod autoscalers;
mod cluster;
mod connections;
mod database;
mod machine;
mod network;
mod objects;
mod pools;
mod prometheus;
mod selector;
mod services;
mod sizes;
mod workloads;

pub use addons::{ADD_ONS, AddOn, addons};
pub use autoscalers::Autoscaler;
pub use cluster::Cluster;
pub use connections::{UnknownServerSize, connection_pool_size, user_connections};
pub use database::Database;
pub use machine::{Machine, taint};
pub use network::{Network, SubnetView, VirtualNetworkView};
pub use objects::Budget;
pub use pools::{Pool, Scaling};
pub use services::PublicService;
pub use sizes::{Credits, Size};
pub use workloads::Workload;

use arm_model::Template;
use serde_json::Value;

/// The label and taint that tie workloads to pools.
pub const POOL_LABEL: &str = "marea.dev/pool";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Platform {
    pub cluster: Cluster,
    pub pools: Vec<Pool>,
    pub workloads: Vec<Workload>,
    pub hpas: Vec<Autoscaler>,
    pub budgets: Vec<Budget>,
    pub public_services: Vec<PublicService>,
    pub database: Option<Database>,
    pub network: Network,
    /// Every manifest as it is applied, in the order given. Workloads, autoscalers and budgets name theirs by index.
    pub objects: Vec<Value>,
}

impl Platform {
    /// Resources and objects that say nothing about the platform's shape are passed over.
    pub fn new(templates: &[&Template], manifests: &[&Value]) -> Platform {
        let mut platform = Platform::default();
        for template in templates {
            platform.read_template(template);
        }
        platform.objects = manifests.iter().map(|manifest| (*manifest).clone()).collect();
        let objects = || platform.objects.iter().enumerate();
        platform.workloads = objects().filter_map(|(index, manifest)| Workload::read(index, manifest)).collect();
        platform.hpas = objects().filter_map(|(index, manifest)| Autoscaler::read(index, manifest)).collect();
        platform.public_services = platform.objects.iter().filter_map(PublicService::read).collect();
        platform.budgets = objects().filter_map(|(index, manifest)| Budget::read(index, manifest)).collect();
        platform
    }

    /// Whether a pool's nodes have the labels that a workload's pods ask for, and only taints that they tolerate. Alternatives of
    /// node affinity and its operators other than `In` are the scheduler's to judge.
    pub fn admits(&self, pool: &Pool, workload: &Workload) -> bool {
        let Some(node) = self.node(pool, "node") else { return false };
        let labels = node.metadata.labels.unwrap_or_default();
        let fits = |(key, admitted): (&String, &Vec<String>)| labels.get(key).is_some_and(|l| admitted.contains(l));
        workload.required_labels.iter().all(fits)
            && pool
                .taints
                .iter()
                .all(|taint| taint.ends_with(":PreferNoSchedule") || selector::tolerates(&workload.tolerations, taint))
    }

    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == name)
    }

    pub fn workload(&self, kind: &str, namespace: &str, name: &str) -> Option<&Workload> {
        self.workloads.iter().find(|w| w.kind == kind && w.namespace == namespace && w.name == name)
    }

    /// What an autoscaler scales, if a manifest has it.
    pub fn target_of(&self, hpa: &Autoscaler) -> Option<&Workload> {
        self.workload(&hpa.target_kind, &hpa.namespace, &hpa.target)
    }

    /// The autoscaler that rules a workload.
    pub fn hpa_of(&self, workload: &Workload) -> Option<&Autoscaler> {
        self.hpas.iter().find(|hpa| self.target_of(hpa).is_some_and(|target| target.object == workload.object))
    }

    /// Least and most replicas: of the autoscaler, else the number declared, else Kubernetes' default of one. A DaemonSet's
    /// number follows the nodes; it counts as none here.
    pub fn replica_bounds(&self, workload: &Workload) -> (u32, u32) {
        if workload.kind == "DaemonSet" {
            return (0, 0);
        }
        match self.hpa_of(workload) {
            Some(hpa) => (hpa.min, hpa.max.max(hpa.min)),
            None => (workload.replicas.unwrap_or(1), workload.replicas.unwrap_or(1)),
        }
    }

    fn read_template(&mut self, template: &Template) {
        for (_, resource) in template.resources() {
            if let Ok(deployment) = resource.view::<arm_model::resources::Deployment>()
                && resource.resource_type.eq_ignore_ascii_case("Microsoft.Resources/deployments")
                && let Some(inner) =
                    deployment.properties.template.and_then(|inner| serde_json::from_value::<Template>(inner).ok())
            {
                self.read_template(&inner);
                continue;
            }
            if let Some(cluster) = Cluster::read(resource) {
                self.cluster = cluster;
            }
            self.pools.extend(Pool::read(resource));
            self.network.read(resource);
            if let Some(database) = Database::read(resource) {
                self.database = Some(database);
            }
            if let (Some(database), Some((name, value))) = (&mut self.database, Database::read_parameter(resource)) {
                database.parameters.insert(name, value);
            }
        }
    }
}
