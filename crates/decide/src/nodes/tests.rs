mod edges;
mod waiting;

use std::sync::Arc;

use units::{Bytes, Millicores, Millis, Timestamp};

use super::world::cluster_of;
use super::{
    Decision, GroupView, InstanceError, InstanceState, InstanceView, Memory, Profile, ScaleDownReason, Snapshot,
    Surroundings, decide, decide_on,
};
use crate::scheduling::Cluster;
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

/// A node with its pods, each with the node that it names.
type Content = (Arc<NodeView>, Vec<(String, Option<String>)>);

/// What is on every node, for a comparison that does not mind the order in which it came there.
fn contents(cluster: &Cluster) -> Vec<Content> {
    let names: Vec<String> = cluster.node_names().map(str::to_owned).collect();
    names
        .iter()
        .map(|name| {
            let mut pods: Vec<_> = cluster.pods_on(name).map(|pod| (pod.key().to_string(), pod.node.clone())).collect();
            pods.sort();
            (Arc::clone(cluster.node(name).unwrap()), pods)
        })
        .collect()
}

#[test]
fn a_kept_cluster_decides_the_same_and_is_left_as_it_was() {
    let names = ["n0", "n1", "n2", "n3", "n4"];
    let mut pods = pending(4, 1500);
    pods.push(PodView { nominated_node: Some("n1".into()), ..pod("nominated", 500, None) });
    pods.push(PodView { priority: Some(-100), ..pod("cheap", 300, Some("n2")) });
    pods.extend(names.iter().take(3).map(|name| pod(&format!("on-{name}"), 400, Some(name))));
    let mut world = World::new(vec![group("g", &names), group("h", &[])], &names, pods);
    world.profile.scale_down_delay_after_add = Millis::ZERO;
    world.snapshot.groups[0].instances[4].state = InstanceState::Deleting;
    let mut cluster = cluster_of(&world.snapshot);
    let before = contents(&cluster);
    let mut memory = world.memory.clone();
    for seconds in [0, 10, 20, 700, 710] {
        let decision = world.at(seconds);
        let mut shown = world.snapshot.clone();
        shown.pods.retain(|pod| pod.node.is_none() || pod.priority.is_some());
        assert_eq!(decide_on(&world.profile, &shown, &mut memory, &mut cluster), decision, "after {seconds} s");
        assert_eq!(memory, world.memory);
        assert_eq!(contents(&cluster), before);
    }
}

#[test]
fn only_pods_that_are_there_are_evicted() {
    // The pods of n0 move to n1 in thought, and with n1's own to n2.
    let names = ["n0", "n1", "n2"];
    let on = |name: &str, cpu| pod(&format!("on-{name}"), cpu, Some(name));
    let mut world = World::new(vec![group("g", &names)], &names, vec![on("n0", 100), on("n1", 200), on("n2", 300)]);
    world.profile.max_empty_bulk_delete = 5;
    world.at(0);
    let decision = world.at(601);
    for down in &decision.scale_downs {
        let own: Vec<String> = down.evict.iter().map(ToString::to_string).collect();
        assert_eq!(own, [format!("d/on-{}", down.node)]);
    }
    assert_eq!(decision.scale_downs.len(), 1);
}

#[test]
fn room_that_is_needed_in_thought_does_not_make_a_node_busy() {
    // Both are half empty; once the pods of n0 are on n1 in thought, n1 is too full to go but was eligible all the same.
    let names = ["n0", "n1", "n2"];
    let on = |name: &str| pod(&format!("on-{name}"), 900, Some(name));
    let mut world = World::new(vec![group("g", &names)], &names, vec![on("n0"), on("n1"), on("n2")]);
    let decision = world.at(0);
    assert_eq!(decision.unneeded.len(), 1, "{decision:?}");
    let reasons: Vec<&str> = decision.report.reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert!(reasons.iter().all(|text| !text.contains("is requested to")), "{reasons:?}");
}

#[test]
fn a_loop_that_can_change_nothing_says_until_when() {
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
    assert_eq!(world.at(0).quiet_until, None, "the node was found without need just now");
    assert_eq!(world.at(10).quiet_until, None, "the time between two loops was learnt just now");
    assert_eq!(world.at(20).quiet_until, Some(START + Millis::from_secs(600) + Millis(1)));
    world.group(0).min = 1;
    world.at(30);
    assert_eq!(world.at(40).quiet_until, Some(super::quiet::NEVER));
}

#[test]
fn instances_that_go_make_room_for_a_scale_up_in_the_same_loop() {
    let mut world = World::new(vec![group("g", &[])], &[], pending(1, 900));
    world.group(0).max = 1;
    world.check(0, &[("g", 1)], &[]);
    world.group(0).target_size = 1;
    world.group(0).instances = vec![InstanceView { name: "g-0".into(), state: InstanceState::Creating, error: None }];
    world.at(10);
    // The request fails after 15 minutes, and the back-off is over when the instance goes.
    world.memory.backoffs.clear();
    world.memory.scale_up_requests.clear();
    let decision = world.at(911);
    assert_eq!((decision.scale_downs[0].from, decision.scale_downs[0].to), (1, 0));
    assert_eq!((decision.scale_ups[0].from, decision.scale_ups[0].to), (0, 1));
}
