//! The template: a resource group with network, zone and server in it, and the cluster's side of the peering.

use arm_model::expression::Expression;
use arm_model::resources::{
    AuthConfig, Backup, Database, DatabaseProperties, FlexibleServer, FlexibleServerNetwork, FlexibleServerProperties,
    HighAvailability, HighAvailabilityMode, PrivateDnsZone, ResourceGroup, ServerConfiguration,
    ServerConfigurationProperties, ServerSku, Storage, Tags,
};
use arm_model::template::ParameterType;
use arm_model::{Output, Parameter, Resource, Template};
use indexmap::IndexMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::network::{
    CLUSTER_LINK, PEERING_FROM_CLUSTER, PEERING_TO_CLUSTER, SECURITY_GROUP, SUBNET, VIRTUAL_NETWORK, link, peering,
    security_group, virtual_network,
};
use crate::{Inputs, PASSWORD_PARAMETER};

const RESOURCES: &str = "resources";
const NETWORK_TYPE: &str = "Microsoft.Network/virtualNetworks";

/// Server names are unique in all of Azure, so the name carries a digest of where it is.
pub(crate) fn server_name(config: &Config, inputs: &Inputs) -> String {
    let digest = Sha256::digest(format!("{}/{}", inputs.subscription_id, config.resource_group));
    let suffix: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("marea-db-{suffix}")
}

pub(crate) fn template(config: &Config, inputs: &Inputs) -> Template {
    let group = ResourceGroup { location: config.location.clone(), ..ResourceGroup::default() };
    let password = IndexMap::from([(
        PASSWORD_PARAMETER.to_owned(),
        Value::String(Expression::parameter(PASSWORD_PARAMETER).into()),
    )]);
    let nested =
        Resource::nested_in_group("marea-db-resources", &config.resource_group, &in_group(config, inputs), password);
    let far_side = Resource::nested_in_group(
        "marea-db-peering",
        &inputs.cluster_resource_group,
        &in_cluster_group(config, inputs),
        IndexMap::new(),
    );
    let host = Expression::reference(Expression::literal(RESOURCES)).get("outputs").get("host").get("value");
    let connections = config.user_connections().unwrap_or_default();
    Template::for_subscription()
        .parameter(
            PASSWORD_PARAMETER,
            Parameter::secure_string().description("The administrator's password; marea makes and keeps it"),
        )
        .resource("group", Resource::new(&config.resource_group, &group))
        .resource(RESOURCES, nested.depends_on("group"))
        .resource("farSide", far_side.depends_on(RESOURCES))
        .output("resourceGroup", Output::string(config.resource_group.clone()))
        .output("serverName", Output::string(server_name(config, inputs)))
        .output("host", Output::string(host))
        .output("port", Output::new(ParameterType::Int, 5432))
        .output("database", Output::string(config.database.clone()))
        .output("user", Output::string(config.administrator.clone()))
        .output("userConnections", Output::new(ParameterType::Int, connections))
}

fn in_group(config: &Config, inputs: &Inputs) -> Template {
    let server = server_name(config, inputs);
    let zone = &config.network.zone;
    let global = PrivateDnsZone { location: Some("global".into()), ..PrivateDnsZone::default() };
    let own_network = Expression::resource_id(NETWORK_TYPE, &[VIRTUAL_NETWORK]);
    let database = Database {
        properties: DatabaseProperties { charset: Some("UTF8".into()), collation: Some("en_US.utf8".into()) },
    };
    let mut template = Template::for_group()
        .parameter(PASSWORD_PARAMETER, Parameter::secure_string())
        .resource("securityGroup", Resource::new(SECURITY_GROUP, &security_group(config, inputs)))
        .resource("network", Resource::new(VIRTUAL_NETWORK, &virtual_network(config)).depends_on("securityGroup"))
        .resource("zone", Resource::new(zone, &global))
        .resource(
            "ownLink",
            Resource::new(format!("{zone}/database"), &link(own_network)).depends_on("zone").depends_on("network"),
        )
        .resource(
            "clusterLink",
            Resource::new(format!("{zone}/{CLUSTER_LINK}"), &link(&inputs.cluster_network_id))
                .depends_on("zone")
                .depends_on("ownLink"),
        )
        .resource(
            "peering",
            Resource::new(format!("{VIRTUAL_NETWORK}/{PEERING_TO_CLUSTER}"), &peering(&inputs.cluster_network_id))
                .depends_on("network"),
        )
        .resource(
            "server",
            Resource::new(&server, &flexible_server(config, inputs)).depends_on("network").depends_on("ownLink"),
        )
        .resource("database", Resource::new(format!("{server}/{}", config.database), &database).depends_on("server"));
    // The service takes one change at a time, so each waits for the one before.
    let mut previous = "database".to_owned();
    for (name, value) in &config.parameters {
        let parameter = ServerConfiguration {
            properties: ServerConfigurationProperties {
                value: Some(value.clone()),
                source: Some("user-override".into()),
            },
        };
        let symbolic = format!("parameter_{name}").replace('.', "_");
        template =
            template.resource(&symbolic, Resource::new(format!("{server}/{name}"), &parameter).depends_on(previous));
        previous = symbolic;
    }
    template.output(
        "host",
        Output::string(Expression::reference(Expression::literal("server")).get("fullyQualifiedDomainName")),
    )
}

/// The one thing outside the stack's own group: a peering works only when both networks have it.
fn in_cluster_group(config: &Config, inputs: &Inputs) -> Template {
    let remote =
        Expression::resource_id_in(&inputs.subscription_id, &config.resource_group, NETWORK_TYPE, &[VIRTUAL_NETWORK]);
    let name = format!("{}/{PEERING_FROM_CLUSTER}", inputs.cluster_network_name);
    Template::for_group().resource("peering", Resource::new(name, &peering(remote)))
}

fn flexible_server(config: &Config, inputs: &Inputs) -> FlexibleServer {
    let subnet = Expression::resource_id("Microsoft.Network/virtualNetworks/subnets", &[VIRTUAL_NETWORK, SUBNET]);
    let zone = Expression::resource_id("Microsoft.Network/privateDnsZones", &[&config.network.zone]);
    FlexibleServer {
        location: Some(config.location.clone()),
        tags: Tags::from([("marea-password-revision".to_owned(), inputs.password_revision.clone())]),
        sku: Some(ServerSku { name: config.size.clone(), tier: config.tier.clone() }),
        identity: None,
        properties: FlexibleServerProperties {
            version: Some(config.version.clone()),
            administrator_login: Some(config.administrator.clone()),
            administrator_login_password: Some(Expression::parameter(PASSWORD_PARAMETER).into()),
            storage: Some(Storage {
                storage_size_gb: Some(config.storage_gib),
                auto_grow: Some("Disabled".into()),
                ..Storage::default()
            }),
            backup: Some(Backup {
                backup_retention_days: Some(config.backup_retention_days),
                geo_redundant_backup: Some("Disabled".into()),
            }),
            network: Some(FlexibleServerNetwork {
                public_network_access: Some("Disabled".into()),
                delegated_subnet_resource_id: Some(subnet.into()),
                private_dns_zone_arm_resource_id: Some(zone.into()),
            }),
            high_availability: Some(HighAvailability {
                mode: Some(HighAvailabilityMode::Disabled),
                standby_availability_zone: None,
            }),
            auth_config: Some(AuthConfig {
                active_directory_auth: Some("Disabled".into()),
                password_auth: Some("Enabled".into()),
                tenant_id: None,
            }),
            ..FlexibleServerProperties::default()
        },
    }
}
