use std::collections::BTreeMap;
use std::sync::Arc;

use units::{Bytes, Millicores, Timestamp};

use super::{Finding, State, node_decision, outcome, state};
use crate::nodes::{
    Decision, GroupView, InstanceState, InstanceView, ScaleDown, ScaleDownReason, ScaleUp, Snapshot, Surroundings,
};
use crate::report::Report;
use crate::scheduling::view::{
    AffinityTerm, BudgetView, HostPort, NodeView, PodKey, PodPhase, PodView, Selector, Taint, TaintEffect,
};
use crate::scheduling::{Outcome, Placement};

fn node(name: &str) -> NodeView {
    let mut view = NodeView::new(name);
    view.labels = [("zone".to_owned(), "1".to_owned())].into();
    view.allocatable.cpu = Millicores(1000);
    view.allocatable.memory = Bytes(1000);
    view.pod_limit = 2;
    view
}

fn pod(name: &str, node: Option<&str>) -> PodView {
    let mut view = PodView {
        namespace: "d".into(),
        name: name.into(),
        labels: [("app".to_owned(), name.to_owned())].into(),
        node: node.map(Into::into),
        phase: PodPhase::Running,
        ..PodView::default()
    };
    view.requests.cpu = Millicores(500);
    view.requests.memory = Bytes(100);
    view
}

fn group() -> GroupView {
    let instance = |name: &str| InstanceView { name: name.into(), state: InstanceState::Running, error: None };
    GroupView {
        name: "g".into(),
        min: 1,
        max: 3,
        target_size: 2,
        template: Arc::new(node("t")),
        instances: vec![instance("n1"), instance("n2")],
        priority: 0,
    }
}

struct Parts {
    nodes: Vec<NodeView>,
    pods: Vec<PodView>,
    group: GroupView,
}

fn valid() -> Parts {
    Parts {
        nodes: vec![node("n1"), node("n2")],
        pods: vec![pod("a", Some("n1")), pod("b", Some("n1")), pod("c", None)],
        group: group(),
    }
}

fn built(parts: Parts) -> State {
    State {
        nodes: parts.nodes.into_iter().map(Arc::new).collect(),
        pods: parts.pods.into_iter().map(Arc::new).collect(),
        groups: vec![parts.group],
    }
}

fn rules(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.rule).collect()
}

/// Breaks one thing in a valid state and expects one finding.
fn check(expected: &str, break_it: impl FnOnce(&mut Parts)) {
    let mut parts = valid();
    break_it(&mut parts);
    assert_eq!(rules(&state(&built(parts))), [expected]);
}

#[test]
fn the_valid_state_is_valid() {
    assert_eq!(state(&built(valid())), []);
}

#[test]
fn each_fault_in_a_state_is_one_finding() {
    check("node.unique", |p| p.nodes.push(node("n2")));
    check("pod.unique", |p| p.pods.push(pod("c", None)));
    check("pod.unique", |p| p.pods.push(pod("a", Some("n2"))));
    check("pod.node", |p| p.pods[2].node = Some("n3".into()));
    check("node.cpu", |p| p.pods[0].requests.cpu = Millicores(501));
    check("node.memory", |p| p.pods[0].requests.memory = Bytes(901));
    check("node.storage", |p| p.pods[0].requests.ephemeral_storage = Bytes(1));
    check("node.scalar", |p| p.pods[0].requests.scalar = [("x/gpu".to_owned(), 1)].into());
    check("node.pods", |p| p.nodes[0].pod_limit = 1);
    check("pod.taint", |p| {
        p.pods[1].node = Some("n2".into());
        p.nodes[0].taints.push(Taint::new("k", "", TaintEffect::NoSchedule));
    });
    check("pod.node-affinity", |p| drop(p.pods[0].node_selector.insert("zone".into(), "2".into())));
    check("pod.node-affinity", |p| p.pods[0].node_affinity = Some(Vec::new()));
    check("pod.gates", |p| p.pods[0].gates.push("wait".into()));
    check("node.port", |p| {
        let port = HostPort { address: String::new(), protocol: "TCP".into(), port: 80 };
        p.pods[0].host_ports.push(port.clone());
        p.pods[1].host_ports.push(port);
    });
    check("pod.anti-affinity", |p| {
        let labels: BTreeMap<_, _> = [("app".to_owned(), "b".to_owned())].into();
        p.pods[0].anti_affinity.push(AffinityTerm {
            topology_key: "zone".into(),
            selector: Selector::from_labels(&labels),
            namespaces: vec!["d".into()],
            namespace_selector: Selector::Nothing,
        });
    });
    check("group.max", |p| p.group.target_size = 4);
    check("group.min", |p| {
        p.group.target_size = 0;
        p.group.instances.clear();
    });
    check("group.size", |p| p.group.target_size = 1);
    check("group.instance", |p| p.group.instances[1].name = "n1".into());
}

fn bound(node: &str) -> Outcome {
    let placement = Placement::Bound { node: node.into(), best: vec![node.into()] };
    Outcome { placement, nodes: Vec::new(), report: Report::default() }
}

#[test]
fn a_binding_is_checked_with_what_it_breaks() {
    let before = built(valid());
    let incoming = pod("c", None);
    assert_eq!(outcome(&before, &incoming, &bound("n2")), []);
    assert_eq!(rules(&outcome(&before, &incoming, &bound("n1"))), ["node.cpu", "node.pods"]);
    assert_eq!(rules(&outcome(&before, &incoming, &bound("n9"))), ["binding.node", "pod.node"]);
    let mut cordoned = valid();
    cordoned.nodes[1].unschedulable = true;
    assert_eq!(rules(&outcome(&built(cordoned), &incoming, &bound("n2"))), ["binding.taint"]);
}

fn snapshot() -> Snapshot {
    let parts = built(valid());
    Snapshot {
        now: Timestamp(0),
        groups: parts.groups,
        nodes: parts.nodes,
        pods: parts.pods,
        daemon_sets: Vec::new(),
        budgets: vec![BudgetView {
            namespace: "d".into(),
            name: "b".into(),
            selector: Selector::everything(),
            disruptions_allowed: 1,
            disrupted: Default::default(),
        }],
        surroundings: Surroundings::default(),
    }
}

fn decision() -> Decision {
    Decision {
        scale_ups: vec![ScaleUp { group: "g".into(), from: 2, to: 3, pods: vec![PodKey::new("d", "c")] }],
        scale_downs: vec![ScaleDown {
            group: "g".into(),
            node: "n1".into(),
            from: 2,
            to: 1,
            reason: ScaleDownReason::Underutilized,
            evict: vec![PodKey::new("d", "a")],
            evict_daemons: Vec::new(),
            grace_seconds: 600,
        }],
        ..Decision::default()
    }
}

fn check_decision(expected: &[&str], break_it: impl FnOnce(&mut Snapshot, &mut Decision)) {
    let (mut snapshot, mut decision) = (snapshot(), decision());
    break_it(&mut snapshot, &mut decision);
    assert_eq!(rules(&node_decision(&snapshot, &decision)), expected);
}

#[test]
fn each_fault_in_a_decision_is_one_finding() {
    check_decision(&[], |_, _| {});
    check_decision(&["scale-up.group"], |_, d| d.scale_ups[0].group = "h".into());
    check_decision(&["scale-up.size"], |_, d| d.scale_ups[0].from = 1);
    // What never became a node is deleted first, and the group grows from what is left.
    let given_up = |d: &mut Decision, from| {
        (d.scale_downs[0].reason, d.scale_ups[0].from) = (ScaleDownReason::Unregistered, from);
    };
    check_decision(&[], |_, d| given_up(d, 1));
    check_decision(&["scale-up.size"], |_, d| given_up(d, 2));
    check_decision(&["scale-up.max"], |_, d| d.scale_ups[0].to = 4);
    check_decision(&["scale-up.pod"], |_, d| d.scale_ups[0].pods.push(PodKey::new("d", "z")));
    check_decision(&["scale-up.once"], |_, d| d.scale_ups.push(d.scale_ups[0].clone()));
    check_decision(&["scale-down.group"], |_, d| d.scale_downs[0].group = "h".into());
    check_decision(&["scale-down.min"], |s, _| s.groups[0].min = 2);
    check_decision(&["scale-down.node"], |s, _| s.groups[0].instances[0].name = "n3".into());
    check_decision(&["scale-down.pod"], |_, d| d.scale_downs[0].evict = vec![PodKey::new("d", "c")]);
    check_decision(&["scale-down.empty"], |_, d| d.scale_downs[0].reason = ScaleDownReason::Empty);
    check_decision(&["scale-down.budget"], |s, _| s.budgets[0].disruptions_allowed = 0);
    check_decision(&["scale-down.once"], |s, d| {
        s.groups[0].min = 0;
        d.scale_downs.push(d.scale_downs[0].clone());
    });
    check_decision(&["next"], |s, _| s.now = Timestamp(1));
}
