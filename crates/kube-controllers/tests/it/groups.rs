//! One node group whose machines are ready as soon as they are asked for.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus};
use kube_controllers::{Instance, InstanceState, NodeGroup, NodeGroupError, NodeGroups};
use kube_server::{Client, DeleteOptions};
use parking_lot::Mutex;
use serde_json::json;
use units::Timestamp;

use crate::harness::{add_node, meta, now};

struct Group {
    min: u32,
    max: u32,
    cpu: String,
    nodes: Vec<String>,
    made: u32,
    refuses: bool,
}

pub struct FakeGroups {
    client: Client,
    group: Mutex<Option<Group>>,
}

pub const GROUP: &str = "backend";

impl FakeGroups {
    pub fn new(client: Client) -> FakeGroups {
        FakeGroups { client, group: Mutex::new(None) }
    }

    pub async fn define(&self, min: u32, max: u32, cpu: &str) {
        *self.group.lock() = Some(Group { min, max, cpu: cpu.to_owned(), nodes: Vec::new(), made: 0, refuses: false });
        self.grow_to(min).await;
    }

    pub fn refuse(&self) {
        self.group.lock().as_mut().unwrap().refuses = true;
    }

    pub fn set_min(&self, min: u32) {
        self.group.lock().as_mut().unwrap().min = min;
    }

    pub fn size(&self) -> usize {
        self.group.lock().as_ref().map_or(0, |group| group.nodes.len())
    }

    async fn grow_to(&self, size: u32) {
        let mut added = Vec::new();
        let cpu = {
            let mut guard = self.group.lock();
            let group = guard.as_mut().unwrap();
            while (group.nodes.len() as u32) < size {
                let name = format!("{GROUP}-{}", group.made);
                group.made += 1;
                group.nodes.push(name.clone());
                added.push(name);
            }
            group.cpu.clone()
        };
        for name in added {
            add_node(&self.client, &name, &cpu, json!({"kubernetes.io/hostname": name})).await;
        }
    }
}

#[async_trait]
impl NodeGroups for FakeGroups {
    fn groups(&self) -> Vec<NodeGroup> {
        let guard = self.group.lock();
        let Some(group) = guard.as_ref() else { return Vec::new() };
        let amounts: std::collections::BTreeMap<_, _> =
            serde_json::from_value(json!({"cpu": group.cpu, "memory": "4Gi", "pods": "30"})).unwrap();
        let mut template = Node {
            metadata: meta("template"),
            spec: Some(NodeSpec::default()),
            status: Some(NodeStatus {
                allocatable: Some(amounts.clone()),
                capacity: Some(amounts),
                ..NodeStatus::default()
            }),
        };
        template.metadata.namespace = None;
        let instances = group.nodes.iter().map(|name| Instance {
            node_name: name.clone(),
            state: InstanceState::Running,
            created_at: Timestamp::from(now().0),
        });
        vec![NodeGroup {
            name: GROUP.to_owned(),
            min: group.min,
            max: group.max,
            target_size: group.nodes.len() as u32,
            template,
            instances: instances.collect(),
            autoscaling: true,
        }]
    }

    async fn increase(&self, _: &str, new_size: u32) -> Result<(), NodeGroupError> {
        if self.group.lock().as_ref().is_some_and(|group| group.refuses) {
            return Err(NodeGroupError::Quota(
                "Operation could not be completed as it results in exceeding approved Cores quota".to_owned(),
            ));
        }
        self.grow_to(new_size).await;
        Ok(())
    }

    async fn delete_nodes(&self, _: &str, nodes: &[String]) -> Result<(), NodeGroupError> {
        self.group.lock().as_mut().unwrap().nodes.retain(|name| !nodes.contains(name));
        for name in nodes {
            let _ = self.client.delete::<Node>(None, name, &DeleteOptions::default()).await;
        }
        Ok(())
    }
}
