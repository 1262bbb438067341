//! The cloud's side of node autoscaling: groups of equal machines that can grow and give machines back.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Node;
use units::Timestamp;

/// A group of equal nodes: an AKS agent pool.
#[derive(Clone, Debug)]
pub struct NodeGroup {
    pub name: String,
    pub min: u32,
    pub max: u32,
    /// What the cloud was last asked for.
    pub target_size: u32,
    /// A node of this group before any pod runs on it: labels, taints, allocatable.
    pub template: Node,
    pub instances: Vec<Instance>,
    /// False for a pool of manual size, which the autoscaler leaves alone.
    pub autoscaling: bool,
}

#[derive(Clone, Debug)]
pub struct Instance {
    /// The name that its node has or will have.
    pub node_name: String,
    pub state: InstanceState,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    Creating,
    Running,
    Deleting,
    /// It could not be created.
    Failed {
        /// No capacity or no quota, which another group may not suffer from.
        out_of_resources: bool,
        code: String,
        message: String,
    },
}

/// Why the cloud refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeGroupError {
    #[error("node group {0} does not exist")]
    NotFound(String),
    /// Azure's `QuotaExceeded` and its like; the message is the cloud's.
    #[error("quota does not allow it: {0}")]
    Quota(String),
    #[error("{0}")]
    Refused(String),
}

/// Implemented by the cloud over its agent pools.
#[async_trait]
pub trait NodeGroups: Send + Sync + 'static {
    fn groups(&self) -> Vec<NodeGroup>;

    /// Asks for a larger group; returns when the cloud has accepted, not when the nodes are there.
    ///
    /// # Errors
    /// When the group is unknown, the size is beyond its bounds, or the cloud refuses.
    async fn increase(&self, group: &str, new_size: u32) -> Result<(), NodeGroupError>;

    /// Deletes these nodes and makes the group smaller by as many.
    ///
    /// # Errors
    /// When the group or a node is unknown, or the cloud refuses.
    async fn delete_nodes(&self, group: &str, nodes: &[String]) -> Result<(), NodeGroupError>;
}
