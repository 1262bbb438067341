//! What is deployed and asked, the same on both sides.

use std::collections::BTreeMap;

use arm_client::{ArmClient, ArmClientError};
use arm_model::Typed;
use arm_model::resources::{
    AgentPool, Database, Deployment as ArmDeployment, FlexibleServer, ManagedCluster, NetworkSecurityGroup,
    PrivateDnsZone, ResourceGroup, RoleAssignment, SecurityRule, ServerConfiguration, Subnet, UserAssignedIdentity,
    VirtualNetwork, VirtualNetworkLink, VirtualNetworkPeering,
};
use infrastructure_k8s_base::{Base, Inputs as BaseInputs, Outputs as BaseOutputs};
use infrastructure_k8s_db::{Db, Inputs as DbInputs, PASSWORD_PARAMETER};
use serde_json::{Value, json};
use stack::arm::{Deployment, Driver, Live};
use stack::history::stack_tags;
use stack::secrets::{Secret, generate_password};
use stack::{Reporter, Stack};

use super::PREFIX;
use crate::error::{CliError, Result};
use crate::project::Project;
use crate::stacks::{base, db};

/// A small platform under names of its own.
pub struct Trial {
    base: infrastructure_k8s_base::Config,
    db: infrastructure_k8s_db::Config,
    name: String,
    password: Secret,
}

/// The namespaces that the two stacks use.
const PROVIDERS: [&str; 5] = [
    "Microsoft.ContainerService",
    "Microsoft.DBforPostgreSQL",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.Compute",
];

/// Types of what the two stacks make, with the api-version that it is read by.
const TYPES: [(&str, &str); 10] = [
    (ManagedCluster::TYPE, ManagedCluster::API_VERSION),
    (FlexibleServer::TYPE, FlexibleServer::API_VERSION),
    (Database::TYPE, Database::API_VERSION),
    (ServerConfiguration::TYPE, ServerConfiguration::API_VERSION),
    (NetworkSecurityGroup::TYPE, NetworkSecurityGroup::API_VERSION),
    (VirtualNetwork::TYPE, VirtualNetwork::API_VERSION),
    (VirtualNetworkPeering::TYPE, VirtualNetworkPeering::API_VERSION),
    (PrivateDnsZone::TYPE, PrivateDnsZone::API_VERSION),
    (VirtualNetworkLink::TYPE, VirtualNetworkLink::API_VERSION),
    (UserAssignedIdentity::TYPE, UserAssignedIdentity::API_VERSION),
];

impl Trial {
    pub fn new(project: &Project, environment: &str, allow_unsupported: bool) -> Result<Trial> {
        let mut base = base::load(project, environment, allow_unsupported)?;
        let mut db = db::load(project, environment)?;
        // Milliseconds make names that two people do not choose at once.
        let name = format!("{PREFIX}{:x}", jiff::Timestamp::now().as_millisecond());
        base.resource_group = format!("{name}-base");
        db.resource_group = format!("{name}-db");
        db.deny_delete = false;
        for pool in base.node_pools.values_mut() {
            if let Some(min) = pool.min {
                pool.min = Some(min.max(1));
                pool.max = Some(min.max(1));
            }
        }
        Ok(Trial { base, db, name, password: generate_password()? })
    }

    pub fn location(&self) -> &str {
        &self.base.location
    }

    /// The resource groups, for whoever must delete them by hand.
    pub fn names(&self) -> String {
        format!("{} and {}", self.base.resource_group, self.db.resource_group)
    }

    fn stack(&self, which: &str) -> String {
        format!("{}-{which}", self.name)
    }

    /// # Errors
    /// When a namespace is not registered: a deployment would fail half-way.
    pub async fn check_providers(&self, client: &ArmClient) -> Result<()> {
        let mut missing = Vec::new();
        for namespace in PROVIDERS {
            let path = format!("{}/providers/{namespace}", client.subscription_path());
            let provider = client.get(&path, ResourceGroup::API_VERSION).await?;
            if provider["registrationState"] != "Registered" {
                missing.push(namespace);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let commands: Vec<String> =
            missing.iter().map(|name| format!("az provider register --wait -n {name}")).collect();
        Err(CliError::failed(format!("not registered in this subscription: {}", missing.join(", ")))
            .advice(format!("Run `{}`.", commands.join(" && "))))
    }

    fn deployment(&self, which: &str, location: &str, template: arm_model::Template) -> Deployment {
        Deployment {
            name: self.stack(which),
            location: location.to_owned(),
            template,
            parameters: BTreeMap::new(),
            secure_parameters: BTreeMap::new(),
            tags: stack_tags(which, "verify", None),
            deny_delete: false,
        }
    }

    fn base_deployment(&self, client: &ArmClient, cluster_exists: bool) -> Deployment {
        let inputs = BaseInputs { subscription_id: client.subscription_id().to_owned(), cluster_exists };
        self.deployment("base", &self.base.location, Base::template(&self.base, &inputs))
    }

    fn db_deployment(&self, client: &ArmClient, base: &BaseOutputs) -> Deployment {
        let inputs = DbInputs {
            subscription_id: client.subscription_id().to_owned(),
            cluster_resource_group: base.resource_group.clone(),
            cluster_network_name: base.virtual_network_name.clone(),
            cluster_network_id: base.virtual_network_id.clone(),
            backend_subnet_prefix: base.backend_subnet_prefix.clone(),
            password_revision: "verify".to_owned(),
        };
        let mut deployment = self.deployment("db", &self.db.location, Db::template(&self.db, &inputs));
        deployment.secure_parameters.insert(PASSWORD_PARAMETER.to_owned(), self.password.clone());
        deployment
    }

    /// What-if, deployment, every resource as it is read, refusals, what-if of the unchanged: of base, then of db.
    pub async fn deploy(&self, client: &ArmClient, reporter: &dyn Reporter) -> Result<()> {
        let driver = Driver { client };
        let base = driver_steps(client, &driver, self.base_deployment(client, false), reporter).await?;
        let outputs: BaseOutputs = base
            .outputs()
            .ok_or_else(|| CliError::failed(format!("the stack {} has not all of its outputs", self.stack("base"))))?;
        driver.preview(&self.base_deployment(client, true), Some(&base)).await?;
        client
            .post(&format!("{}/listClusterAdminCredential", outputs.cluster_id), ManagedCluster::API_VERSION, None)
            .await?;
        self.ask_what_is_refused(client, &outputs).await?;
        let deployment = self.db_deployment(client, &outputs);
        let db = driver_steps(client, &driver, self.db_deployment(client, &outputs), reporter).await?;
        driver.preview(&deployment, Some(&db)).await?;
        driver
            .record(
                &client.subscription_path(),
                &self.stack("record"),
                Some(&self.base.location),
                stack_tags("base", "verify", None),
            )
            .await?;
        Ok(())
    }

    /// The database first: base's group holds the far side of its peering.
    pub async fn destroy(&self, client: &ArmClient, reporter: &dyn Reporter) -> Result<()> {
        let driver = Driver { client };
        for which in ["db", "base"] {
            driver.destroy(&self.stack(which), reporter).await?;
        }
        let group = format!("{}/resourceGroups/{}", client.subscription_path(), self.base.resource_group);
        answered(client.get(&group, ResourceGroup::API_VERSION).await)?;
        // The record is no resource and costs nothing, but it would stay in the subscription's history.
        let record = format!(
            "{}/providers/Microsoft.Resources/deployments/{}",
            client.subscription_path(),
            self.stack("record")
        );
        if let Some(operation) = client.delete(&record, ArmDeployment::API_VERSION).await? {
            operation.wait(|_| {}).await?;
        }
        Ok(())
    }

    /// Requests that change nothing, because each has something wrong with it.
    async fn ask_what_is_refused(&self, client: &ArmClient, base: &BaseOutputs) -> Result<()> {
        let group = format!("{}/resourceGroups/{}", client.subscription_path(), base.resource_group);
        let network = &base.virtual_network_id;
        let missing = format!("{group}-missing");
        answered(client.get(&missing, ResourceGroup::API_VERSION).await)?;
        answered(
            client
                .get(&format!("{group}/providers/{}/missing", VirtualNetwork::TYPE), VirtualNetwork::API_VERSION)
                .await,
        )?;
        answered(
            client.get(&format!("{missing}/providers/{}/c", ManagedCluster::TYPE), ManagedCluster::API_VERSION).await,
        )?;
        let Some((pool, settings)) = self.base.node_pools.iter().next() else { return Ok(()) };
        let overlapping = json!({"properties": {"addressPrefix": settings.subnet}});
        refused(client, &format!("{network}/subnets/overlapping"), Subnet::API_VERSION, &overlapping).await?;
        let rule = json!({"properties": {"priority": 99, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80"}});
        let security_group =
            format!("{group}/providers/{}/{}", NetworkSecurityGroup::TYPE, security_group(client, &group).await?);
        refused(client, &format!("{security_group}/securityRules/low"), SecurityRule::API_VERSION, &rule).await?;
        let pool_body = json!({"properties": {"count": 1, "vmSize": settings.vm_size, "mode": "User"}});
        refused(client, &format!("{}/agentPools/NotLower", base.cluster_id), AgentPool::API_VERSION, &pool_body)
            .await?;
        answered(client.delete(&format!("{network}/subnets/{pool}"), Subnet::API_VERSION).await.map(|_| Value::Null))
    }
}

/// The name of one of the network's security groups.
async fn security_group(client: &ArmClient, group: &str) -> Result<String> {
    let path = format!("{group}/providers/{}", NetworkSecurityGroup::TYPE);
    let mut names: Vec<String> = client
        .list(&path, NetworkSecurityGroup::API_VERSION)
        .await?
        .iter()
        .filter_map(|one| one["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names.into_iter().next().ok_or_else(|| CliError::failed(format!("{group} has no network security group")))
}

async fn driver_steps(
    client: &ArmClient,
    driver: &Driver<'_>,
    deployment: Deployment,
    reporter: &dyn Reporter,
) -> Result<Live> {
    reporter.status(&format!("{}: what would change", deployment.name));
    driver.preview(&deployment, None).await?;
    reporter.status(&format!("{}: deploying", deployment.name));
    driver.apply(&deployment, reporter).await?;
    reporter.line(&format!("{}: deployed", deployment.name));
    let live = driver.live(&deployment.name).await?;
    let live = live.ok_or_else(|| CliError::failed(format!("the stack {} is gone again", deployment.name)))?;
    for id in &live.resources {
        if let Some(api_version) = api_version(id) {
            client.get(id, api_version).await?;
        }
    }
    Ok(live)
}

/// By the type in an id: `…/providers/Namespace/type/name/subtype/name`. `None` for types that are no resources of the stacks.
fn api_version(id: &str) -> Option<&'static str> {
    let Some((_, path)) = id.rsplit_once("/providers/") else { return Some(ResourceGroup::API_VERSION) };
    let words: Vec<&str> = path.split('/').collect();
    let kind = words.iter().take(1).chain(words.iter().skip(1).step_by(2)).copied().collect::<Vec<_>>().join("/");
    if kind.eq_ignore_ascii_case(RoleAssignment::TYPE) {
        return Some(RoleAssignment::API_VERSION);
    }
    TYPES.iter().find(|(name, _)| kind.eq_ignore_ascii_case(name)).map(|(_, version)| *version)
}

/// A refusal is an answer like any other; only silence is a failure.
fn answered(result: std::result::Result<Value, ArmClientError>) -> Result<()> {
    match result {
        Err(ArmClientError::Refused { .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A PUT that should be refused. If it is not, it is waited for: what comes next must find the cloud at rest.
async fn refused(client: &ArmClient, path: &str, api_version: &str, body: &Value) -> Result<()> {
    match client.put(path, api_version, body).await {
        Ok(operation) => match operation.wait(|_| {}).await {
            Ok(_) | Err(ArmClientError::Failed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        },
        Err(error) => answered(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_by_their_own_api_version() {
        let group = "/subscriptions/s/resourceGroups/g";
        assert_eq!(api_version(group), Some(ResourceGroup::API_VERSION));
        let pool = format!("{group}/providers/Microsoft.Network/virtualNetworks/v/virtualNetworkPeerings/p");
        assert_eq!(api_version(&pool), Some(VirtualNetworkPeering::API_VERSION));
        let role = format!(
            "{group}/providers/Microsoft.Network/virtualNetworks/v/providers/Microsoft.Authorization/roleAssignments/r"
        );
        assert_eq!(api_version(&role), Some(RoleAssignment::API_VERSION));
        assert_eq!(api_version(&format!("{group}/providers/Microsoft.Resources/deployments/d")), None);
    }
}
