//! What effects say, and what their outcomes change. Also the typed view that the shell reads.

use arm_model::error::ErrorBody;
use arm_model::id::ResourceId;
use serde_json::{Value, json};
use units::Timestamp;

use crate::effect::{DatabaseView, Effect, Outcome, PoolView};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, CLUSTER_TYPE, POOL_TYPE, SERVER_TYPE};
use crate::state::{EffectKind, PendingEffect, Status, StoredResource};

const PASSWORD: &str = "administratorLoginPassword";

/// A managed cluster as the shell sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterView {
    pub id: String,
    pub name: String,
    pub body: Value,
    pub pools: Vec<PoolView>,
}

/// A name of a private zone, or a server's public name, and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsRecord {
    /// Without a dot at the end.
    pub fqdn: String,
    pub address: String,
}

impl Engine {
    /// Every managed cluster that is not being deleted.
    pub fn clusters(&self) -> Vec<ClusterView> {
        let clusters = self.world().of_type(CLUSTER_TYPE);
        let alive =
            clusters.into_iter().filter(|cluster| cluster.body["properties"]["provisioningState"] != "Deleting");
        alive
            .map(|cluster| ClusterView {
                id: cluster.id.clone(),
                name: cluster.body["name"].as_str().unwrap_or_default().to_owned(),
                body: self.render(cluster),
                pools: self.pools_of(&cluster.id),
            })
            .collect()
    }

    /// A resource as a GET shows it.
    pub fn resource(&self, id: &str) -> Option<Value> {
        self.resources.get(&id.to_ascii_lowercase()).map(|resource| self.render(resource))
    }

    /// Every resource of a type, as a GET shows it, in order of creation.
    pub fn resources_of_type(&self, resource_type: &str) -> Vec<Value> {
        self.world().of_type(resource_type).into_iter().map(|resource| self.render(resource)).collect()
    }

    /// Names of private zones and of database servers with their addresses.
    pub fn private_dns_records(&self) -> Vec<DnsRecord> {
        let mut records = Vec::new();
        for record in self.world().of_type("Microsoft.Network/privateDnsZones/A") {
            let fqdn = record.body["properties"]["fqdn"].as_str().unwrap_or_default().trim_end_matches('.');
            for address in record.body["properties"]["aRecords"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|a| a["ipv4Address"].as_str())
            {
                records.push(DnsRecord { fqdn: fqdn.to_owned(), address: address.to_owned() });
            }
        }
        for server in self.world().of_type(SERVER_TYPE) {
            if let (Some(fqdn), Some(address)) =
                (server.body["properties"]["fullyQualifiedDomainName"].as_str(), server.hidden.get("hostAddress"))
            {
                records.push(DnsRecord { fqdn: fqdn.to_owned(), address: address.clone() });
            }
        }
        records
    }

    /// Sets the number of machines of an autoscaled pool, as the autoscaler does: within its bounds, without an
    /// operation. The cluster's effect follows. Returns the count that was set.
    ///
    /// # Errors
    /// `ResourceNotFound` when there is no such pool.
    pub fn set_pool_count(&mut self, pool_id: &str, count: u32, now: Timestamp) -> Result<u32, Fault> {
        self.now = now;
        let key = pool_id.to_ascii_lowercase();
        let missing = || Fault::resource_not_found(POOL_TYPE, pool_id, "");
        let properties = self
            .resources
            .get(&key)
            .filter(|pool| pool.resource_type == POOL_TYPE)
            .map(|pool| &pool.body["properties"])
            .ok_or_else(missing)?;
        let bound = |name: &str, none: u32| {
            properties[name].as_u64().and_then(|bound| u32::try_from(bound).ok()).unwrap_or(none)
        };
        let wanted = count.clamp(bound("minCount", 0), bound("maxCount", 1000));
        if properties["count"].as_u64() != Some(u64::from(wanted)) {
            if let Some(pool) = self.resources.get_mut(&key) {
                pool.body["properties"]["count"] = wanted.into();
            }
            let cluster = key.rsplit_once("/agentpools/").map_or(String::new(), |(cluster, _)| cluster.to_owned());
            self.queue_effect(EffectKind::EnsureCluster, &cluster, None);
        }
        Ok(wanted)
    }

    /// Asks for every cluster and server to be made again, as after a restart of what carries them.
    pub fn ensure_everything(&mut self, now: Timestamp) {
        self.now = now;
        for (resource_type, kind) in
            [(CLUSTER_TYPE, EffectKind::EnsureCluster), (SERVER_TYPE, EffectKind::EnsurePostgres)]
        {
            let targets: Vec<String> = self
                .world()
                .of_type(resource_type)
                .into_iter()
                .map(|resource| resource.id.to_ascii_lowercase())
                .collect();
            for target in targets {
                // What was stopped stays so.
                let stopped = self.resources.get(&target).is_some_and(|held| providers::is_stopped(&held.body));
                if !stopped {
                    self.queue_effect(kind, &target, None);
                }
            }
        }
    }

    fn pools_of(&self, cluster: &str) -> Vec<PoolView> {
        self.world().children(cluster, POOL_TYPE).into_iter().map(|pool| self.pool_view(pool)).collect()
    }

    fn pool_view(&self, pool: &StoredResource) -> PoolView {
        let properties = &pool.body["properties"];
        let number = |name: &str| properties[name].as_u64().and_then(|number| u32::try_from(number).ok());
        let text = |name: &str| properties[name].as_str().unwrap_or_default().to_owned();
        let labels = properties["nodeLabels"].as_object().into_iter().flatten();
        let subnet = properties["vnetSubnetID"].as_str().and_then(|id| self.world().get(id));
        PoolView {
            name: pool.body["name"].as_str().unwrap_or_default().to_owned(),
            vm_size: text("vmSize"),
            count: number("count").unwrap_or(0),
            min_count: number("minCount"),
            max_count: number("maxCount"),
            autoscaling: properties["enableAutoScaling"] == true,
            mode: text("mode"),
            max_pods: number("maxPods").unwrap_or(30),
            labels: labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
            taints: properties["nodeTaints"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|taint| taint.as_str().map(str::to_owned))
                .collect(),
            subnet_prefix: subnet
                .and_then(|subnet| subnet.body["properties"]["addressPrefix"].as_str())
                .map(str::to_owned),
            node_image_version: text("nodeImageVersion"),
        }
    }

    /// What a pending effect says now.
    pub(crate) fn describe(&self, effect: &PendingEffect) -> Effect {
        let target = self.resources.get(&effect.target);
        let id = target.map_or_else(|| effect.target.clone(), |target| target.id.clone());
        let body = target.map_or(Value::Null, |target| self.render(target));
        match effect.kind {
            EffectKind::EnsureCluster => Effect::EnsureCluster { pools: self.pools_of(&id), cluster_id: id, body },
            EffectKind::StopCluster => Effect::StopCluster { cluster_id: id },
            EffectKind::StopPostgres => Effect::StopPostgres { server_id: id },
            EffectKind::DeleteCluster => Effect::DeleteCluster { cluster_id: id },
            EffectKind::DeletePostgres => Effect::DeletePostgres { server_id: id },
            EffectKind::EnsurePostgres => Effect::EnsurePostgres {
                administrator_password: target
                    .and_then(|target| target.hidden.get(PASSWORD))
                    .cloned()
                    .unwrap_or_default(),
                configurations: self.server_children(&id, "configurations", |child| {
                    Some((child["name"].as_str()?.to_owned(), child["properties"]["value"].as_str()?.to_owned()))
                }),
                databases: self.server_children(&id, "databases", |child| {
                    let text = |name: &str| child["properties"][name].as_str().map(str::to_owned);
                    if providers::is_system_database(child["name"].as_str()?) {
                        return None;
                    }
                    Some(DatabaseView {
                        name: child["name"].as_str()?.to_owned(),
                        charset: text("charset")?,
                        collation: text("collation")?,
                    })
                }),
                server_id: id,
                body,
            },
        }
    }

    fn server_children<T>(&self, server: &str, kind: &str, of: fn(&Value) -> Option<T>) -> Vec<T> {
        let child_type = format!("{SERVER_TYPE}/{kind}");
        self.world().children(server, &child_type).into_iter().filter_map(|child| of(&child.body)).collect()
    }

    pub(crate) fn finish_effect(&mut self, effect: &PendingEffect, outcome: Outcome) {
        let error = match outcome {
            Outcome::Cluster { fqdn, admin_kubeconfig, user_kubeconfig, oidc_issuer_url } => {
                self.cluster_made(
                    &effect.target,
                    fqdn,
                    oidc_issuer_url,
                    [("adminKubeconfig", admin_kubeconfig), ("userKubeconfig", user_kubeconfig)],
                );
                None
            }
            Outcome::Postgres { host_address, state } => {
                self.server_made(&effect.target, host_address, state);
                None
            }
            Outcome::Deleted => {
                self.remove_server_record(&effect.target);
                self.remove_with_children(&effect.target);
                None
            }
            Outcome::Stopped => {
                self.stopped(&effect.target);
                None
            }
            Outcome::Failed { code, message } => {
                self.settle(&effect.target, "Failed");
                Some(ErrorBody::new(code, message))
            }
        };
        let status = if error.is_some() { Status::Failed } else { Status::Succeeded };
        for operation in &effect.operations {
            self.end_operation(operation, status, error.clone());
        }
    }

    fn cluster_made(&mut self, target: &str, fqdn: String, issuer: String, secrets: [(&str, String); 2]) {
        if let Some(cluster) = self.resources.get_mut(target) {
            for (name, secret) in secrets {
                cluster.hidden.insert(name.to_owned(), secret);
            }
            let properties = &mut cluster.body["properties"];
            properties["fqdn"] = fqdn.clone().into();
            properties["azurePortalFQDN"] = fqdn.into();
            if properties["oidcIssuerProfile"]["enabled"] == true {
                properties["oidcIssuerProfile"]["issuerURL"] = issuer.into();
            }
        }
        self.set_power(target, "Running");
        self.settle(target, "Succeeded");
    }

    /// A cluster or server whose work outside was taken away.
    fn stopped(&mut self, target: &str) {
        if self.effects.values().any(|effect| effect.target == target) {
            return;
        }
        let is_server = self.resources.get(target).is_some_and(|resource| resource.resource_type == SERVER_TYPE);
        if is_server {
            if let Some(server) = self.resources.get_mut(target) {
                server.body["properties"]["state"] = "Stopped".into();
            }
            return;
        }
        self.set_power(target, "Stopped");
        self.settle(target, "Succeeded");
    }

    /// `powerState` of a cluster and of its pools.
    fn set_power(&mut self, target: &str, code: &str) {
        let pools: Vec<String> =
            self.world().children(target, POOL_TYPE).iter().map(|pool| pool.id.to_ascii_lowercase()).collect();
        for key in pools.into_iter().chain([target.to_owned()]) {
            let differs =
                self.resources.get(&key).is_some_and(|held| held.body["properties"]["powerState"]["code"] != code);
            if differs && let Some(held) = self.resources.get_mut(&key) {
                held.body["properties"]["powerState"] = json!({ "code": code });
            }
        }
    }

    /// Writes the end state to a cluster or server and its children, unless more work for it is waiting.
    fn settle(&mut self, target: &str, state: &str) {
        if self.effects.values().any(|effect| effect.target == target) {
            return;
        }
        let prefix = format!("{target}/");
        let keys: Vec<String> = std::iter::once(target.to_owned())
            .chain(self.resources.below(&prefix).map(|(key, _)| key.clone()))
            .collect();
        for key in keys {
            let busy = self
                .resources
                .get(&key)
                .and_then(|resource| resource.body["properties"]["provisioningState"].as_str().map(|old| old != state));
            if busy == Some(true)
                && let Some(resource) = self.resources.get_mut(&key)
            {
                resource.body["properties"]["provisioningState"] = state.into();
            }
        }
        if state == "Failed"
            && let Some(server) = self.resources.get_mut(target).filter(|server| server.resource_type == SERVER_TYPE)
        {
            server.body["properties"]["state"] = "Inaccessible".into();
        }
    }

    fn server_made(&mut self, target: &str, address: String, state: String) {
        let more = self.effects.values().any(|effect| effect.target == target);
        let Some(server) = self.resources.get_mut(target) else { return };
        server.hidden.insert("hostAddress".to_owned(), address.clone());
        if !more {
            server.body["properties"]["state"] = state.into();
        }
        let zone = server.body["properties"]["network"]["privateDnsZoneArmResourceId"].as_str().map(str::to_owned);
        let name = server.body["name"].as_str().unwrap_or_default().to_owned();
        if let Some(zone) = zone.and_then(|zone| ResourceId::parse(&zone).ok()) {
            let body = json!({ "properties": { "ttl": 30, "aRecords": [{ "ipv4Address": address }] } });
            // A zone that went away since then has no record to hold.
            let _ = self.put_resource(
                &zone.child("A", &name),
                "2024-06-01",
                &body,
                &crate::resources::Conditions::default(),
            );
        }
    }

    fn remove_server_record(&mut self, target: &str) {
        let Some(server) = self.resources.get(target).filter(|server| server.resource_type == SERVER_TYPE) else {
            return;
        };
        if let Some(zone) = server.body["properties"]["network"]["privateDnsZoneArmResourceId"].as_str() {
            let key = format!("{zone}/A/{}", server.body["name"].as_str().unwrap_or_default()).to_ascii_lowercase();
            self.resources.remove(&key);
        }
    }
}
