//! Rules at their edges: ties, boundaries of spans, what counts and what does not.

use super::super::health::{self, STARTUP};
use super::super::{Backoff, Deletion, Expander, ScaleUpRequest, estimate, scale_up, template, unneeded, world};
use super::*;
use crate::scheduling::view::{
    AffinityTerm, HostPort, InclusionPolicy, Selector, SpreadConstraint, Taint, TaintEffect, Toleration, VolumeSource,
    VolumeView,
};

/// Runs `look` on the autoscaler's view of the world.
fn with<T>(world: &mut World, look: impl FnOnce(&mut world::World<'_>, &Profile, &mut Memory) -> T) -> T {
    let mut cluster = cluster_of(&world.snapshot);
    let mut seen = world::World::new(&world.snapshot, &world.memory, &mut cluster);
    let mut memory = world.memory.clone();
    let found = look(&mut seen, &world.profile, &mut memory);
    world.memory = memory;
    found
}

fn daemon(name: &str, cpu: i64, memory: i64, on: &str) -> PodView {
    let mut view = pod(name, cpu, Some(on));
    view.requests.memory = Bytes(memory);
    view.owner = Some(OwnerView { kind: "DaemonSet".into(), ..OwnerView::default() });
    view
}

#[test]
fn utilization_is_the_larger_share_and_memory_where_both_are_equal() {
    let check = |cpu: i64, memory: i64, expected: (&str, f64)| {
        let mut own = pod("web", cpu, Some("n0"));
        own.requests.memory = Bytes(memory);
        let mut world = World::new(vec![group("g", &["n0"])], &["n0"], vec![own]);
        let found = with(&mut world, |seen, profile, _| unneeded::utilization(profile, seen, seen.nodes[0].0, 0, true));
        assert_eq!(found, Ok(expected));
    };
    check(1000, 1 << 30, ("cpu", 0.5));
    check(500, 2 << 30, ("memory", 0.5));
    check(1000, 2 << 30, ("memory", 0.5));
    check(0, 0, ("memory", 0.0));
}

#[test]
fn ignored_daemons_are_taken_from_what_is_used_and_from_what_there_is() {
    let mut web = pod("web", 500, Some("n0"));
    web.requests.memory = Bytes(1 << 30);
    let pods = vec![web, daemon("agent", 500, 2 << 30, "n0")];
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], pods);
    for (ignore, expected) in [(false, ("memory", 0.75)), (true, ("memory", 0.5))] {
        world.profile.ignore_daemonsets_utilization = ignore;
        let found = with(&mut world, |seen, profile, _| unneeded::utilization(profile, seen, seen.nodes[0].0, 0, true));
        assert_eq!(found, Ok(expected), "ignored: {ignore}");
    }
    // Pods that have been on their way out for long do not count either; daemons among them are still what they are.
    world.profile.ignore_daemonsets_utilization = false;
    for pod in &mut world.snapshot.pods {
        let long_ago = START - Millis::from_secs(3600);
        if pod.name == "web" {
            Arc::make_mut(pod).deleting = Some(long_ago);
        }
    }
    let found = with(&mut world, |seen, profile, _| unneeded::utilization(profile, seen, seen.nodes[0].0, 0, true));
    assert_eq!(found, Ok(("memory", 0.5)));
    let found = with(&mut world, |seen, profile, _| unneeded::utilization(profile, seen, seen.nodes[0].0, 0, false));
    assert_eq!(found, Ok(("memory", 0.75)), "where the caller does not leave them out");
}

#[test]
fn a_node_that_is_not_ready_counts_as_starting_for_a_quarter_of_an_hour() {
    assert_eq!(STARTUP, Millis::from_secs(900));
    for (age, starting) in [(0, true), (10, true), (899, true), (900, false), (4000, false)] {
        let mut world = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
        let node = Arc::make_mut(&mut world.snapshot.nodes[0]);
        (node.ready, node.created) = (false, START - Millis::from_secs(age));
        let health = with(&mut world, |seen, profile, memory| health::assess(profile, seen, memory).remove(0));
        assert_eq!(
            (health.not_started.len(), health.unready),
            (usize::from(starting), usize::from(!starting)),
            "{age} s"
        );
        assert_eq!(health.upcoming(), i32::from(starting), "{age} s");
    }
}

#[test]
fn an_instance_without_a_node_is_given_up_after_its_provisioning_time() {
    let mut world = World::new(vec![group("g", &["n0"])], &[], Vec::new());
    let provision = world.profile.max_node_provision_time;
    world.memory.unregistered_since.insert("n0".into(), START);
    for (late, given_up) in [(Millis(-1), false), (Millis::ZERO, false), (Millis(1), true)] {
        world.snapshot.now = START + provision + late;
        let health = with(&mut world, |seen, profile, memory| health::assess(profile, seen, memory).remove(0));
        assert_eq!(
            (health.unregistered, health.long_unregistered.len()),
            (usize::from(!given_up), usize::from(given_up))
        );
    }
    // Seen for the first time: its time begins now.
    world.memory.unregistered_since.clear();
    let health = with(&mut world, |seen, profile, memory| health::assess(profile, seen, memory).remove(0));
    assert_eq!(health.unregistered, 1);
}

#[test]
fn only_nodes_that_were_asked_for_by_a_group_in_good_standing_are_on_their_way() {
    // Somebody else has made the group larger: the pods do not wait for a node that nobody has promised, and as long as it
    // is missing the group is not in good standing.
    let one_larger = || {
        let mut world = World::new(vec![group("a", &[]), group("b", &[])], &[], pending(1, 900));
        world.group(0).target_size = 1;
        world.snapshot.groups[0].priority = 1;
        world.profile.expander = Expander::Priority;
        world
    };
    one_larger().check(0, &[("b", 1)], &[]);
    let asked = || {
        let mut world = one_larger();
        let fresh = ScaleUpRequest { increase: 1, at: START, expected: START + Millis::from_secs(900) };
        world.memory.scale_up_requests.insert("a".into(), fresh);
        world
    };
    asked().check(0, &[], &[]);
    // What a group that backs off still owes is not waited for.
    let mut backed_off = asked();
    let backoff =
        Backoff { until: START + Millis::from_secs(300), last_failure: START, seconds: 300, reason: "no cores".into() };
    backed_off.memory.backoffs.insert("a".into(), backoff);
    backed_off.check(0, &[("b", 1)], &[]);
}

#[test]
fn reasons_of_groups_that_are_left_out_are_counted() {
    let mut world = World::new(vec![group("a", &[]), group("b", &[]), group("c", &[])], &[], pending(1, 900));
    for index in [0, 1] {
        world.group(index).max = 0;
    }
    world.group(2).template = {
        let mut small = node("template");
        small.allocatable.cpu = Millicores(500);
        Arc::new(small)
    };
    let decision = world.check(0, &[], &[]);
    assert_eq!(
        decision.not_helped[0].message,
        "pod didn't trigger scale-up: 1 Insufficient cpu, 2 max node group size reached"
    );
    let mut nowhere = World::new(Vec::new(), &[], pending(1, 900));
    assert_eq!(nowhere.at(0).not_helped[0].message, "pod didn't trigger scale-up: there is no node group");
}

#[test]
fn a_request_counts_what_is_added_to_it() {
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
    let provision = world.profile.max_node_provision_time;
    with(&mut world, |seen, profile, memory| {
        scale_up::request(profile, seen, memory, 0, 3);
        assert_eq!((scale_up::requested(memory, "g"), scale_up::requested(memory, "other")), (2, 0));
        scale_up::request(profile, seen, memory, 0, 4);
        assert_eq!((scale_up::requested(memory, "g"), seen.sizes[0]), (3, 4));
        let request = &memory.scale_up_requests["g"];
        assert_eq!((request.at, request.expected), (START, START + provision));
        assert_eq!(memory.last_scale_up, Some(START));
    });
}

#[test]
fn without_a_waiting_time_an_unneeded_node_goes_in_the_loop_that_finds_it() {
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
    world.profile.scale_down_unneeded_time = Millis::ZERO;
    world.check(0, &[], &[("n0", ScaleDownReason::Empty)]);
    // The shortest one that is none: it must have passed, not only been reached.
    let mut soon = World::new(vec![group("g", &["n0"])], &["n0"], Vec::new());
    soon.profile.scale_down_unneeded_time = Millis::from_secs(10);
    soon.check(0, &[], &[]);
    soon.check(10, &[], &[]);
    soon.check(11, &[], &[("n0", ScaleDownReason::Empty)]);
}

#[test]
fn unready_nodes_wait_their_own_time() {
    let mut world = World::new(vec![group("g", &["n0", "n1"])], &["n0", "n1"], Vec::new());
    world.profile.scale_down_unready_time = Millis::from_secs(100);
    world.profile.scale_down_unneeded_time = Millis::from_secs(900);
    Arc::make_mut(&mut world.snapshot.nodes[1]).ready = false;
    world.check(0, &[], &[]);
    world.check(100, &[], &[]);
    world.check(101, &[], &[("n1", ScaleDownReason::Unready)]);
}

#[test]
fn room_that_is_being_made_for_a_pod_is_taken() {
    let nominated = PodView { nominated_node: Some("n0".into()), ..pod("nominated", 1500, None) };
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], vec![nominated, pod("p", 900, None)]);
    world.check(0, &[("g", 2)], &[]);
    let mut free = World::new(vec![group("g", &["n0"])], &["n0"], vec![pod("p", 900, None)]);
    free.check(0, &[], &[]);
}

#[test]
fn a_node_on_its_way_out_takes_no_pods_of_others() {
    // Half of the pods of each node fit on the other one, unless that is being deleted.
    let pods = |world: &mut World| {
        world.snapshot.pods = ["n0", "n1"].map(|node| Arc::new(pod(&format!("on-{node}"), 900, Some(node)))).into();
    };
    let mut world = World::new(vec![group("g", &["n0", "n1"])], &["n0", "n1"], Vec::new());
    pods(&mut world);
    assert_eq!(world.at(0).unneeded.len(), 1);
    let mut leaving = World::new(vec![group("g", &["n0", "n1"])], &["n0", "n1"], Vec::new());
    pods(&mut leaving);
    leaving.snapshot.groups[0].instances[1].state = InstanceState::Deleting;
    assert_eq!(leaving.at(0).unneeded.len(), 0);
}

#[test]
fn a_pod_that_spreads_over_zones_finds_no_place_beside_the_new_nodes() {
    let zone = "topology.kubernetes.io/zone";
    let web = |name: &str, cpu: i64, on: Option<&str>| {
        let labels = [("app".to_owned(), "web".to_owned())].into();
        let spread = SpreadConstraint {
            max_skew: 1,
            topology_key: zone.into(),
            hard: true,
            selector: Selector::from_labels(&labels),
            min_domains: 1,
            node_affinity_policy: InclusionPolicy::Honor,
            node_taints_policy: InclusionPolicy::Ignore,
        };
        PodView { labels, spread: vec![spread], ..pod(name, cpu, on) }
    };
    // One replica fills zone a, two leave room in zone b, which may not have a third before zone a has another one.
    let mut pods = vec![web("a", 2000, Some("na")), web("b0", 100, Some("nb")), web("b1", 100, Some("nb"))];
    pods.extend(["p0", "p1", "p2"].map(|name| web(name, 100, None)));
    let mut world = World::new(vec![group("g", &["na"]), group("b", &["nb"])], &["na", "nb"], pods);
    world.group(1).max = 1;
    Arc::make_mut(&mut world.group(0).template).labels.insert(zone.into(), "a".into());
    for (index, name) in ["a", "b"].into_iter().enumerate() {
        Arc::make_mut(&mut world.snapshot.nodes[index]).labels.insert(zone.into(), name.into());
    }
    // Two of the three on one node more. The third then fits into zone b, which the scheduler will find by itself.
    world.check(0, &[("g", 2)], &[]);
}

#[test]
fn pods_of_one_controller_are_alike_unless_something_that_a_place_depends_on_differs() {
    let like = |change: fn(&mut PodView)| {
        let (one, mut other) = (pod("a", 100, None), pod("b", 100, None));
        change(&mut other);
        scale_up::are_equivalent(&one, &other)
    };
    assert!(like(|_| ()));
    assert!(like(|pod| pod.created = Timestamp(7)));
    let term = || AffinityTerm {
        topology_key: "zone".into(),
        selector: Selector::everything(),
        namespaces: Vec::new(),
        namespace_selector: Selector::Nothing,
    };
    let changes: [fn(&mut PodView); 9] = [
        |pod| pod.owner.as_mut().expect("an owner").uid = "other".into(),
        |pod| pod.namespace = "other".into(),
        |pod| drop(pod.labels.insert("app".into(), "other".into())),
        |pod| pod.requests.cpu = Millicores(200),
        |pod| drop(pod.node_selector.insert("disk".into(), "ssd".into())),
        |pod| pod.node_affinity = Some(Vec::new()),
        |pod| pod.tolerations.push(Toleration { key: "spot".into(), ..Toleration::default() }),
        |pod| pod.host_ports.push(HostPort { address: String::new(), protocol: "TCP".into(), port: 80 }),
        |pod| pod.priority = Some(7),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert!(!like(change), "change {index}");
    }
    let (one, mut other) = (pod("a", 100, None), pod("b", 100, None));
    other.affinity.push(term());
    assert!(!scale_up::are_equivalent(&one, &other));
    other = PodView { anti_affinity: vec![term()], ..pod("b", 100, None) };
    assert!(!scale_up::are_equivalent(&one, &other));
    let claim = VolumeView { name: "data".into(), source: VolumeSource::Claim { name: "data".into() } };
    other = PodView { volumes: vec![claim], ..pod("b", 100, None) };
    assert!(!scale_up::are_equivalent(&one, &other));
    let (alone, other) = (PodView { owner: None, ..one }, PodView { owner: None, ..pod("b", 100, None) });
    assert!(!scale_up::are_equivalent(&alone, &other), "without a controller each is its own kind");
}

#[test]
fn a_node_that_is_thought_of_has_daemon_and_static_pods_of_its_own() {
    let mut mirror = daemon("proxy", 100, 0, "n0");
    mirror.annotations.insert("kubernetes.io/config.mirror".into(), "1".into());
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], vec![mirror]);
    world.snapshot.daemon_sets.push(Arc::new(PodView { node: None, ..daemon("logs", 50, 0, "n0") }));
    let names = with(&mut world, |seen, _, _| {
        template::add(seen, 0, "new");
        let of = |seen: &world::World<'_>, node: &str| -> Vec<String> {
            seen.cluster.pods_on(node).map(|pod| pod.name.clone()).collect()
        };
        assert!(seen.cluster.pods_on("new").all(|pod| pod.node.is_none()), "nobody has bound them");
        (of(seen, "n0"), of(seen, "new"))
    });
    assert_eq!(names, (vec!["proxy".to_owned()], vec!["logs-new".to_owned(), "proxy-new".to_owned()]));
}

#[test]
fn a_pod_that_is_moved_in_thought_is_bound_and_promised_nowhere() {
    let bound = PodView { nominated_node: Some("n1".into()), ..pod("web", 100, Some("n0")) };
    let free = template::unbound(&Arc::new(bound));
    assert_eq!((&free.node, &free.nominated_node, free.name.as_str()), (&None, &None, "web"));
}

#[test]
fn the_report_says_why_a_node_is_not_looked_at() {
    let check = |change: fn(&mut NodeView), cpu: i64, expected: &str| {
        let mut world = World::new(vec![group("g", &["n0"])], &["n0"], vec![pod("web", cpu, Some("n0"))]);
        change(Arc::make_mut(&mut world.snapshot.nodes[0]));
        let decision = world.check(0, &[], &[]);
        let texts: Vec<&str> = decision.report.reasons.iter().map(|reason| reason.text.as_str()).collect();
        assert!(texts.iter().any(|text| text.ends_with(expected)), "{expected:?} in {texts:?}");
    };
    check(|_| (), 1600, "cpu is requested to 80.0 %, above 50 %");
    check(|node| node.allocatable.memory = Bytes(0), 0, "memory is 0 at n0");
    let disabled = |node: &mut NodeView| {
        node.annotations.insert("cluster-autoscaler.kubernetes.io/scale-down-disabled".into(), "true".into());
    };
    check(disabled, 0, "annotation cluster-autoscaler.kubernetes.io/scale-down-disabled");
}

#[test]
fn a_new_node_has_none_of_the_taints_that_pass() {
    let stays = ["dedicated", "ToBeDeleted", "startup-taint.cluster-autoscaler.kubernetes.io"];
    let passes = [
        "node.kubernetes.io/not-ready",
        "node.cloudprovider.kubernetes.io/shutdown",
        "ignore-taint.cluster-autoscaler.kubernetes.io/gpu",
        "startup-taint.cluster-autoscaler.kubernetes.io/",
        "status-taint.cluster-autoscaler.kubernetes.io/x",
        "ToBeDeletedByClusterAutoscaler",
        "DeletionCandidateOfClusterAutoscaler",
    ];
    let mut of = group("g", &[]);
    let template = Arc::make_mut(&mut of.template);
    template.taints = stays.iter().chain(&passes).map(|key| Taint::new(*key, "", TaintEffect::NoSchedule)).collect();
    let new = template::node(&of, "new");
    assert_eq!(new.taints.iter().map(|taint| taint.key.as_str()).collect::<Vec<_>>(), stays);
}

#[test]
fn the_minimum_is_judged_by_the_size_after_the_growth_of_another_group() {
    let nodes = ["n0", "n1", "n2", "n3"];
    let grown = |waiting: usize| {
        let mut world = World::new(vec![group("b", &[]), group("g", &nodes)], &nodes, pending(waiting, 1900));
        world.snapshot.nodes.iter_mut().for_each(|node| Arc::make_mut(node).unschedulable = true);
        (world.group(1).min, world.group(1).max, world.group(1).target_size) = (10, 20, 12);
        // One instance never became a node, three could not be made, and of four nothing is known: 8 are left of 12, and one
        // of those is not counted again.
        let error = InstanceError { out_of_resources: true, code: "Quota".into(), message: String::new() };
        let lost = InstanceView { name: "g-4".into(), state: InstanceState::Running, error: None };
        let failed = (5..8).map(|number| InstanceView {
            name: format!("g-{number}"),
            state: InstanceState::Creating,
            error: Some(error.clone()),
        });
        world.group(1).instances.extend([lost].into_iter().chain(failed));
        world.memory.unregistered_since.insert("g-4".into(), Timestamp(0));
        let decision = world.at(0);
        decision.scale_ups.iter().map(|up| (up.group.clone(), up.from, up.to)).collect::<Vec<_>>()
    };
    assert_eq!(grown(0), [], "four of eight are missing: the group is not in good standing");
    assert_eq!(grown(1), [("b".to_owned(), 0, 1), ("g".to_owned(), 8, 10)], "three are missing of seven");
}

#[test]
fn of_a_node_that_is_being_drained_only_pods_that_move_need_a_place() {
    let mirror = PodView {
        annotations: [("kubernetes.io/config.mirror".to_owned(), "x".to_owned())].into(),
        ..pod("static", 300, Some("n0"))
    };
    let pods = vec![pod("web", 300, Some("n0")), mirror, daemon("agent", 300, 0, "n0")];
    let mut world = World::new(vec![group("g", &["n0"])], &["n0"], pods);
    let deletion = Deletion { group: "g".into(), since: START, drained: true };
    world.memory.deleting.insert("n0".into(), deletion);
    let decision = world.at(10);
    let moved: Vec<String> =
        decision.scale_ups.iter().flat_map(|up| &up.pods).map(std::string::ToString::to_string).collect();
    assert_eq!(moved, ["d/web"]);
}

#[test]
fn the_search_for_a_place_goes_round_and_keeps_what_it_prepared() {
    let nodes = ["n0", "n1", "n2"];
    let mut world = World::new(vec![group("g", &nodes)], &nodes, Vec::new());
    let places = with(&mut world, |seen, _, _| {
        let places: Vec<_> =
            pending(4, 900).into_iter().map(|pod| seen.place(&Arc::new(pod), None, |_, _| true)).collect();
        assert!(seen.prepared.values().all(|(filters, _)| filters.is_some()) && seen.prepared.len() == 1);
        places
    });
    assert_eq!(places, [Some(0), Some(1), Some(2), Some(0)]);
}

#[test]
fn a_pod_is_as_large_as_its_shares_of_a_node_together() {
    let of = |cpu: i64, memory: i64| {
        let mut pod = pod("p", cpu, None);
        pod.requests.memory = Bytes(memory);
        estimate::size(&pod, &group("g", &[]))
    };
    assert_eq!((of(500, 1 << 30), of(0, 1 << 30), of(1000, 0)), (0.5, 0.25, 0.5));
    let mut nothing = group("g", &[]);
    Arc::make_mut(&mut nothing.template).allocatable = Default::default();
    assert_eq!(estimate::size(&pod("p", 500, None), &nothing), 0.0);
}
