//! Random clusters: whatever is decided passes the independent checker, and the same inputs decide the same.

use std::sync::Arc;

use decide::check::{self, State};
use decide::nodes::{self, GroupView, InstanceState, InstanceView, Memory, Snapshot, Surroundings};
use decide::scheduling::view::{
    AffinityTerm, BudgetView, HostPort, NodeView, OwnerView, PodPhase, PodView, Selector, SpreadConstraint, Taint,
    TaintEffect, Toleration, TolerationOperator,
};
use decide::scheduling::{Attempt, Cluster, Placement, Profile, TieBreak, place, schedule, try_place};
use proptest::prelude::*;
use units::{Bytes, Millicores, Millis, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(100_000);

fn node() -> impl Strategy<Value = NodeView> {
    (1..5_i64, 1..9_i64, 0..3_u8, prop::bool::weighted(0.3), prop::bool::weighted(0.1)).prop_map(
        |(cpu, memory, zone, tainted, cordoned)| {
            let mut view = NodeView::new("");
            view.labels.insert("zone".into(), zone.to_string());
            view.allocatable.cpu = Millicores(1000 * cpu);
            view.allocatable.memory = Bytes(memory << 30);
            view.capacity = view.allocatable.clone();
            view.pod_limit = 2 + memory;
            if tainted {
                view.taints.push(Taint::new("dedicated", "a", TaintEffect::NoSchedule));
            }
            view.unschedulable = cordoned;
            view
        },
    )
}

fn nodes() -> impl Strategy<Value = Vec<Arc<NodeView>>> {
    prop::collection::vec(node(), 1..8).prop_map(|nodes| {
        let named = nodes.into_iter().enumerate().map(|(index, mut node)| {
            node.name = format!("n{index}");
            node.labels.insert("kubernetes.io/hostname".into(), node.name.clone());
            Arc::new(node)
        });
        named.collect()
    })
}

fn selector(app: u8) -> Selector {
    Selector::from_labels(&[("app".to_owned(), app.to_string())].into())
}

fn pod() -> impl Strategy<Value = PodView> {
    let rules = (
        prop::option::weighted(0.2, 0..3_u8),
        prop::option::weighted(0.2, (0..3_u8, prop::bool::ANY)),
        prop::bool::weighted(0.5),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.2, 0..3_u8),
    );
    let figures = (0..20_i64, 0..20_i64, 0..4_u8, prop::sample::select(vec![0, 0, 10, 1000]));
    (figures, rules).prop_map(|((cpu, memory, app, priority), (repels, spreads, tolerates, port, zone))| {
        let mut view = PodView { namespace: "d".into(), priority: Some(priority), created: NOW, ..PodView::default() };
        view.labels.insert("app".into(), app.to_string());
        view.owner = Some(OwnerView {
            api_version: "apps/v1".into(),
            kind: "ReplicaSet".into(),
            name: app.to_string(),
            uid: app.to_string(),
        });
        view.requests.cpu = Millicores(100 * cpu);
        view.requests.memory = Bytes(memory << 27);
        (view.nonzero_cpu, view.nonzero_memory) = (view.requests.cpu, view.requests.memory);
        view.anti_affinity.extend(repels.map(|app| AffinityTerm {
            topology_key: "zone".into(),
            selector: selector(app),
            namespaces: vec!["d".into()],
            namespace_selector: Selector::Nothing,
        }));
        view.spread.extend(spreads.map(|(app, hard)| SpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".into(),
            hard,
            selector: selector(app),
            min_domains: 1,
            node_affinity_policy: decide::scheduling::view::InclusionPolicy::Honor,
            node_taints_policy: decide::scheduling::view::InclusionPolicy::Ignore,
        }));
        if tolerates {
            view.tolerations.push(Toleration { operator: TolerationOperator::Exists, ..Toleration::default() });
        }
        if port {
            view.host_ports.push(HostPort { address: String::new(), protocol: "TCP".into(), port: 80 });
        }
        view.node_selector.extend(zone.map(|zone| ("zone".to_owned(), zone.to_string())));
        view
    })
}

fn pods(count: usize) -> impl Strategy<Value = Vec<PodView>> {
    prop::collection::vec(pod(), 0..count).prop_map(|mut pods| {
        for (index, pod) in pods.iter_mut().enumerate() {
            pod.name = format!("p{index}");
        }
        pods
    })
}

fn budgets() -> impl Strategy<Value = Vec<BudgetView>> {
    let budget = (0..3_u8, 0..2_i32).prop_map(|(app, disruptions_allowed)| BudgetView {
        namespace: "d".into(),
        name: format!("b{app}"),
        selector: selector(app),
        disruptions_allowed,
        disrupted: Default::default(),
    });
    prop::collection::vec(budget, 0..3)
}

/// Schedules the pods one after the other, checking each outcome; the pods and the cluster as they are afterwards.
fn settle(
    nodes: &[Arc<NodeView>],
    pods: Vec<PodView>,
    budgets: &[BudgetView],
    seed: u64,
) -> (Vec<Arc<PodView>>, Cluster) {
    let mut cluster = Cluster::new();
    cluster.set_budgets(budgets.iter().cloned());
    nodes.iter().for_each(|node| cluster.upsert_node(Arc::clone(node)));
    let mut tie = TieBreak::new(seed);
    let mut state = State { nodes: nodes.to_vec(), ..State::default() };
    for mut pod in pods {
        let (mut again, mut quick, mut tried) = (tie.clone(), tie.clone(), tie.clone());
        let outcome = schedule(&cluster, &pod, &Profile::default(), &mut tie);
        assert_eq!(
            schedule(&cluster, &pod, &Profile::default(), &mut again),
            outcome,
            "the same inputs decide the same"
        );
        assert_eq!(check::outcome(&state, &pod, &outcome), [], "{outcome:?}");
        let attempt = try_place(&mut cluster, &Arc::new(pod.clone()), &Profile::default(), &mut tried);
        assert_eq!(attempt, attempted(&outcome.placement), "with what is known of the nodes already");
        assert_eq!(tried, tie);
        let placed = place(&cluster, &pod, &Profile::default(), &mut quick).map(str::to_owned);
        let node = match outcome.placement {
            Placement::Bound { node, .. } => {
                assert_eq!(placed.as_ref(), Some(&node), "the quick way leads to the same node");
                Some(node)
            }
            Placement::Unschedulable { preemption, .. } => {
                assert_eq!(placed, None);
                let preemption = preemption.inspect(|preemption| {
                    for victim in &preemption.victims {
                        cluster.remove_pod(&victim.namespace, &victim.name);
                        state.pods.retain(|pod| pod.key() != *victim);
                    }
                });
                preemption.map(|preemption| preemption.node)
            }
            Placement::Gated { .. } => None,
        };
        match node {
            Some(node) => (pod.node, pod.phase) = (Some(node), PodPhase::Running),
            None => pod.unschedulable_since = Some(NOW),
        }
        let pod = Arc::new(pod);
        cluster.upsert_pod(Arc::clone(&pod));
        state.pods.push(pod);
    }
    assert_eq!(check::state(&state), []);
    (state.pods, cluster)
}

fn attempted(placement: &Placement) -> Attempt {
    match placement.clone() {
        Placement::Bound { node, .. } => Attempt::Bound { node },
        Placement::Unschedulable { filters, preemption, .. } => Attempt::Unschedulable { filters, preemption },
        Placement::Gated { .. } => Attempt::Gated,
    }
}

fn group(name: &str, nodes: &[Arc<NodeView>], spare: i32, floor: i32) -> GroupView {
    let size = nodes.len() as i32;
    let mut template = NodeView::clone(&nodes[0]);
    template.taints.clear();
    template.unschedulable = false;
    let instance =
        |node: &Arc<NodeView>| InstanceView { name: node.name.clone(), state: InstanceState::Running, error: None };
    GroupView {
        name: name.into(),
        min: floor.min(size),
        max: size + spare,
        target_size: size,
        template: Arc::new(template),
        instances: nodes.iter().map(instance).collect(),
        priority: spare,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn scheduling_passes_the_checker(nodes in nodes(), pods in pods(25), budgets in budgets(), seed in any::<u64>()) {
        settle(&nodes, pods, &budgets, seed);
    }

    #[test]
    fn node_decisions_pass_the_checker(
        nodes in nodes(), pods in pods(25), budgets in budgets(), seed in any::<u64>(), spare in 0..4_i32, floor in 0..3_i32,
    ) {
        let (pods, mut cluster) = settle(&nodes, pods, &budgets, seed);
        let (first, second) = nodes.split_at(nodes.len().div_ceil(2));
        let mut groups = vec![group("a", first, spare, floor)];
        if !second.is_empty() {
            groups.push(group("b", second, 2, floor));
        }
        let profile = serde_json::from_str(r#"{"scale-down-unneeded-time": "1m", "balance-similar-node-groups": "true"}"#).unwrap();
        let mut memory = Memory { random: seed, ..Memory::default() };
        let mut kept_memory = memory.clone();
        let mut snapshot = Snapshot {
            now: NOW, groups, nodes: nodes.clone(), pods, daemon_sets: Vec::new(), budgets, surroundings: Surroundings::default(),
        };
        // Twelve loops in a world that only watches: timers run, nothing is carried out.
        for _ in 0..12 {
            let text = serde_json::to_string(&(&snapshot, &memory)).unwrap();
            let decision = nodes::decide(&profile, &snapshot, &mut memory);
            prop_assert_eq!(check::node_decision(&snapshot, &decision), vec![]);
            let (read, mut remembered): (Snapshot, Memory) = serde_json::from_str(&text).unwrap();
            let again = nodes::decide(&profile, &read, &mut remembered);
            prop_assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(&decision).unwrap());
            prop_assert_eq!(&remembered, &memory);
            // On one cluster that is kept all the time, and is as it was after every loop.
            let kept = nodes::decide_on(&profile, &snapshot, &mut kept_memory, &mut cluster);
            prop_assert_eq!(serde_json::to_string(&kept).unwrap(), serde_json::to_string(&decision).unwrap());
            prop_assert_eq!(&kept_memory, &memory);
            snapshot.now = snapshot.now + Millis::from_secs(10);
        }
    }
}
