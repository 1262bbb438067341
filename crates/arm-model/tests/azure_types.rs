//! The typed bodies against Azure's published types.

use arm_model::resources::{
    AddressSpace, AgentPoolProfile, ClusterSku, Delegation, DelegationProperties, FlexibleServer,
    FlexibleServerNetwork, FlexibleServerProperties, ManagedCluster, ManagedClusterProperties, NetworkProfile,
    NetworkSecurityGroup, NetworkSecurityGroupProperties, PoolMode, ResourceGroup, ResourceIdentity, SecurityRule,
    SecurityRuleProperties, ServerSku, Storage, Subnet, SubnetProperties, VirtualNetwork, VirtualNetworkProperties,
};
use arm_model::validate::{AzureTypes, folder};
use arm_model::{Resource, Template};

#[allow(clippy::print_stdout, reason = "a skipped test says so")]
fn types() -> Option<AzureTypes> {
    let found = folder().map(|folder| AzureTypes::load(&folder).expect("the types can be read"));
    if found.is_none() {
        println!("skipped: no folder with Azure's types; set MAREA_AZURE_TYPES");
    }
    found
}

fn location() -> Option<String> {
    Some("eastus".to_owned())
}

fn inner() -> Template {
    let rule = SecurityRuleProperties {
        priority: 100,
        source_address_prefix: Some("*".to_owned()),
        source_port_range: Some("*".to_owned()),
        destination_address_prefix: Some("*".to_owned()),
        destination_port_range: Some("80".to_owned()),
        ..SecurityRuleProperties::default()
    };
    let group = NetworkSecurityGroup {
        location: location(),
        properties: NetworkSecurityGroupProperties {
            security_rules: vec![SecurityRule { name: Some("http".to_owned()), properties: rule }],
        },
        ..NetworkSecurityGroup::default()
    };
    let delegation = Delegation {
        name: "pg".to_owned(),
        properties: DelegationProperties { service_name: "Microsoft.DBforPostgreSQL/flexibleServers".to_owned() },
    };
    let subnet = SubnetProperties {
        address_prefix: Some("10.225.0.0/28".to_owned()),
        delegations: vec![delegation],
        ..SubnetProperties::default()
    };
    let network = VirtualNetwork {
        location: location(),
        properties: VirtualNetworkProperties {
            address_space: AddressSpace { address_prefixes: vec!["10.225.0.0/16".to_owned()] },
            subnets: vec![Subnet { name: Some("postgres".to_owned()), properties: subnet }],
            ..VirtualNetworkProperties::default()
        },
        ..VirtualNetwork::default()
    };
    let pool = AgentPoolProfile {
        name: Some("systempool".to_owned()),
        mode: Some(PoolMode::System),
        count: Some(1),
        vm_size: Some("Standard_B2s".to_owned()),
        ..AgentPoolProfile::default()
    };
    let cluster = ManagedCluster {
        location: location(),
        sku: Some(ClusterSku { name: "Base".to_owned(), tier: "Free".to_owned() }),
        identity: Some(ResourceIdentity { kind: "SystemAssigned".to_owned(), ..ResourceIdentity::default() }),
        properties: ManagedClusterProperties {
            agent_pool_profiles: vec![pool],
            network_profile: Some(NetworkProfile {
                network_plugin: Some("azure".to_owned()),
                dns_service_ip: Some("10.100.0.10".to_owned()),
                ..NetworkProfile::default()
            }),
            ..ManagedClusterProperties::default()
        },
        ..ManagedCluster::default()
    };
    let server = FlexibleServer {
        location: location(),
        sku: Some(ServerSku { name: "Standard_B1ms".to_owned(), tier: "Burstable".to_owned() }),
        properties: FlexibleServerProperties {
            version: Some("17".to_owned()),
            storage: Some(Storage { storage_size_gb: Some(32), ..Storage::default() }),
            network: Some(FlexibleServerNetwork {
                public_network_access: Some("Disabled".to_owned()),
                ..FlexibleServerNetwork::default()
            }),
            ..FlexibleServerProperties::default()
        },
        ..FlexibleServer::default()
    };
    Template::for_group()
        .resource("group", Resource::new("nodes", &group))
        .resource("network", Resource::new("db", &network))
        .resource("cluster", Resource::new("marea", &cluster))
        .resource("server", Resource::new("marea-db", &server))
}

fn outer() -> Template {
    let group = ResourceGroup { location: "eastus".to_owned(), ..ResourceGroup::default() };
    Template::for_subscription()
        .resource("group", Resource::new("g", &group))
        .resource("inner", Resource::nested_in_group("inner", "g", &inner(), Default::default()).depends_on("group"))
}

#[test]
fn typed_bodies_have_azures_wire_names() {
    let Some(types) = types() else { return };
    let problems: Vec<String> = types.check_template(&outer().to_value()).iter().map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn one_broken_thing_is_one_problem() {
    let Some(types) = types() else { return };
    let cluster = "/resources/inner/properties/template/resources/cluster";
    let breakages: [(&str, &str, serde_json::Value, &str); 4] = [
        (cluster, "/properties/agentPoolProfiles/0/name", "Not_A_Pool!".into(), "does not match"),
        (cluster, "/properties/agentPoolProfiles/0/count", "one".into(), "is not an integer"),
        (cluster, "/properties/networkProfile/dnsServiceIP", 5.into(), "is not a string"),
        ("/resources/group", "/apiVersion", "1999-01-01".into(), "have no"),
    ];
    for (resource, path, value, expected) in breakages {
        let mut template = outer().to_value();
        *template.pointer_mut(&format!("{resource}{path}")).expect(path) = value;
        let problems = types.check_template(&template);
        assert_eq!(problems.len(), 1, "{path}: {problems:#?}");
        assert!(problems[0].message.contains(expected), "{path}: {}", problems[0]);
    }
}
