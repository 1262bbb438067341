//! The managed cluster, as far as it rules its pools.

use arm_model::resources::{AutoScalerProfile, ManagedCluster};
use arm_model::{Resource, Typed};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    pub name: String,
    pub location: String,
    /// `major.minor` or a full version.
    pub kubernetes_version: Option<String>,
    /// `Free`, `Standard` or `Premium`
    pub tier: String,
    /// AKS's keys; what is left out has AKS's default.
    pub autoscaler: AutoScalerProfile,
    /// `azure` or `none`
    pub network_plugin: Option<String>,
    /// `overlay`, or absent where pods take addresses of the node's subnet.
    pub network_plugin_mode: Option<String>,
    /// `cilium`, `azure`, `calico`
    pub network_policy: Option<String>,
    pub outbound_type: Option<String>,
    pub load_balancer_sku: Option<String>,
}

impl Cluster {
    pub(crate) fn read(resource: &Resource) -> Option<Cluster> {
        if !resource.resource_type.eq_ignore_ascii_case(ManagedCluster::TYPE) {
            return None;
        }
        let cluster = resource.view::<ManagedCluster>().ok()?;
        let network = cluster.properties.network_profile.unwrap_or_default();
        Some(Cluster {
            name: resource.name.clone(),
            location: cluster.location.unwrap_or_default(),
            kubernetes_version: cluster.properties.kubernetes_version,
            tier: cluster.sku.map_or_else(|| "Free".to_owned(), |sku| sku.tier),
            autoscaler: cluster.properties.auto_scaler_profile.unwrap_or_default(),
            network_plugin: network.network_plugin,
            network_plugin_mode: network.network_plugin_mode,
            network_policy: network.network_policy,
            outbound_type: network.outbound_type,
            load_balancer_sku: network.load_balancer_sku,
        })
    }
}
