//! What `marea decide nodes` reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Deserialize;
use serde_json::Value;
use units::{Millis, Timestamp};

use super::amounts;
use crate::nodes::Profile;
use crate::scheduling::view::{BudgetView, NodeView, PodKey, PodView};
use crate::wire::context::{budget_view, daemon_set_pod};
use crate::wire::input::InputError;
use crate::wire::node::node_view;
use crate::wire::pod::pod_view;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Input {
    groups: Vec<Group>,
    #[serde(default)]
    profile: BTreeMap<String, Value>,
    /// Seconds from the request until the node is ready.
    #[serde(default = "two_minutes")]
    node_boot: f64,
    duration: f64,
    #[serde(default)]
    pdbs: Vec<PodDisruptionBudget>,
    #[serde(default)]
    daemonsets: Vec<DaemonSet>,
    #[serde(default)]
    events: Vec<Event>,
    /// Draws the random expander and equally good nodes.
    #[serde(default)]
    seed: u64,
}

fn two_minutes() -> f64 {
    120.0
}

#[derive(Deserialize)]
struct Group {
    name: String,
    min: i32,
    max: i32,
    size: i32,
    template: Node,
    /// For the `priority` expander.
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
struct Event {
    t: f64,
    #[serde(default)]
    add: Vec<Pod>,
    #[serde(default)]
    remove: Vec<PodKey>,
    fail: Option<String>,
}

/// AKS stops at 1,000 nodes a pool; this leaves room for questions beyond it and none for a slip of the keyboard.
const MOST_NODES: i32 = 100_000;
/// A hundred days at the default scan interval are less than a million.
const MOST_LOOPS: i64 = 100_000_000;

/// A document that makes sense.
pub(super) struct Plan {
    pub(super) groups: Vec<GroupPlan>,
    pub(super) profile: Profile,
    pub(super) node_boot: Millis,
    pub(super) end: Timestamp,
    pub(super) budgets: Vec<BudgetView>,
    pub(super) daemons: Vec<Arc<PodView>>,
    /// In the order of time.
    pub(super) events: Vec<EventPlan>,
    pub(super) seed: u64,
}

pub(super) struct GroupPlan {
    pub(super) name: String,
    pub(super) min: i32,
    pub(super) max: i32,
    pub(super) size: i32,
    pub(super) priority: i32,
    pub(super) template: Arc<NodeView>,
}

pub(super) struct EventPlan {
    pub(super) at: Timestamp,
    pub(super) add: Vec<PodView>,
    pub(super) remove: Vec<PodKey>,
    pub(super) fail: Option<String>,
}

impl Plan {
    /// # Errors
    /// At the first thing that contradicts itself, with its place.
    pub(super) fn new(input: Input) -> Result<Plan, InputError> {
        let mut names = BTreeSet::new();
        let mut groups = Vec::new();
        for (index, group) in input.groups.iter().enumerate() {
            if !names.insert(&group.name) {
                return Err(InputError::new(
                    format!("groups[{index}].name"),
                    format!("`{}` appears twice", group.name),
                ));
            }
            groups.push(group_plan(index, group)?);
        }
        let profile = Profile::from_values(&input.profile)
            .map_err(|error| InputError::new(format!("profile.{}", error.key), error.message))?;
        let duration = seconds("duration", input.duration)?;
        if duration.0 / profile.scan_interval.0 > MOST_LOOPS {
            let message = format!("more than {MOST_LOOPS} scan intervals");
            return Err(InputError::new("duration", message));
        }
        let events = event_plans(&input.events, &names)?;
        Ok(Plan {
            groups,
            profile,
            node_boot: seconds("nodeBoot", input.node_boot)?,
            end: Timestamp(0) + duration,
            budgets: input.pdbs.iter().map(budget_view).collect(),
            daemons: daemons(&input.daemonsets)?,
            events,
            seed: input.seed,
        })
    }
}

fn daemons(sets: &[DaemonSet]) -> Result<Vec<Arc<PodView>>, InputError> {
    let mut seen = BTreeSet::new();
    let mut pods = Vec::new();
    for (index, set) in sets.iter().enumerate() {
        let pod = daemon_set_pod(set);
        if pod.name.is_empty() {
            return Err(InputError::new(format!("daemonsets[{index}].metadata.name"), "a daemon set needs a name"));
        }
        if !seen.insert(pod.key()) {
            let message = format!("`{}` appears twice", pod.key());
            return Err(InputError::new(format!("daemonsets[{index}].metadata.name"), message));
        }
        let spec = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        if let Some(spec) = spec {
            amounts::of_pod(&format!("daemonsets[{index}].spec.template.spec"), spec)?;
        }
        pods.push(Arc::new(pod));
    }
    Ok(pods)
}

fn seconds(path: &str, value: f64) -> Result<Millis, InputError> {
    // A hundred years are enough, and keep every sum within range.
    if (0.0..=3.2e9).contains(&value) {
        return Ok(Millis((value * 1000.0).round() as i64));
    }
    Err(InputError::new(path, format!("{value} is not a number of seconds of 0 or more")))
}

fn group_plan(index: usize, group: &Group) -> Result<GroupPlan, InputError> {
    let at = |field: &str, message: String| InputError::new(format!("groups[{index}].{field}"), message);
    if group.name.is_empty() {
        return Err(at("name", "a group needs a name".to_owned()));
    }
    if group.max > MOST_NODES {
        return Err(at("max", format!("{} is more than {MOST_NODES}", group.max)));
    }
    if group.min < 0 || group.max < group.min {
        return Err(at("max", format!("min {} and max {} are no range", group.min, group.max)));
    }
    if group.size < 0 || group.size > group.max {
        return Err(at("size", format!("{} is not within 0 and the maximum, {}", group.size, group.max)));
    }
    amounts::of_node(&format!("groups[{index}].template"), &group.template)?;
    let mut template = node_view(&group.template);
    if template.allocatable.is_zero() || template.pod_limit == 0 {
        let message = "a node template needs cpu, memory and pods as its allocatable or capacity";
        return Err(at("template.status.allocatable", message.to_owned()));
    }
    if template.capacity.is_zero() {
        template.capacity = template.allocatable.clone();
    }
    Ok(GroupPlan {
        name: group.name.clone(),
        min: group.min,
        max: group.max,
        size: group.size,
        priority: group.priority,
        template: Arc::new(template),
    })
}

/// Events must make sense in their order: what is removed was added, what fails can exist, no name is used twice at once.
fn event_plans(events: &[Event], groups: &BTreeSet<&String>) -> Result<Vec<EventPlan>, InputError> {
    let mut plans: Vec<EventPlan> = Vec::new();
    // By pod that was added: whether it is there for certain, because a controller brings it back whenever it goes.
    let mut known: BTreeMap<PodKey, bool> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let at = Timestamp(0) + seconds(&format!("events[{index}].t"), event.t)?;
        if let Some(before) = plans.last().filter(|before| before.at > at) {
            let message = format!("{} comes before the event above it, at {}", event.t, (before.at.0 as f64) / 1000.0);
            return Err(InputError::new(format!("events[{index}].t"), message));
        }
        for (number, key) in event.remove.iter().enumerate() {
            match known.get_mut(key) {
                Some(present) => *present = false,
                None => {
                    let message = format!("`{key}` was never added");
                    return Err(InputError::new(format!("events[{index}].remove[{number}]"), message));
                }
            }
        }
        if let Some(name) = event.fail.as_ref().filter(|name| !is_node_of(name, groups)) {
            let message = format!("`{name}` is no node of a group: nodes are named <group>-<number>");
            return Err(InputError::new(format!("events[{index}].fail"), message));
        }
        let add = new_pods(index, event, at, &mut known)?;
        plans.push(EventPlan { at, add, remove: event.remove.clone(), fail: event.fail.clone() });
    }
    Ok(plans)
}

fn is_node_of(name: &str, groups: &BTreeSet<&String>) -> bool {
    name.rsplit_once('-').is_some_and(|(group, number)| {
        groups.contains(&group.to_owned()) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn new_pods(
    index: usize,
    event: &Event,
    at: Timestamp,
    known: &mut BTreeMap<PodKey, bool>,
) -> Result<Vec<PodView>, InputError> {
    let mut add = Vec::new();
    let mut here = BTreeSet::new();
    for (number, pod) in event.add.iter().enumerate() {
        let path = |field: &str| format!("events[{index}].add[{number}].{field}");
        let mut view = pod_view(pod);
        if view.name.is_empty() {
            return Err(InputError::new(path("metadata.name"), "a pod needs a name"));
        }
        if let Some(spec) = &pod.spec {
            amounts::of_pod(&path("spec"), spec)?;
        }
        let present = known.insert(view.key(), view.owner.is_some()).unwrap_or(false);
        if !here.insert(view.key()) || present {
            return Err(InputError::new(path("metadata.name"), format!("`{}` is there already", view.key())));
        }
        // The API keeps whole seconds.
        view.created = at.truncated();
        add.push(view);
    }
    Ok(add)
}
