//! What is read of resources without being stored: versions to upgrade to, default rules, addresses that are free.

use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::cidr::Block;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, CLUSTER_TYPE, POOL_TYPE, SERVER_TYPE};
use crate::rbac::{ASSIGNMENT_TYPE, is_within};
use crate::request::{Request, Response};

impl Engine {
    /// A GET of a path with a name that no table holds. `None` when it is an ordinary resource.
    pub(crate) fn computed_item(&self, id: &ResourceId) -> Option<Result<Response, Fault>> {
        let kind = id.resource_type().to_ascii_lowercase();
        let found = match kind.as_str() {
            "microsoft.containerservice/managedclusters/upgradeprofiles" => self.cluster_upgrades(id),
            "microsoft.containerservice/managedclusters/agentpools/upgradeprofiles" => self.pool_upgrades(id),
            "microsoft.network/networksecuritygroups/defaultsecurityrules" => self.default_rule(id),
            "microsoft.managedidentity/identities" => self.system_identity(id),
            "microsoft.authorization/roledefinitions" => self.role_definition(id.name()).ok_or_else(|| {
                Fault::new(
                    404,
                    "RoleDefinitionDoesNotExist",
                    format!("The specified role definition with ID '{}' does not exist.", id.name()),
                )
            }),
            "microsoft.authorization/denyassignments" => {
                let wanted =
                    |item: &Value| item["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(id.name()));
                self.deny_assignments("").into_iter().find(wanted).ok_or_else(|| {
                    Fault::new(
                        404,
                        "DenyAssignmentNotFound",
                        format!("The deny assignment '{}' is not found.", id.name()),
                    )
                })
            }
            _ => return None,
        };
        Some(found.map(|body| Response::json(200, body)))
    }

    fn existing(&self, id: &ResourceId, resource_type: &str) -> Result<&crate::state::StoredResource, Fault> {
        self.resources.get(id.key()).ok_or_else(|| {
            Fault::resource_not_found(resource_type, &id.template_name(), id.resource_group().unwrap_or_default())
        })
    }

    fn parent_of(&self, id: &ResourceId, resource_type: &str) -> Result<&crate::state::StoredResource, Fault> {
        let parent = id.parent().ok_or_else(Fault::not_allowed)?;
        self.existing(&parent, resource_type)
    }

    fn cluster_upgrades(&self, id: &ResourceId) -> Result<Value, Fault> {
        let cluster = self.parent_of(id, CLUSTER_TYPE)?;
        let version = cluster.body["properties"]["currentKubernetesVersion"].as_str().unwrap_or_default();
        let pools = self.world().children(&cluster.id, POOL_TYPE).into_iter().map(|pool| {
            let own = pool.body["properties"]["currentOrchestratorVersion"].as_str().unwrap_or(version);
            json!({ "name": pool.body["name"], "osType": "Linux", "kubernetesVersion": own, "upgrades": pool_targets(own, version) })
        });
        Ok(json!({
            "id": id.to_string(), "name": "default", "type": "Microsoft.ContainerService/managedClusters/upgradeprofiles",
            "properties": {
                "controlPlaneProfile": { "kubernetesVersion": version, "osType": "Linux", "upgrades": providers::upgrades(version) },
                "agentPoolProfiles": pools.collect::<Vec<_>>(),
            },
        }))
    }

    fn pool_upgrades(&self, id: &ResourceId) -> Result<Value, Fault> {
        let pool = self.parent_of(id, POOL_TYPE)?;
        let cluster = id.parent().and_then(|pool| pool.parent()).and_then(|cluster| self.resources.get(cluster.key()));
        let limit = cluster.and_then(|cluster| cluster.body["properties"]["currentKubernetesVersion"].as_str());
        let version = pool.body["properties"]["currentOrchestratorVersion"].as_str().unwrap_or_default();
        Ok(json!({
            "id": id.to_string(), "name": "default", "type": "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles",
            "properties": {
                "kubernetesVersion": version, "osType": "Linux", "upgrades": pool_targets(version, limit.unwrap_or(version)),
                "latestNodeImageVersion": providers::NODE_IMAGE,
            },
        }))
    }

    fn default_rule(&self, id: &ResourceId) -> Result<Value, Fault> {
        let group = self.parent_of(id, "Microsoft.Network/networkSecurityGroups")?;
        let rules = self.render(group)["properties"]["defaultSecurityRules"].as_array().cloned().unwrap_or_default();
        let wanted = |rule: &Value| rule["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(id.name()));
        rules.into_iter().find(wanted).ok_or_else(|| Fault::new(404, "NotFound", format!("Resource {id} not found.")))
    }

    /// The identity of a resource itself: `{resource}/providers/Microsoft.ManagedIdentity/identities/default`.
    fn system_identity(&self, id: &ResourceId) -> Result<Value, Fault> {
        let missing =
            || Fault::new(404, "ResourceNotFound", format!("'{}' has no system assigned identity.", id.scope()));
        let owner = self.resources.get(&id.scope().to_ascii_lowercase()).ok_or_else(missing)?;
        let identity = &owner.body["identity"];
        let principal = identity["principalId"].as_str().ok_or_else(missing)?;
        Ok(json!({
            "id": id.to_string(), "name": "default", "type": "Microsoft.ManagedIdentity/identities", "location": owner.body["location"],
            "properties": { "tenantId": identity["tenantId"], "principalId": principal, "clientId": crate::providers::client_id_of(principal) },
        }))
    }

    /// A GET of a path that ends in a word rather than a name. `None` when it is an ordinary list.
    pub(crate) fn computed_list(&self, path: &str, request: &Request) -> Option<Result<Response, Fault>> {
        let lower = path.to_ascii_lowercase();
        let (base, word) = lower.rsplit_once('/')?;
        let (scope, rest) = lower.rsplit_once("/providers/")?;
        match rest {
            "microsoft.authorization/roledefinitions" => {
                let filter = request.query("$filter").unwrap_or_default();
                return Some(self.list_page(self.role_definitions(scope, filter), request));
            }
            "microsoft.authorization/permissions" => {
                let items = self.permissions(&request.principal.object_id, scope);
                return Some(self.list_page(items, request));
            }
            "microsoft.authorization/roleassignments" => return Some(self.role_assignments(scope, request)),
            "microsoft.authorization/denyassignments" => {
                return Some(self.list_page(self.deny_assignments(scope), request));
            }
            "microsoft.insights/eventtypes/management/values" => return Some(self.activity_log(request)),
            _ => {}
        }
        let id = ResourceId::parse(path.get(..base.len())?).ok()?;
        let kind = id.resource_type().to_ascii_lowercase();
        let body = match (kind.as_str(), word) {
            ("microsoft.containerservice/managedclusters", "availableagentpoolversions") => self.pool_versions(&id),
            ("microsoft.containerservice/managedclusters", "outboundnetworkdependenciesendpoints") => {
                self.existing(&id, CLUSTER_TYPE).map(|_| json!({ "value": [] }))
            }
            ("microsoft.network/networksecuritygroups", "defaultsecurityrules") => {
                let group = self.existing(&id, "Microsoft.Network/networkSecurityGroups");
                group.map(|group| json!({ "value": self.render(group)["properties"]["defaultSecurityRules"] }))
            }
            ("microsoft.network/privatednszones", "all" | "recordsets") => {
                return Some(self.existing(&id, "Microsoft.Network/privateDnsZones").and_then(|zone| {
                    let records = providers::record_sets_of_zone(&self.world(), &zone.id);
                    let suffix = request.query("$recordsetnamesuffix").unwrap_or_default().to_ascii_lowercase();
                    let named = records.into_iter().filter(|record| {
                        record.body["name"].as_str().is_some_and(|name| name.to_ascii_lowercase().ends_with(&suffix))
                    });
                    self.list_page(named.map(|record| record.body.clone()).collect(), request)
                }));
            }
            ("microsoft.network/virtualnetworks", "checkipaddressavailability") => self.check_address(&id, request),
            ("microsoft.network/virtualnetworks", "usages") => self.network_usage(&id),
            ("microsoft.dbforpostgresql/flexibleservers", "capabilities") => {
                self.existing(&id, SERVER_TYPE).map(|_| providers::postgres_capabilities())
            }
            ("microsoft.dbforpostgresql/flexibleservers", "replicas") => {
                self.existing(&id, SERVER_TYPE).map(|_| json!({ "value": [] }))
            }
            _ => return None,
        };
        Some(body.map(|body| Response::json(200, body)))
    }

    fn pool_versions(&self, id: &ResourceId) -> Result<Value, Fault> {
        let cluster = self.existing(id, CLUSTER_TYPE)?;
        let current = cluster.body["properties"]["currentKubernetesVersion"].as_str().unwrap_or_default();
        let versions: Vec<Value> = providers::pool_versions(current)
            .into_iter()
            .map(|version| json!({ "default": version == current, "kubernetesVersion": version, "isPreview": false }))
            .collect();
        Ok(json!({
            "id": format!("{id}/availableagentpoolversions/default"), "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/availableAgentpoolVersions", "properties": { "agentPoolVersions": versions },
        }))
    }

    fn check_address(&self, id: &ResourceId, request: &Request) -> Result<Value, Fault> {
        self.existing(id, "Microsoft.Network/virtualNetworks")?;
        let address = request.query("ipAddress").unwrap_or_default();
        let wanted = Block::parse(&format!("{address}/32")).ok_or_else(|| {
            Fault::bad_request(
                "InvalidIPAddressFormat",
                format!("The IP address '{address}' is not a valid IPv4 address."),
            )
        })?;
        let subnets = self.world().children(id.key(), "Microsoft.Network/virtualNetworks/subnets");
        let blocks = subnets
            .iter()
            .filter_map(|subnet| subnet.body["properties"]["addressPrefix"].as_str().and_then(Block::parse));
        let Some(block) = blocks.into_iter().find(|block| block.contains(wanted)) else {
            return Err(Fault::bad_request(
                "PrivateIPAddressNotInAnySubnet",
                format!(
                    "Private IP address {address} does not belong to the range of any subnet in virtual network {id}."
                ),
            ));
        };
        // Azure keeps the first four addresses and the last one; the servers' addresses are what the platform gave out.
        let reserved = |at: u32| at < block.first() + 4 || at == block.last();
        let used: Vec<u32> = self
            .world()
            .of_type(SERVER_TYPE)
            .iter()
            .filter_map(|server| server.hidden.get("hostAddress"))
            .filter_map(|address| Block::parse(&format!("{address}/32")).map(|block| block.first()))
            .collect();
        let free = |at: u32| !reserved(at) && !used.contains(&at);
        if free(wanted.first()) {
            return Ok(json!({ "available": true, "availableIPAddresses": [], "isPlatformReserved": false }));
        }
        let others: Vec<String> = (block.first()..=block.last())
            .filter(|at| free(*at))
            .take(5)
            .map(|at| std::net::Ipv4Addr::from(at).to_string())
            .collect();
        Ok(
            json!({ "available": false, "availableIPAddresses": others, "isPlatformReserved": reserved(wanted.first()) }),
        )
    }

    fn network_usage(&self, id: &ResourceId) -> Result<Value, Fault> {
        self.existing(id, "Microsoft.Network/virtualNetworks")?;
        let usage = |subnet: &&crate::state::StoredResource| {
            let size = subnet.body["properties"]["addressPrefix"]
                .as_str()
                .and_then(Block::parse)
                .map_or(0, |block| u64::from(block.last()) - u64::from(block.first()) + 1);
            let used = crate::providers::addresses_in_use(&self.world(), &subnet.id);
            json!({
                "id": subnet.id, "currentValue": used, "limit": size.saturating_sub(5), "unit": "Count",
                "name": { "value": "SubnetSpace", "localizedValue": "Subnet size and usage" },
            })
        };
        let subnets = self.world().children(id.key(), "Microsoft.Network/virtualNetworks/subnets");
        Ok(json!({ "value": subnets.iter().map(usage).collect::<Vec<_>>() }))
    }

    /// Assignments at a scope, above it, and, without `atScope()`, below it.
    fn role_assignments(&self, scope: &str, request: &Request) -> Result<Response, Fault> {
        let filter = request.query("$filter").unwrap_or_default();
        let principal = ["principalId eq '", "assignedTo('"]
            .iter()
            .find_map(|prefix| filter.split_once(prefix).and_then(|(_, rest)| rest.split('\'').next()));
        let at_scope = filter.contains("atScope()");
        if !filter.is_empty() && principal.is_none() && !at_scope {
            return Err(Fault::bad_request("BadRequestFormat", format!("The $filter '{filter}' is not supported.")));
        }
        let items = self.world().of_type(ASSIGNMENT_TYPE).into_iter().filter(|assignment| {
            let properties = &assignment.body["properties"];
            let own = properties["scope"].as_str().unwrap_or_default();
            let placed = is_within(scope, own) || !at_scope && is_within(own, scope);
            placed
                && principal.is_none_or(|wanted| {
                    properties["principalId"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(wanted))
                })
        });
        self.list_page(items.map(|assignment| assignment.body.clone()).collect(), request)
    }

    /// What deployment stacks deny, as the deny assignments that Azure makes of it.
    fn deny_assignments(&self, scope: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for stack in self.stacks.values() {
            let deny = &stack.settings["denySettings"];
            let not_actions = match deny["mode"].as_str().unwrap_or("none").to_ascii_lowercase().as_str() {
                "denydelete" => {
                    json!({ "actions": ["*/delete"], "notActions": deny["excludedActions"].as_array().cloned().unwrap_or_default() })
                }
                "denywriteanddelete" => {
                    json!({ "actions": ["*/write", "*/delete"], "notActions": deny["excludedActions"].as_array().cloned().unwrap_or_default() })
                }
                _ => continue,
            };
            for managed in stack.managed.iter().filter(|managed| is_within(managed, scope)) {
                let guid = crate::ids::guid_of(&format!("{}\0{managed}", stack.id));
                found.push(json!({
                    "id": format!("{managed}/providers/Microsoft.Authorization/denyAssignments/{guid}"), "name": guid,
                    "type": "Microsoft.Authorization/denyAssignments",
                    "properties": {
                        "denyAssignmentName": format!("Deny assignment '{guid}' created by Deployment Stack '{}'.", stack.id),
                        "permissions": [not_actions], "scope": managed, "doNotApplyToChildScopes": deny["applyToChildScopes"] != true,
                        "principals": [{ "id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined" }],
                        "excludePrincipals": deny["excludedPrincipals"].as_array().into_iter().flatten().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
                        "isSystemProtected": true,
                    },
                }));
            }
        }
        found
    }
}

fn pool_targets(version: &str, limit: &str) -> Vec<Value> {
    let targets = providers::pool_versions(limit).into_iter().filter(|target| providers::is_newer(target, version));
    targets.map(|target| json!({ "kubernetesVersion": target, "isPreview": false })).collect()
}
