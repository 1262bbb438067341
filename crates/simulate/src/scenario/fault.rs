//! What goes wrong, and when.

use serde::Deserialize;
use units::Millis;

use super::{Scenario, ScenarioError, problem, text};

/// One entry of `faults`. Which fields count depends on the kind; the others are refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Fault {
    #[serde(deserialize_with = "text::duration")]
    pub at: Millis,
    pub kind: FaultKind,
    /// How long it lasts, for what ends by itself.
    #[serde(default, rename = "for", deserialize_with = "text::optional_duration")]
    pub lasts: Option<Millis>,
    #[serde(default)]
    pub pool: Option<String>,
    #[serde(default)]
    pub workload: Option<String>,
    /// How many nodes or pods; one where it is left out.
    #[serde(default)]
    pub count: Option<u32>,
    /// How many times as much load, or as slow a boot or database.
    #[serde(default)]
    pub factor: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// Nodes of `pool` stop answering and never come back.
    Node,
    /// A third of the nodes of every pool, or of `pool`, is lost at once.
    Zone,
    /// Pods of `workload` end and are made anew.
    Pod,
    /// The database answers nothing, `for` a while.
    Database,
    /// The database is `factor` times as slow, `for` a while.
    SlowDatabase,
    /// metrics-server answers nothing, `for` a while.
    Metrics,
    /// `factor` times the load, `for` a while.
    Surge,
    /// The cloud creates no nodes, `for` a while.
    Quota,
    /// Nodes boot `factor` times as slowly, `for` a while.
    SlowBoot,
    /// The nodes of `pool` have no burst credits left.
    Credits,
    /// Nodes of `pool` are drained and replaced, as an upgrade does it.
    Drain,
    /// A new version of `workload` is rolled out.
    Rollout,
    /// Images cannot be pulled, `for` a while.
    Registry,
}

impl FaultKind {
    fn needs(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            FaultKind::Node | FaultKind::Drain => (&["pool"], &["count"]),
            FaultKind::Zone => (&[], &["pool"]),
            FaultKind::Pod => (&["workload"], &["count"]),
            FaultKind::Database | FaultKind::Metrics | FaultKind::Quota | FaultKind::Registry => (&["for"], &[]),
            FaultKind::SlowDatabase | FaultKind::Surge | FaultKind::SlowBoot => (&["for", "factor"], &[]),
            FaultKind::Credits => (&["pool"], &[]),
            FaultKind::Rollout => (&["workload"], &[]),
        }
    }
}

impl Fault {
    pub(super) fn check(&self, scenario: &Scenario, field: &str) -> Result<(), ScenarioError> {
        let given = [
            ("for", self.lasts.is_some()),
            ("pool", self.pool.is_some()),
            ("workload", self.workload.is_some()),
            ("count", self.count.is_some()),
            ("factor", self.factor.is_some()),
        ];
        let (needed, admitted) = self.kind.needs();
        for (name, is_given) in given {
            if needed.contains(&name) && !is_given {
                return Err(problem(format!("{field}.{name}"), format!("a fault of kind {:?} needs it", self.kind)));
            }
            if is_given && !needed.contains(&name) && !admitted.contains(&name) {
                return Err(problem(
                    format!("{field}.{name}"),
                    format!("means nothing to a fault of kind {:?}", self.kind),
                ));
            }
        }
        if self.at > scenario.duration {
            return Err(problem(format!("{field}.at"), "lies after the end of the simulation"));
        }
        let pools: Vec<&str> = scenario.platform.pools.iter().map(|pool| pool.name.as_str()).collect();
        if let Some(pool) = self.pool.as_deref().filter(|pool| !pools.contains(pool)) {
            let text = format!("there is no pool `{pool}`; there are {}", pools.join(", "));
            return Err(problem(format!("{field}.pool"), text));
        }
        let scaled = scenario.platform.workloads.iter().filter(|workload| workload.kind == "Deployment");
        let workloads: Vec<&str> = scaled.map(|workload| workload.name.as_str()).collect();
        if let Some(name) = self.workload.as_deref().filter(|name| !workloads.contains(name)) {
            let text = format!("there is no deployment `{name}`; there are {}", workloads.join(", "));
            return Err(problem(format!("{field}.workload"), text));
        }
        if self.factor.is_some_and(|factor| !(0.001..=1000.0).contains(&factor)) {
            return Err(problem(format!("{field}.factor"), "must be between 0.001 and 1000"));
        }
        if self.count == Some(0) {
            return Err(problem(format!("{field}.count"), "must be at least 1"));
        }
        Ok(())
    }
}
