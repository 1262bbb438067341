//! Typed bodies, one file per resource type. Names on the wire are the struct's names in camel case.

mod agent_pool;
mod deployment;
mod deployment_stack;
mod flexible_server;
mod flexible_server_children;
mod identity;
mod managed_cluster;
mod network_security_group;
mod private_dns;
mod public_ip;
mod resource_group;
mod role_assignment;
mod virtual_network;

pub use agent_pool::{AgentPool, AgentPoolProfile, AgentPoolUpgradeSettings, OsDiskType, PoolMode, PoolType};
pub use deployment::{Deployment, DeploymentMode, DeploymentProperties, ExpressionEvaluationOptions, ExpressionScope};
pub use deployment_stack::{
    ActionOnUnmanage, DenySettings, DenySettingsMode, DeploymentStack, DeploymentStackProperties, UnmanageAction,
};
pub use flexible_server::{
    AuthConfig, Backup, FlexibleServer, FlexibleServerNetwork, FlexibleServerProperties, HighAvailability,
    HighAvailabilityMode, ServerSku, Storage,
};
pub use flexible_server_children::{Database, DatabaseProperties, ServerConfiguration, ServerConfigurationProperties};
pub use identity::{ResourceIdentity, UserAssignedIdentity};
pub use managed_cluster::{
    AutoScalerProfile, AutoUpgradeProfile, ClusterSku, ManagedCluster, ManagedClusterProperties, NetworkProfile,
    OidcIssuerProfile, SecurityProfile, WorkloadIdentity,
};
pub use network_security_group::{
    NetworkSecurityGroup, NetworkSecurityGroupProperties, RuleAccess, RuleDirection, RuleProtocol, SecurityRule,
    SecurityRuleProperties,
};
pub use private_dns::{PrivateDnsZone, VirtualNetworkLink, VirtualNetworkLinkProperties};
pub use public_ip::{PublicIpAddress, PublicIpAddressProperties, PublicIpSku};
pub use resource_group::ResourceGroup;
pub use role_assignment::{RoleAssignment, RoleAssignmentProperties, role};
pub use virtual_network::{
    AddressSpace, Delegation, DelegationProperties, Subnet, SubnetProperties, VirtualNetwork, VirtualNetworkPeering,
    VirtualNetworkPeeringProperties, VirtualNetworkProperties,
};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub type Tags = BTreeMap<String, String>;

/// `{"id": …}`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubResource {
    pub id: String,
}

impl SubResource {
    /// From an id or an expression that gives one.
    pub fn new(id: impl Into<String>) -> SubResource {
        SubResource { id: id.into() }
    }
}

/// Says which type and api-version a body belongs to.
macro_rules! typed {
    ($body:ident, $resource_type:literal, $api_version:literal) => {
        impl crate::template::Typed for $body {
            const TYPE: &'static str = $resource_type;
            const API_VERSION: &'static str = $api_version;
        }
    };
}

pub(crate) use typed;
