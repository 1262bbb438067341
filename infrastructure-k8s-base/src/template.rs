//! The template: a resource group, and in it network, identity and cluster.

use std::collections::BTreeMap;

use arm_model::expression::Expression;
use arm_model::resources::{
    AutoUpgradeProfile, ClusterSku, ManagedCluster, ManagedClusterProperties, NetworkProfile, OidcIssuerProfile,
    ResourceGroup, ResourceIdentity, RoleAssignment, RoleAssignmentProperties, SecurityProfile, UserAssignedIdentity,
    WorkloadIdentity, role,
};
use arm_model::{Output, Resource, Template};
use indexmap::IndexMap;
use serde_json::json;

use crate::Inputs;
use crate::config::{ClusterTier, Config};
use crate::network::{VIRTUAL_NETWORK, security_group, security_group_name, virtual_network};
use crate::pools;

const IDENTITY: &str = "marea-cluster";
const RESOURCES: &str = "resources";

pub(crate) fn template(config: &Config, inputs: &Inputs) -> Template {
    let group = ResourceGroup { location: config.location.clone(), ..ResourceGroup::default() };
    let nested = Resource::nested_in_group(
        "marea-base-resources",
        &config.resource_group,
        &in_group(config, inputs),
        IndexMap::new(),
    );
    let output = |name: &str| {
        Output::string(Expression::reference(Expression::literal(RESOURCES)).get("outputs").get(name).get("value"))
    };
    let mut template = Template::for_subscription()
        .resource("group", Resource::new(&config.resource_group, &group))
        .resource(RESOURCES, nested.depends_on("group"))
        .output("resourceGroup", Output::string(config.resource_group.clone()))
        .output("clusterName", Output::string(config.cluster_name.clone()))
        .output("virtualNetworkName", Output::string(VIRTUAL_NETWORK));
    for name in ["clusterId", "clusterFqdn", "oidcIssuerUrl", "virtualNetworkId", "backendSubnetPrefix"] {
        template = template.output(name, output(name));
    }
    template
}

fn in_group(config: &Config, inputs: &Inputs) -> Template {
    let mut template = Template::for_group();
    let mut network = Resource::new(VIRTUAL_NETWORK, &virtual_network(config));
    for pool in config.node_pools.keys() {
        let symbolic = format!("securityGroup_{pool}");
        template = template.resource(&symbolic, Resource::new(security_group_name(pool), &security_group(config)));
        network = network.depends_on(symbolic);
    }
    let identity = UserAssignedIdentity { location: Some(config.location.clone()), ..UserAssignedIdentity::default() };
    let network_id = Expression::resource_id("Microsoft.Network/virtualNetworks", &[VIRTUAL_NETWORK]);
    let cluster_id = Expression::resource_id("Microsoft.ContainerService/managedClusters", &[&config.cluster_name]);
    let cluster = || Expression::reference(Expression::literal("cluster"));
    let backend_subnet = config.node_pools.get("backend").map_or(&config.network.virtual_network, |pool| &pool.subnet);
    template
        .resource("network", network)
        .resource("identity", Resource::new(IDENTITY, &identity))
        .resource("networkAccess", network_access().depends_on("network").depends_on("identity"))
        .resource(
            "cluster",
            Resource::new(&config.cluster_name, &managed_cluster(config, inputs))
                .depends_on("network")
                .depends_on("networkAccess"),
        )
        .output("clusterId", Output::string(cluster_id))
        .output("clusterFqdn", Output::string(cluster().get("fqdn")))
        .output("oidcIssuerUrl", Output::string(cluster().get("oidcIssuerProfile").get("issuerURL")))
        .output("virtualNetworkId", Output::string(network_id))
        .output("backendSubnetPrefix", Output::string(backend_subnet.clone()))
}

/// The cluster puts nodes and load balancers into a network that it did not make, so its identity must exist before it
/// and may change that network only.
fn network_access() -> Resource {
    let role_definition = Expression::call(
        "subscriptionResourceId",
        &[
            Expression::literal("Microsoft.Authorization/roleDefinitions"),
            Expression::literal(role::NETWORK_CONTRIBUTOR),
        ],
    );
    let assignment = RoleAssignment {
        properties: RoleAssignmentProperties {
            role_definition_id: role_definition.into(),
            principal_id: Expression::reference(Expression::literal("identity")).get("principalId").into(),
            principal_type: Some("ServicePrincipal".into()),
            description: Some("The cluster joins its nodes and load balancers to this network".into()),
        },
    };
    let network_id = Expression::resource_id("Microsoft.Network/virtualNetworks", &[VIRTUAL_NETWORK]);
    let name = Expression::raw("guid(resourceGroup().id, 'marea-cluster', 'network-contributor')");
    Resource::new(name, &assignment).scope(network_id)
}

fn managed_cluster(config: &Config, inputs: &Inputs) -> ManagedCluster {
    // Written out: a key of an object is not an expression that every tool evaluates.
    let identity_id = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{IDENTITY}",
        inputs.subscription_id, config.resource_group
    );
    let tier = match config.tier {
        ClusterTier::Free => "Free",
        ClusterTier::Standard => "Standard",
        ClusterTier::Premium => "Premium",
    };
    ManagedCluster {
        location: Some(config.location.clone()),
        tags: Default::default(),
        sku: Some(ClusterSku { name: "Base".into(), tier: tier.into() }),
        identity: Some(ResourceIdentity {
            kind: "UserAssigned".into(),
            user_assigned_identities: BTreeMap::from([(identity_id, json!({}))]),
        }),
        properties: ManagedClusterProperties {
            kubernetes_version: Some(config.kubernetes_version.clone()),
            dns_prefix: Some(config.cluster_name.clone()),
            enable_rbac: Some(true),
            agent_pool_profiles: pools::profiles(config, inputs.cluster_exists),
            network_profile: Some(network_profile(config)),
            oidc_issuer_profile: Some(OidcIssuerProfile { enabled: Some(true), issuer_url: None }),
            security_profile: Some(SecurityProfile {
                workload_identity: Some(WorkloadIdentity { enabled: Some(true) }),
            }),
            auto_scaler_profile: Some(pools::autoscaler(&config.autoscaler)),
            auto_upgrade_profile: Some(AutoUpgradeProfile {
                upgrade_channel: Some("patch".into()),
                node_os_upgrade_channel: Some("NodeImage".into()),
            }),
            ..ManagedClusterProperties::default()
        },
    }
}

/// Azure CNI as overlay with the Cilium data plane: Azure's own policy engine retires in 2028, and pods in the subnet
/// would need an address each for every node that could ever exist.
fn network_profile(config: &Config) -> NetworkProfile {
    NetworkProfile {
        network_plugin: Some("azure".into()),
        network_plugin_mode: Some("overlay".into()),
        network_policy: Some("cilium".into()),
        network_dataplane: Some("cilium".into()),
        pod_cidr: Some(config.network.pods.clone()),
        service_cidr: Some(config.network.services.clone()),
        dns_service_ip: Some(config.network.dns_service.clone()),
        outbound_type: Some("loadBalancer".into()),
        load_balancer_sku: Some("standard".into()),
    }
}
