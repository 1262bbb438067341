//! The cluster with every pool and every replica at its maximum, placed by the scheduler that runs live.
//!
//! Nodes get AKS's daemons first, then AKS's deployments, then what the manifests have: daemon sets, workloads of a fixed
//! number, and last those that an autoscaler grows. That is the order in which a cluster fills up.

use decide::scheduling::{Cluster, NodeVerdict, Placement, Profile, TieBreak, fits, schedule};
use decide::wire::context::{namespace_view, service_view};
use decide::wire::node::node_view;
use decide::wire::pod::pod_view;
use k8s_openapi::api::core::v1::{Namespace, Service};
use platform::{Platform, Workload, addons};

/// More nodes of one pool and more pods of one workload than these are not placed: what holds for so many holds for more.
const MAX_NODES: u32 = 1000;
const MAX_PODS: u32 = 3000;

/// Why pods of a workload have no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Not even an empty node of its pool has room for one.
    Node,
    /// The nodes are full before all pods have a place.
    Room,
    /// All pods have a place, the additional one of a rollout has none.
    Surge,
    /// Nodes have room, and a rule on spreading or on neighbours keeps the pod away.
    Rule,
}

pub(crate) struct Unplaced {
    /// Index into [`Platform::workloads`].
    pub(crate) workload: usize,
    pub(crate) lack: Lack,
    pub(crate) placed: u32,
    pub(crate) wanted: u32,
    /// As the scheduler writes it into the pod's condition.
    pub(crate) message: String,
}

#[derive(Default)]
pub(crate) struct Full {
    pub(crate) unplaced: Vec<Unplaced>,
    /// AKS's own pods for which there is no room.
    pub(crate) addons: Vec<String>,
}

impl Full {
    pub(crate) fn new(platform: &Platform) -> Full {
        // A pool of an unknown size would make every verdict on its pods a guess.
        if platform.pools.is_empty() || platform.pools.iter().any(|pool| pool.size().is_none()) {
            return Full::default();
        }
        // Nor is anything known of pods that may run on nodes which are not placed.
        let whole = |workload: &Workload| {
            let beyond = |pool: &platform::Pool| pool.scaling.max() > MAX_NODES && platform.admits(pool, workload);
            !platform.pools.iter().any(beyond)
        };
        let mut filling = Filling::new(platform);
        let daemons = |workload: &&Workload| workload.kind == "DaemonSet";
        let (own_daemons, own) = addons(platform).into_iter().partition::<Vec<_>, _>(|addon| daemons(&addon));
        for daemon in own_daemons.iter().chain(platform.workloads.iter().filter(daemons)) {
            filling.daemon(daemon);
        }
        let empty = filling.cluster.clone();
        let mut full = Full::default();
        for addon in &own {
            if filling.fill(addon, addon.replicas.unwrap_or(1)).is_err() {
                full.addons.push(addon.name.clone());
            }
        }
        let (fixed, grown): (Vec<_>, Vec<_>) = platform
            .workloads
            .iter()
            .enumerate()
            .filter(|(_, workload)| !daemons(workload) && whole(workload))
            .partition(|(_, workload)| platform.hpa_of(workload).is_none());
        for (index, workload) in fixed.into_iter().chain(grown) {
            let wanted = platform.replica_bounds(workload).1;
            let unplaced = |lack, placed, message| Unplaced { workload: index, lack, placed, wanted, message };
            if let Err((placed, outcome)) = filling.fill(workload, wanted) {
                let Some(failure) = outcome else { continue };
                let alone = Filling::on(empty.clone()).fill(workload, 1).is_err();
                let lack = match failure.lack {
                    Lack::Room if alone => Lack::Node,
                    lack => lack,
                };
                // Who comes after finds the same nodes full: that follows from the first.
                let pools = pools_of(platform, workload);
                let follows = lack == Lack::Room
                    && full.unplaced.iter().any(|before| {
                        before.lack == Lack::Room && pools_of(platform, &platform.workloads[before.workload]) == pools
                    });
                if !follows {
                    full.unplaced.push(unplaced(lack, placed, failure.message));
                }
                continue;
            }
            if workload.surge_at(wanted) > 0
                && wanted > 0
                && never_unavailable(platform, workload)
                && let Err((_, Some(failure))) = filling.clone_of_cluster().fill_from(workload, wanted, wanted + 1)
            {
                full.unplaced.push(unplaced(Lack::Surge, wanted, failure.message));
            }
        }
        full
    }
}

fn pools_of<'a>(platform: &'a Platform, workload: &Workload) -> Vec<&'a str> {
    platform.pools.iter().filter(|pool| platform.admits(pool, workload)).map(|pool| pool.name.as_str()).collect()
}

/// A rollout that may not take a pod away first needs room for one more.
fn never_unavailable(platform: &Platform, workload: &Workload) -> bool {
    let Some(object) = platform.objects.get(workload.object) else { return false };
    let setting = &object["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"];
    setting.as_u64() == Some(0) || setting.as_str().is_some_and(|text| text.trim_end_matches('%') == "0")
}

struct Failure {
    lack: Lack,
    message: String,
}

struct Filling {
    cluster: Cluster,
    tie: TieBreak,
}

impl Filling {
    fn on(cluster: Cluster) -> Filling {
        Filling { cluster, tie: TieBreak::new(0) }
    }

    fn new(platform: &Platform) -> Filling {
        let mut cluster = Cluster::new();
        cluster
            .set_namespaces(platform.typed::<Namespace>("Namespace").map(|(_, namespace)| namespace_view(&namespace)));
        cluster.set_services(platform.typed::<Service>("Service").filter_map(|(_, service)| service_view(&service)));
        for pool in &platform.pools {
            for index in 0..pool.scaling.max().min(MAX_NODES) {
                if let Some(node) = platform.node(pool, &format!("{}-{index}", pool.name)) {
                    cluster.upsert_node(node_view(&node));
                }
            }
        }
        Filling::on(cluster)
    }

    fn clone_of_cluster(&self) -> Filling {
        Filling::on(self.cluster.clone())
    }

    /// One pod on every node that admits it.
    fn daemon(&mut self, workload: &Workload) {
        let nodes: Vec<String> = self.cluster.node_names().map(str::to_owned).collect();
        for node in nodes {
            let pod = pod_view(&workload.pod(&format!("{}-{node}", workload.name)));
            if fits(&self.cluster, &pod, &node).is_ok() {
                self.cluster.assume_pod(pod, &node);
            }
        }
    }

    fn fill(&mut self, workload: &Workload, wanted: u32) -> Result<(), (u32, Option<Failure>)> {
        self.fill_from(workload, 0, wanted.min(MAX_PODS))
    }

    /// Places pods one after the other; the first without a place ends it, as all are alike.
    fn fill_from(&mut self, workload: &Workload, from: u32, to: u32) -> Result<(), (u32, Option<Failure>)> {
        for index in from..to {
            let pod = pod_view(&workload.pod(&format!("{}-{index}", workload.name)));
            let outcome = schedule(&self.cluster, &pod, &Profile::exhaustive(), &mut self.tie);
            match outcome.placement {
                Placement::Bound { node, .. } => self.cluster.assume_pod(pod, &node),
                Placement::Gated { .. } => return Ok(()),
                Placement::Unschedulable { message, .. } => {
                    let rejections = outcome.nodes.iter().filter_map(|result| match &result.verdict {
                        NodeVerdict::Rejected { filter, .. } => Some(filter.as_str()),
                        NodeVerdict::Feasible { .. } => None,
                    });
                    let message = message.split(". ").next().unwrap_or_default().to_owned();
                    return Err((index, lack(rejections).map(|lack| Failure { lack, message })));
                }
            }
        }
        Ok(())
    }
}

/// What kept the pod away: room, or a rule on its neighbours. Labels and taints alone are other rules' business.
fn lack<'a>(filters: impl Iterator<Item = &'a str>) -> Option<Lack> {
    let mut lack = None;
    for filter in filters {
        match filter {
            // A node has each of its ports once, so that more pods need more nodes here too.
            "NodeResourcesFit" | "NodePorts" => return Some(Lack::Room),
            "PodTopologySpread" | "InterPodAffinity" => lack = Some(Lack::Rule),
            _ => {}
        }
    }
    lack
}
