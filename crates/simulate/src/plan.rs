//! The platform as the world needs it: templates of nodes and pods, autoscalers, budgets.

use std::collections::BTreeMap;
use std::sync::Arc;

use decide::hpa::view::{ContainerRequests, Spec};
use decide::hpa::{Settings, quick::Quick};
use decide::nodes::Profile;
use decide::scheduling::view::{BudgetView, NodeView, OwnerSelector, OwnerView, PodView, ServiceView};
use decide::wire;
use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use platform::{Platform, Scaling, Size};
use serde_json::Value;
use units::Millis;

use crate::scenario::{Scenario, ScenarioError, problem};

pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) size: Size,
    pub(crate) min: i32,
    pub(crate) max: i32,
    pub(crate) autoscaled: bool,
    pub(crate) template: Arc<NodeView>,
}

/// A Deployment or StatefulSet.
pub(crate) struct Workload {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) pod: PodView,
    pub(crate) containers: Vec<ContainerRequests>,
    pub(crate) replicas: i32,
    pub(crate) surge: Limit,
    pub(crate) unavailable: Limit,
    /// Cores; `None`: none.
    pub(crate) cpu_limit: Option<f64>,
    /// Between a container's start and the first probe, and between probes.
    pub(crate) probe_delay: Millis,
    pub(crate) probe_period: Millis,
    /// From the deletion until the container is gone.
    pub(crate) shutdown: Millis,
    pub(crate) hpa: Option<Hpa>,
    pub(crate) selector: String,
    /// Of the database, for each replica.
    pub(crate) connections: u32,
}

pub(crate) struct Hpa {
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) quick: Option<Quick>,
}

/// `maxSurge` and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Count(i32),
    Percent(i32),
}

impl Limit {
    fn read(value: &Value, default: Limit) -> Limit {
        let number = |number: i64| i32::try_from(number).unwrap_or(i32::MAX).max(0);
        match value {
            Value::Number(count) => count.as_i64().map_or(default, |count| Limit::Count(number(count))),
            Value::String(text) => text
                .strip_suffix('%')
                .and_then(|percent| percent.parse().ok())
                .map_or(default, |percent| Limit::Percent(number(percent))),
            _ => default,
        }
    }

    pub(crate) fn up(self, of: i32) -> i32 {
        match self {
            Limit::Count(count) => count,
            Limit::Percent(percent) => of.saturating_mul(percent).saturating_add(99) / 100,
        }
    }

    pub(crate) fn down(self, of: i32) -> i32 {
        match self {
            Limit::Count(count) => count,
            Limit::Percent(percent) => of.saturating_mul(percent) / 100,
        }
    }
}

/// A disruption budget with what it takes to say how many disruptions it allows.
pub(crate) struct Budget {
    pub(crate) view: BudgetView,
    min_available: Option<Limit>,
    max_unavailable: Option<Limit>,
    /// The workloads that it covers.
    pub(crate) workloads: Vec<usize>,
}

impl Budget {
    /// As the disruption controller computes it.
    pub(crate) fn allowed(&self, expected: i32, healthy: i32) -> i32 {
        let desired = match (self.max_unavailable, self.min_available) {
            (Some(most), _) => expected - most.up(expected),
            (None, Some(least)) => least.up(expected),
            (None, None) => expected,
        };
        (healthy - desired.max(0)).max(0)
    }
}

pub(crate) struct DatabasePlan {
    pub(crate) size: Option<Size>,
    pub(crate) user_connections: u32,
}

pub(crate) struct Plan {
    pub(crate) pools: Vec<Pool>,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) daemons: Vec<Arc<PodView>>,
    pub(crate) services: Vec<ServiceView>,
    pub(crate) owners: Vec<OwnerSelector>,
    pub(crate) autoscaler: Profile,
    pub(crate) hpa: Settings,
    pub(crate) database: Option<DatabasePlan>,
}

impl Plan {
    /// # Errors
    /// When something that was declared cannot be simulated.
    pub(crate) fn new(scenario: &Scenario) -> Result<Plan, ScenarioError> {
        let platform = &scenario.platform;
        let settings = Settings::default();
        let mut workloads = Vec::new();
        for declared in platform.workloads.iter().filter(|workload| workload.kind != "DaemonSet") {
            workloads.push(workload(platform, declared, &settings)?);
        }
        let mut daemons: Vec<Arc<PodView>> = platform
            .typed::<DaemonSet>("DaemonSet")
            .map(|(_, set)| Arc::new(wire::context::daemon_set_pod(&set)))
            .collect();
        daemons.extend(scenario.cloud.daemons.map(|daemons| Arc::new(system_daemon(daemons))));
        let owner = |declared: &platform::Workload| {
            wire::context::replica_set_selector(&ReplicaSet {
                metadata: ObjectMeta {
                    namespace: Some(declared.namespace.clone()),
                    name: Some(declared.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(ReplicaSetSpec { selector: declared.selector.clone(), ..ReplicaSetSpec::default() }),
                status: None,
            })
        };
        let replicated = platform.workloads.iter().filter(|declared| declared.kind == "Deployment");
        Ok(Plan {
            pools: platform.pools.iter().map(|declared| pool(platform, declared)).collect::<Result<_, _>>()?,
            budgets: budgets(platform, &workloads),
            workloads,
            daemons,
            services: platform
                .typed::<Service>("Service")
                .filter_map(|(_, service)| wire::context::service_view(&service))
                .collect(),
            owners: replicated.map(owner).collect(),
            autoscaler: profile(platform)?,
            hpa: settings,
            database: platform.database.as_ref().map(|database| DatabasePlan {
                size: Size::find(&database.size),
                user_connections: database.user_connections().unwrap_or(u32::MAX),
            }),
        })
    }
}

fn pool(platform: &Platform, declared: &platform::Pool) -> Result<Pool, ScenarioError> {
    let field = format!("base.nodePools.{}", declared.name);
    let unknown = || problem(&field, format!("the VM size `{}` is not known", declared.vm_size));
    let node = platform.node(declared, "template").ok_or_else(unknown)?;
    let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    Ok(Pool {
        name: declared.name.clone(),
        size: declared.size().ok_or_else(unknown)?,
        min: count(declared.scaling.min()),
        max: count(declared.scaling.max()),
        autoscaled: matches!(declared.scaling, Scaling::Between { .. }),
        template: Arc::new(wire::node::node_view(&node)),
    })
}

fn profile(platform: &Platform) -> Result<Profile, ScenarioError> {
    let settings = serde_json::to_value(&platform.cluster.autoscaler).unwrap_or(Value::Null);
    match settings {
        Value::Null => Ok(Profile::default()),
        settings => serde_json::from_value(settings).map_err(|error| problem("base.autoscaler", error.to_string())),
    }
}

fn workload(
    platform: &Platform,
    declared: &platform::Workload,
    settings: &Settings,
) -> Result<Workload, ScenarioError> {
    let field = format!("{}/{}", declared.namespace, declared.name);
    let refuse = |text: String| problem(&field, text);
    let pod = declared.pod("template");
    let view = wire::pod::pod_view(&pod);
    let containers = wire::hpa::pod_view(&pod).map_err(|error| refuse(error.to_string()))?.containers;
    let spec = declared.pod_spec();
    let manifest = &platform.objects[declared.object]["spec"];
    let rolling = &manifest["strategy"]["rollingUpdate"];
    let hpa = platform.hpa_of(declared).map(|hpa| -> Result<Hpa, ScenarioError> {
        let spec = wire::hpa::spec_view(&hpa.spec).map_err(|error| refuse(error.to_string()))?;
        if spec.min_replicas() < 0 || spec.max_replicas < spec.min_replicas().max(1) {
            return Err(refuse(format!(
                "its autoscaler's {} to {} are no range",
                spec.min_replicas(),
                spec.max_replicas
            )));
        }
        let quick = Quick::new(settings, &spec, &total_requests(&containers));
        Ok(Hpa { name: hpa.name.clone(), spec, quick })
    });
    let main = spec.containers.first();
    let probe = main.and_then(|container| container.readiness_probe.as_ref());
    let seconds = |number: Option<i32>, default: i64| Millis::from_secs(number.map_or(default, i64::from).max(0));
    let (least, _) = platform.replica_bounds(declared);
    Ok(Workload {
        namespace: declared.namespace.clone(),
        name: declared.name.clone(),
        pod: view,
        containers,
        replicas: i32::try_from(least).unwrap_or(i32::MAX),
        surge: Limit::read(&rolling["maxSurge"], Limit::Percent(25)),
        unavailable: Limit::read(&rolling["maxUnavailable"], Limit::Percent(25)),
        cpu_limit: cpu_limit(&pod),
        probe_delay: seconds(probe.and_then(|probe| probe.initial_delay_seconds), 0),
        probe_period: seconds(probe.and_then(|probe| probe.period_seconds), i64::from(probe.is_some()) * 10),
        shutdown: shutdown(spec),
        hpa: hpa.transpose()?,
        selector: selector_text(&declared.selector),
        connections: pool_size(platform, &declared.namespace).unwrap_or(10),
    })
}

/// `DATABASE_POOL_SIZE`, which the deploy stack computes into the workload's ConfigMap.
fn pool_size(platform: &Platform, namespace: &str) -> Option<u32> {
    platform
        .of_kind("ConfigMap")
        .filter(|(_, object)| object["metadata"]["namespace"] == namespace)
        .find_map(|(_, object)| object["data"]["DATABASE_POOL_SIZE"].as_str()?.parse().ok())
        .filter(|size| *size > 0)
}

/// `preStop` and the drain after it, within the grace period.
fn shutdown(spec: &k8s_openapi::api::core::v1::PodSpec) -> Millis {
    let grace = spec.termination_grace_period_seconds.unwrap_or(30);
    let sleep = spec
        .containers
        .iter()
        .filter_map(|container| container.lifecycle.as_ref()?.pre_stop.as_ref()?.sleep.as_ref())
        .map(|sleep| sleep.seconds)
        .max()
        .unwrap_or(0);
    Millis::from_secs((sleep + 1).min(grace))
}

fn cpu_limit(pod: &k8s_openapi::api::core::v1::Pod) -> Option<f64> {
    let containers = &pod.spec.as_ref()?.containers;
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        let limit = container.resources.as_ref()?.limits.as_ref()?.get("cpu")?;
        Some(limit.0.parse::<units::Quantity>().ok()?.millicores().0 as f64 / 1000.0)
    };
    containers.iter().map(of).sum::<Option<f64>>().filter(|limit| *limit > 0.0)
}

/// Requests of a pod as an autoscaler adds them up; a resource that one container leaves out is left out.
fn total_requests(containers: &[ContainerRequests]) -> BTreeMap<String, i64> {
    let mut totals: BTreeMap<String, i64> = BTreeMap::new();
    for resource in containers.iter().flat_map(|container| container.requests_milli.keys()) {
        let total =
            containers.iter().map(|container| container.requests_milli.get(resource).copied()).sum::<Option<i64>>();
        totals.extend(total.map(|total| (resource.clone(), total)));
    }
    totals
}

fn selector_text(selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let text = labels.collect::<Vec<_>>().join(",");
    if text.is_empty() { "all".to_owned() } else { text }
}

fn budgets(platform: &Platform, workloads: &[Workload]) -> Vec<Budget> {
    let limit = |value: &Option<IntOrString>| match value {
        None => None,
        Some(IntOrString::Int(count)) => Some(Limit::Count((*count).max(0))),
        Some(IntOrString::String(text)) => Some(Limit::read(&Value::String(text.clone()), Limit::Percent(0))),
    };
    let of = |declared: &platform::Budget| {
        let view = wire::context::budget_view(&PodDisruptionBudget {
            metadata: ObjectMeta {
                namespace: Some(declared.namespace.clone()),
                name: Some(declared.name.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(declared.spec.clone()),
            status: None,
        });
        let covered = (0..workloads.len()).filter(|index| view.covers(&workloads[*index].pod)).collect();
        Budget {
            view,
            min_available: limit(&declared.spec.min_available),
            max_unavailable: limit(&declared.spec.max_unavailable),
            workloads: covered,
        }
    };
    platform.budgets.iter().map(of).collect()
}

/// One pod that stands for everything that AKS runs on each node.
fn system_daemon(daemons: crate::scenario::Daemons) -> PodView {
    let mut view = PodView {
        namespace: "kube-system".to_owned(),
        name: "node-agents".to_owned(),
        owner: Some(OwnerView {
            api_version: "apps/v1".to_owned(),
            kind: "DaemonSet".to_owned(),
            name: "node-agents".to_owned(),
            uid: "node-agents".to_owned(),
        }),
        nonzero_cpu: daemons.cpu,
        nonzero_memory: daemons.memory,
        container_count: 1,
        tolerations: vec![decide::scheduling::view::Toleration {
            operator: decide::scheduling::view::TolerationOperator::Exists,
            ..Default::default()
        }],
        ..PodView::default()
    };
    view.requests.cpu = daemons.cpu;
    view.requests.memory = daemons.memory;
    view
}
