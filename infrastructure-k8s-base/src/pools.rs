//! Agent pools.

use std::collections::BTreeMap;

use arm_model::expression::Expression;
use arm_model::resources::{
    AgentPoolProfile, AgentPoolUpgradeSettings, AutoScalerProfile, PoolMode as ArmPoolMode, PoolType,
};
use platform::POOL_LABEL;

use crate::config::{AutoscalerProfile, Config, NodePool, PoolMode};
use crate::network::VIRTUAL_NETWORK;

/// All pools; system pools first, because AKS creates the cluster with them.
pub(crate) fn profiles(config: &Config, cluster_exists: bool) -> Vec<AgentPoolProfile> {
    let of_mode = |mode| config.node_pools.iter().filter(move |(_, pool)| pool.mode == mode);
    of_mode(PoolMode::System)
        .chain(of_mode(PoolMode::User))
        .map(|(name, pool)| profile(config, name, pool, cluster_exists))
        .collect()
}

fn profile(config: &Config, name: &str, pool: &NodePool, cluster_exists: bool) -> AgentPoolProfile {
    let autoscaled = pool.count.is_none();
    let subnet = Expression::resource_id("Microsoft.Network/virtualNetworks/subnets", &[VIRTUAL_NETWORK, name]);
    let user = pool.mode == PoolMode::User;
    AgentPoolProfile {
        name: Some(name.to_owned()),
        // An update must not set back what the autoscaler has done, so only the first request has a number.
        count: pool.count.or_else(|| pool.min.filter(|_| !cluster_exists)),
        vm_size: Some(pool.vm_size.clone()),
        os_disk_size_gb: pool.os_disk_gib,
        os_type: Some("Linux".into()),
        // One image for all pools.
        os_sku: Some("Ubuntu".into()),
        mode: Some(if user { ArmPoolMode::User } else { ArmPoolMode::System }),
        pool_type: Some(PoolType::VirtualMachineScaleSets),
        enable_auto_scaling: Some(autoscaled),
        min_count: pool.min,
        max_count: pool.max,
        max_pods: Some(pool.max_pods),
        vnet_subnet_id: Some(subnet.into()),
        node_labels: BTreeMap::from([(POOL_LABEL.to_owned(), name.to_owned())]),
        node_taints: if user { vec![format!("{POOL_LABEL}={name}:NoSchedule")] } else { Vec::new() },
        orchestrator_version: Some(config.kubernetes_version.clone()),
        upgrade_settings: Some(AgentPoolUpgradeSettings {
            max_surge: Some("1".into()),
            ..AgentPoolUpgradeSettings::default()
        }),
        ..AgentPoolProfile::default()
    }
}

pub(crate) fn autoscaler(profile: &AutoscalerProfile) -> AutoScalerProfile {
    AutoScalerProfile {
        scan_interval: profile.scan_interval.clone(),
        expander: profile.expander.clone(),
        scale_down_delay_after_add: profile.scale_down_delay_after_add.clone(),
        scale_down_delay_after_delete: profile.scale_down_delay_after_delete.clone(),
        scale_down_delay_after_failure: profile.scale_down_delay_after_failure.clone(),
        scale_down_unneeded_time: profile.scale_down_unneeded_time.clone(),
        scale_down_utilization_threshold: profile.scale_down_utilization_threshold.clone(),
        max_node_provision_time: profile.max_node_provision_time.clone(),
        ..AutoScalerProfile::default()
    }
}
