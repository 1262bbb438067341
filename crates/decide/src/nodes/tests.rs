use std::sync::Arc;

use units::{Bytes, Millicores, Millis, Timestamp};

use super::{
    Decision, GroupView, InstanceError, InstanceState, InstanceView, Memory, Profile, ScaleDownReason, Snapshot,
    Surroundings, decide,
};
use crate::scheduling::view::{NodeView, OwnerView, PodView};

const START: Timestamp = Timestamp::from_secs(100_000);

fn node(name: &str) -> NodeView {
    let mut view = NodeView::new(name);
    view.allocatable.cpu = Millicores(2000);
    view.allocatable.memory = Bytes(4 << 30);
    view.capacity = view.allocatable.clone();
    view.created = Timestamp(0);
    view
}

fn pod(name: &str, cpu: i64, on: Option<&str>) -> PodView {
    let owner =
        OwnerView { api_version: "apps/v1".into(), kind: "ReplicaSet".into(), name: "web".into(), uid: "u".into() };
    let mut view = PodView {
        namespace: "d".into(),
        name: name.into(),
        owner: Some(owner),
        node: on.map(Into::into),
        created: START - Millis::from_secs(60),
        unschedulable_since: on.is_none().then_some(START - Millis::from_secs(60)),
        ..PodView::default()
    };
    view.requests.cpu = Millicores(cpu);
    view
}

fn group(name: &str, instances: &[&str]) -> GroupView {
    let instance = |name: &&str| InstanceView { name: (*name).into(), state: InstanceState::Running, error: None };
    GroupView {
        name: name.into(),
        min: 0,
        max: 5,
        target_size: instances.len() as i32,
        template: Arc::new(node("template")),
        instances: instances.iter().map(instance).collect(),
        priority: 0,
    }
}

struct World {
    profile: Profile,
    snapshot: Snapshot,
    memory: Memory,
}

impl World {
    fn new(groups: Vec<GroupView>, nodes: &[&str], pods: Vec<PodView>) -> World {
        let snapshot = Snapshot {
            now: START,
            groups,
            nodes: nodes.iter().map(|name| Arc::new(node(name))).collect(),
            pods: pods.into_iter().map(Arc::new).collect(),
            daemon_sets: Vec::new(),
            budgets: Vec::new(),
            surroundings: Surroundings::default(),
        };
        World { profile: Profile::default(), snapshot, memory: Memory::default() }
    }

    fn at(&mut self, seconds: i64) -> Decision {
        self.snapshot.now = START + Millis::from_secs(seconds);
        decide(&self.profile, &self.snapshot, &mut self.memory)
    }

    /// Decides after so many seconds and compares what grows, `(group, size)`, and what goes, `(node, reason)`.
    fn check(&mut self, seconds: i64, ups: &[(&str, i32)], downs: &[(&str, ScaleDownReason)]) -> Decision {
        let decision = self.at(seconds);
        let grown: Vec<_> = decision.scale_ups.iter().map(|up| (up.group.as_str(), up.to)).collect();
        assert_eq!(grown, ups, "after {seconds} s: {decision:?}");
        let gone: Vec<_> = decision.scale_downs.iter().map(|down| (down.node.as_str(), down.reason)).collect();
        assert_eq!(gone, downs, "after {seconds} s: {decision:?}");
        decision
    }

    fn group(&mut self, index: usize) -> &mut GroupView {
        &mut self.snapshot.groups[index]
    }
}

fn pending(count: usize, cpu: i64) -> Vec<PodView> {
    (0..count).map(|number| pod(&format!("p{number}"), cpu, None)).collect()
}

#[test]
fn nodes_on_their_way_take_pods_in_thought() {
    let mut world = World::new(vec![group("g", &[])], &[], pending(2, 900));
    world.check(0, &[("g", 1)], &[]);
    world.group(0).target_size = 1;
    world.group(0).instances = vec![InstanceView { name: "g-0".into(), state: InstanceState::Creating, error: None }];
    world.check(10, &[], &[]);
    world.snapshot.pods.push(Arc::new(pod("more", 900, None)));
    world.check(20, &[("g", 2)], &[]);
}

#[test]
fn an_instance_that_never_becomes_a_node_is_deleted_and_its_group_backs_off() {
    let mut world = World::new(vec![group("g", &[])], &[], pending(1, 900));
    world.check(0, &[("g", 1)], &[]);
    world.group(0).target_size = 1;
    world.group(0).instances = vec![InstanceView { name: "g-0".into(), state: InstanceState::Creating, error: None }];
    world.check(10, &[], &[]);
    let message = |decision: &Decision| decision.not_helped.first().map(|pod| pod.message.clone());
    // The request's time is up after 15 minutes, the instance's own ten seconds later: it was seen first at 10 s.
    let decision = world.check(901, &[], &[]);
    assert_eq!(message(&decision).as_deref(), Some("pod didn't trigger scale-up: 1 in backoff after failed scale-up"));
    world.check(911, &[], &[("g-0", ScaleDownReason::Unregistered)]);
    world.group(0).target_size = 0;
    world.group(0).instances.clear();
    world.check(1201, &[], &[]);
    world.check(1202, &[("g", 1)], &[]);
}

#[test]
fn a_group_that_the_cloud_cannot_grow_makes_room_for_another() {
    let mut world = World::new(vec![group("a", &[]), group("b", &[])], &[], pending(1, 900));
    world.snapshot.groups[0].priority = 1;
    world.profile.expander = super::Expander::Priority;
    world.check(0, &[("a", 1)], &[]);
    let error = InstanceError { out_of_resources: true, code: "QuotaExceeded".into(), message: "no cores".into() };
    world.group(0).target_size = 1;
    world.group(0).instances =
        vec![InstanceView { name: "a-0".into(), state: InstanceState::Creating, error: Some(error) }];
    let decision = world.check(10, &[("b", 1)], &[("a-0", ScaleDownReason::CreationFailed)]);
    assert!(decision.report.reasons.iter().any(|reason| reason.text == "a backs off: QuotaExceeded: no cores"));
    let mut refused = World::new(vec![group("a", &[]), group("b", &[])], &[], pending(1, 900));
    refused.memory.scale_up_failed("a", "429", START);
    refused.check(0, &[("b", 1)], &[]);
}

#[test]
fn backoff_doubles_when_a_group_fails_again() {
    let mut memory = Memory::default();
    let mut now = START;
    for seconds in [300, 600, 1200, 1800, 1800] {
        memory.scale_up_failed("g", "x", now);
        assert_eq!(memory.backoffs["g"].until, now + Millis::from_secs(seconds));
        now = memory.backoffs["g"].until + Millis(1);
    }
}

#[test]
fn similar_groups_grow_together_only_where_the_profile_says_so() {
    let two = || World::new(vec![group("a", &[]), group("b", &[])], &[], pending(4, 1800));
    let mut balanced = two();
    balanced.profile.balance_similar_node_groups = true;
    balanced.profile.expander = super::Expander::MostPods;
    let mut grown: Vec<_> = balanced.at(0).scale_ups.into_iter().map(|up| (up.group, up.to)).collect();
    grown.sort();
    assert_eq!(grown, [("a".to_owned(), 2), ("b".to_owned(), 2)]);
    assert_eq!(two().at(0).scale_ups.len(), 1);
}

#[test]
fn an_unhealthy_cluster_is_left_alone() {
    let names = ["n0", "n1", "n2", "n3", "n4", "n5"];
    let mut world = World::new(vec![group("g", &names)], &names, pending(1, 1900));
    world.snapshot.groups[0].max = 9;
    world.snapshot.pods.extend(names.iter().map(|name| Arc::new(pod(&format!("on-{name}"), 1900, Some(name)))));
    for node in world.snapshot.nodes.iter_mut().take(4) {
        Arc::make_mut(node).ready = false;
    }
    let decision = world.check(0, &[], &[]);
    assert_eq!(decision.report.reasons[0].rule, "nodes.unhealthy");
    Arc::make_mut(&mut world.snapshot.nodes[0]).ready = true;
    world.check(10, &[("g", 7)], &[]);
}

#[test]
fn an_annotation_a_busy_node_and_the_minimum_prevent_scale_down() {
    let mut world =
        World::new(vec![group("g", &["n0", "n1", "n2"])], &["n0", "n1", "n2"], vec![pod("busy", 1100, Some("n1"))]);
    let disabled = ("cluster-autoscaler.kubernetes.io/scale-down-disabled".to_owned(), "true".to_owned());
    Arc::make_mut(&mut world.snapshot.nodes[0]).annotations = [disabled].into();
    world.check(0, &[], &[]);
    world.check(600, &[], &[]);
    world.check(601, &[], &[("n2", ScaleDownReason::Empty)]);
    let mut kept = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
    kept.group(0).min = 1;
    kept.check(0, &[], &[]);
    kept.check(700, &[], &[]);
}

#[test]
fn daemon_sets_count_as_use_unless_they_are_ignored() {
    let mut daemon = pod("agent", 1200, Some("n0"));
    daemon.owner = Some(OwnerView { kind: "DaemonSet".into(), ..OwnerView::default() });
    let world = |ignore: bool| {
        let mut world = World::new(vec![group("g", &["n0"])], &["n0"], vec![daemon.clone()]);
        world.profile.ignore_daemonsets_utilization = ignore;
        world.at(0);
        world
    };
    world(false).check(601, &[], &[]);
    let decision = world(true).check(601, &[], &[("n0", ScaleDownReason::Empty)]);
    assert_eq!(decision.scale_downs[0].evict_daemons, [], "by default only occupied nodes evict daemons");
}

#[test]
fn a_deletion_under_way_counts_against_the_minimum_and_is_not_repeated() {
    let mut world = World::new(vec![group("g", &["n0", "n1"])], &["n0", "n1"], Vec::new());
    world.group(0).min = 1;
    world.check(0, &[], &[]);
    world.check(601, &[], &[("n0", ScaleDownReason::Empty)]);
    world.check(1300, &[], &[]);
    world.memory.deletion_failed("n0", START + Millis::from_secs(1300));
    world.check(1310, &[], &[]);
    world.check(1911, &[], &[("n0", ScaleDownReason::Empty)]);
}

#[test]
fn a_bulk_of_empty_nodes_goes_at_once_up_to_the_limit() {
    let names: Vec<String> = (0..15).map(|number| format!("n{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(vec![group("g", &names)], &names, Vec::new());
    world.at(0);
    assert_eq!(world.at(601).scale_downs.len(), 10);
}
