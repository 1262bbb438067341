//! What the cluster autoscaler is shown: groups from the cloud, everything else from the caches.

use std::sync::Arc;

use decide::nodes::{GroupView, InstanceError, InstanceState, InstanceView, Snapshot};
use decide::scheduling::PodView;
use decide::wire;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube_server::Client;
use units::Timestamp;

use crate::node_groups::{self, Instance, NodeGroup};
use crate::surroundings;

pub(super) fn read(client: &Client, groups: &[NodeGroup], now: Timestamp) -> Snapshot {
    let pods = client.list::<Pod>(None).into_iter().map(|pod| Arc::new(wire::pod::pod_view(&pod)));
    Snapshot {
        now,
        groups: groups.iter().map(group_view).collect(),
        nodes: client.list::<Node>(None).iter().map(|node| Arc::new(wire::node::node_view(node))).collect(),
        pods: pods.filter(|pod: &Arc<PodView>| !pod.is_terminal()).collect(),
        daemon_sets: client
            .list::<DaemonSet>(None)
            .iter()
            .map(|set| Arc::new(wire::context::daemon_set_pod(set)))
            .collect(),
        budgets: surroundings::budgets(client),
        surroundings: surroundings::read(client),
    }
}

fn group_view(group: &NodeGroup) -> GroupView {
    GroupView {
        name: group.name.clone(),
        min: count(group.min),
        max: count(group.max),
        target_size: count(group.target_size),
        template: Arc::new(wire::node::node_view(&group.template)),
        instances: group.instances.iter().map(instance_view).collect(),
        priority: 0,
    }
}

pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A failed instance is one that is still being created, with an error, as upstream's cloud providers have it.
fn instance_view(instance: &Instance) -> InstanceView {
    let (state, error) = match &instance.state {
        node_groups::InstanceState::Creating => (InstanceState::Creating, None),
        node_groups::InstanceState::Running => (InstanceState::Running, None),
        node_groups::InstanceState::Deleting => (InstanceState::Deleting, None),
        node_groups::InstanceState::Failed { out_of_resources, code, message } => {
            let error =
                InstanceError { out_of_resources: *out_of_resources, code: code.clone(), message: message.clone() };
            (InstanceState::Creating, Some(error))
        }
    };
    InstanceView { name: instance.node_name.clone(), state, error }
}
