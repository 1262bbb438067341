//! What `marea decide nodes` reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Deserialize;
use units::{Millis, Timestamp};

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
    profile: Profile,
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
        let mut events = Vec::new();
        for (index, event) in input.events.iter().enumerate() {
            events.push(event_plan(index, event)?);
        }
        events.sort_by_key(|event: &EventPlan| event.at);
        Ok(Plan {
            groups,
            profile: input.profile,
            node_boot: seconds("nodeBoot", input.node_boot)?,
            end: Timestamp(0) + seconds("duration", input.duration)?,
            budgets: input.pdbs.iter().map(budget_view).collect(),
            daemons: input.daemonsets.iter().map(|set| Arc::new(daemon_set_pod(set))).collect(),
            events,
            seed: input.seed,
        })
    }
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
    if group.min < 0 || group.max < group.min {
        return Err(at("max", format!("min {} and max {} are no range", group.min, group.max)));
    }
    if group.size < 0 || group.size > group.max {
        return Err(at("size", format!("{} is not within 0 and the maximum, {}", group.size, group.max)));
    }
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

fn event_plan(index: usize, event: &Event) -> Result<EventPlan, InputError> {
    let at = Timestamp(0) + seconds(&format!("events[{index}].t"), event.t)?;
    let mut add = Vec::new();
    for (number, pod) in event.add.iter().enumerate() {
        let mut view = pod_view(pod);
        if view.name.is_empty() {
            return Err(InputError::new(format!("events[{index}].add[{number}].metadata.name"), "a pod needs a name"));
        }
        // The API keeps whole seconds.
        view.created = at.truncated();
        add.push(view);
    }
    Ok(EventPlan { at, add, remove: event.remove.clone(), fail: event.fail.clone() })
}
