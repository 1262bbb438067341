//! What is simulated: a platform, its load, its work, its cloud, its faults.
//!
//! [`Document`] is the file as people write it; [`Scenario`] is what [`crate::run`] takes, with traces and stacks read. Every
//! field of the document has a type that refuses what makes no sense, and unknown fields are refused by the reader.

mod fault;
pub(crate) mod text;
mod work;

use std::collections::BTreeMap;

use platform::Platform;
use serde::Deserialize;
use serde_json::Value;
use units::Millis;

pub use fault::{Fault, FaultKind};
pub use work::{DatabaseWork, Work};

use crate::load::{Load, LoadDocument};

/// A scenario's file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Document {
    /// Without it: as long as the trace, or a day.
    #[serde(deserialize_with = "text::optional_duration")]
    pub duration: Option<Millis>,
    pub seed: u64,
    pub load: LoadDocument,
    /// By workload (the name of a Deployment).
    pub work: BTreeMap<String, Work>,
    pub cloud: Cloud,
    pub faults: Vec<Fault>,
    pub objective: Objective,
    /// Overrides of the stacks' settings, by dotted path.
    pub set: BTreeMap<String, Value>,
    /// Which `stack.<env>.yaml` is planned; production where it is left out.
    pub environment: Option<String>,
    /// Folder of another repository's stacks and manifests, relative to the scenario's file.
    pub project: Option<String>,
}

/// How Azure and Kubernetes behave in time.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Cloud {
    /// From the autoscaler's request to a ready node; drawn from a lognormal distribution for each node.
    pub node_boot: Boot,
    /// metrics-server's resolution: how often usage is sampled, and over which window.
    #[serde(deserialize_with = "text::duration")]
    pub metrics_delay: Millis,
    /// Pulling the images of a pod onto a node that does not have them.
    #[serde(deserialize_with = "text::duration")]
    pub image_pull: Millis,
    /// Until the ingress sends requests to a pod that became ready, and none to one that goes.
    #[serde(deserialize_with = "text::duration")]
    pub endpoint_delay: Millis,
    /// CPU that the system takes on every node.
    #[serde(deserialize_with = "text::millicores")]
    pub node_overhead: units::Millicores,
    /// vCPUs that the subscription allows in all pools; without it there is no limit.
    pub quota: Option<i64>,
    /// Pods that every node carries beside the manifests', AKS's own for instance.
    pub daemons: Option<Daemons>,
    /// Bytes that a request and its answer move through the load balancer.
    #[serde(deserialize_with = "text::bytes")]
    pub bytes_per_request: units::Bytes,
}

impl Default for Cloud {
    fn default() -> Cloud {
        Cloud {
            node_boot: Boot::default(),
            metrics_delay: Millis::from_secs(15),
            image_pull: Millis::from_secs(8),
            endpoint_delay: Millis::from_secs(1),
            node_overhead: units::Millicores(100),
            quota: None,
            daemons: None,
            bytes_per_request: units::Bytes(4096),
        }
    }
}

/// AKS's node pools: 140 s median over recorded operations, "typically two to five minutes" in its documentation.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Boot {
    #[serde(deserialize_with = "text::duration")]
    pub median: Millis,
    #[serde(deserialize_with = "text::duration")]
    pub p95: Millis,
}

impl Default for Boot {
    fn default() -> Boot {
        Boot { median: Millis::from_secs(140), p95: Millis::from_secs(300) }
    }
}

/// What the daemon pods of one node request together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Daemons {
    #[serde(deserialize_with = "text::millicores")]
    pub cpu: units::Millicores,
    #[serde(deserialize_with = "text::bytes")]
    pub memory: units::Bytes,
}

/// What is to be kept; a minute that does not counts as missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    #[serde(deserialize_with = "text::optional_seconds")]
    pub p50: Option<f64>,
    #[serde(deserialize_with = "text::optional_seconds")]
    pub p95: Option<f64>,
    #[serde(deserialize_with = "text::optional_seconds")]
    pub p99: Option<f64>,
    #[serde(deserialize_with = "text::optional_fraction")]
    pub errors: Option<f64>,
}

/// Everything that [`crate::run`] needs.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub platform: Platform,
    pub duration: Millis,
    pub seed: u64,
    pub load: Load,
    pub work: BTreeMap<String, Work>,
    pub cloud: Cloud,
    /// In the order of time.
    pub faults: Vec<Fault>,
    pub objective: Objective,
}

/// A scenario that contradicts itself or its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// Path of the field, e.g. `faults[0].pool`.
    pub field: String,
    pub problem: String,
}

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for ScenarioError {}

pub(crate) fn problem(field: impl Into<String>, problem: impl Into<String>) -> ScenarioError {
    ScenarioError { field: field.into(), problem: problem.into() }
}

/// Two hundred years of minutes would only fill the memory.
const LONGEST: Millis = Millis::from_secs(366 * 86_400);

impl Scenario {
    /// Joins the document with the platform that it is about and the load that was read for it.
    ///
    /// # Errors
    /// When something in it makes no sense for this platform.
    pub fn new(document: &Document, platform: Platform, load: Load) -> Result<Scenario, ScenarioError> {
        let duration = document.duration.unwrap_or_else(|| load.length().unwrap_or(Millis::from_secs(86_400)));
        if duration < Millis::from_secs(60) || duration > LONGEST {
            return Err(problem("duration", "must be between one minute and 366 days"));
        }
        let mut work = document.work.clone();
        if work.is_empty() {
            // Without a model of the work nothing would ever be busy.
            work = Work::of_the_platform();
            work.retain(|name, _| platform.workloads.iter().any(|workload| workload.name == *name));
        }
        let mut faults = document.faults.clone();
        faults.sort_by_key(|fault| fault.at);
        let scenario = Scenario {
            platform,
            duration,
            seed: document.seed,
            load,
            work,
            cloud: document.cloud.clone(),
            faults,
            objective: document.objective,
        };
        scenario.check(&document.faults)?;
        Ok(scenario)
    }

    fn check(&self, faults: &[Fault]) -> Result<(), ScenarioError> {
        for (name, work) in &self.work {
            let known = self.platform.workloads.iter().filter(|workload| workload.kind != "DaemonSet");
            let names: Vec<&str> = known.map(|workload| workload.name.as_str()).collect();
            if !names.contains(&name.as_str()) {
                let text = format!("no workload has this name; there are {}", names.join(", "));
                return Err(problem(format!("work.{name}"), text));
            }
            work.check(&format!("work.{name}"))?;
        }
        for route in self.load.routes() {
            if let Some(workload) = route.workload.as_ref().filter(|name| !self.work.contains_key(*name)) {
                let text = format!("sends requests to `{workload}`, which has no entry in `work`");
                return Err(problem(format!("load.routes.{}", route.path), text));
            }
        }
        let boot = self.cloud.node_boot;
        if boot.median.0 <= 0 || boot.p95 < boot.median {
            return Err(problem("cloud.nodeBoot", "needs a median longer than nothing and a p95 that is not below it"));
        }
        if self.cloud.metrics_delay < Millis::from_secs(1) || self.cloud.metrics_delay > Millis::from_secs(600) {
            return Err(problem("cloud.metricsDelay", "must be between 1s and 10m"));
        }
        for pool in &self.platform.pools {
            if pool.size().is_none() {
                let text = format!("marea does not know the VM size `{}`", pool.vm_size);
                return Err(problem(format!("base.nodePools.{}.vmSize", pool.name), text));
            }
        }
        if self.platform.pools.is_empty() {
            return Err(problem("", "the platform has no node pools"));
        }
        for (index, fault) in faults.iter().enumerate() {
            fault.check(self, &format!("faults[{index}]"))?;
        }
        Ok(())
    }
}
