//! POST on a resource: starting, stopping, credentials.

use arm_model::error::ErrorBody;
use arm_model::id::ResourceId;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::fault::Fault;
use crate::providers::{self, CLUSTER_TYPE, POOL_TYPE, SERVER_TYPE};
use crate::request::{Request, Response};
use crate::router::Denied;
use crate::state::{EffectKind, Status};

impl Engine {
    pub(crate) fn action(&mut self, id: &ResourceId, action: &str, request: &Request) -> Result<Response, Fault> {
        let action = action.to_ascii_lowercase();
        if id.is_type("Microsoft.ContainerService/managedClusters/accessProfiles") && action == "listcredential" {
            return self.access_profile(id);
        }
        let kind = providers::known_kind(id)?;
        let offered: &[&str] = match kind.resource_type {
            CLUSTER_TYPE => &[
                "listclusteradmincredential",
                "listclusterusercredential",
                "listclustermonitoringusercredential",
                "start",
                "stop",
                "abort",
            ],
            POOL_TYPE => &["abort", "upgradenodeimageversion"],
            SERVER_TYPE => &["start", "stop", "restart"],
            _ => &[],
        };
        if !offered.contains(&action.as_str()) {
            return Err(Fault::not_offered(&format!("The action '{action}' of {}", kind.resource_type)));
        }
        let Some(resource) = self.resources.get(id.key()).cloned() else { return self.get_resource(id, request) };
        providers::check_version(kind, request.query("api-version").unwrap_or_default(), None)?;
        match action.as_str() {
            "listclusteradmincredential" => Ok(Response::json(200, providers::kubeconfigs(&resource, "clusterAdmin")?)),
            "listclusterusercredential" => Ok(Response::json(200, providers::kubeconfigs(&resource, "clusterUser")?)),
            "listclustermonitoringusercredential" => {
                Ok(Response::json(200, providers::kubeconfigs(&resource, "clusterMonitoringUser")?))
            }
            "abort" => self.abort(id, request),
            "upgradenodeimageversion" => self.upgrade_node_image(id, request),
            _ if kind.resource_type == CLUSTER_TYPE => self.switch_cluster(id, action == "start", request),
            _ => self.switch_server(id, &action, request),
        }
    }

    fn accepted(&self, id: &ResourceId, operation: &str, request: &Request) -> Response {
        self.operation_links(Response::empty(202), operation, id, request)
    }

    fn access_profile(&self, id: &ResourceId) -> Result<Response, Fault> {
        let cluster = id.parent().and_then(|cluster| self.resources.get(cluster.key()));
        let Some(cluster) = cluster else {
            return Err(Fault::resource_not_found(
                CLUSTER_TYPE,
                id.names().first().map_or("", String::as_str),
                id.resource_group().unwrap_or_default(),
            ));
        };
        let role = ["clusterAdmin", "clusterUser"].into_iter().find(|role| role.eq_ignore_ascii_case(id.name()));
        let role = role.ok_or_else(|| {
            Fault::bad_request("InvalidParameter", format!("The access profile '{}' does not exist.", id.name()))
        })?;
        let kubeconfigs = providers::kubeconfigs(cluster, role)?;
        Ok(Response::json(
            200,
            json!({
                "id": id.to_string(), "name": role, "type": "Microsoft.ContainerService/ManagedClusters/AccessProfiles",
                "location": cluster.body["location"], "properties": { "kubeConfig": kubeconfigs["kubeconfigs"][0]["value"] },
            }),
        ))
    }

    /// Refuses what AKS refuses while an operation runs.
    fn check_cluster_idle(&self, id: &ResourceId) -> Result<(), Fault> {
        let body = self.resources.get(id.key()).map(|cluster| &cluster.body);
        let state = body.and_then(|body| body["properties"]["provisioningState"].as_str()).unwrap_or_default();
        if matches!(state, "Succeeded" | "Failed" | "Canceled") {
            return Ok(());
        }
        Err(Fault::conflict(
            "OperationNotAllowed",
            format!(
                "Operation is not allowed because there's an in progress {} managed cluster operation on the managed cluster '{}'. Please wait for it to finish before starting a new operation. See https://aka.ms/aks-pending-operation for more details.",
                state.to_ascii_lowercase(),
                id.name()
            ),
        ))
    }

    fn switch_cluster(&mut self, id: &ResourceId, start: bool, request: &Request) -> Result<Response, Fault> {
        self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
        self.check_cluster_idle(id)?;
        let stopped = self.resources.get(id.key()).is_some_and(|cluster| providers::is_stopped(&cluster.body));
        if stopped != start {
            return Ok(Response::empty(204));
        }
        let (state, effect) =
            if start { ("Starting", EffectKind::EnsureCluster) } else { ("Stopping", EffectKind::StopCluster) };
        let operation = self.start_operation(id.key());
        if let Some(cluster) = self.resources.get_mut(id.key()) {
            cluster.body["properties"]["provisioningState"] = state.into();
        }
        self.queue_effect(effect, id.key(), Some(operation.clone()));
        Ok(self.accepted(id, &operation, request))
    }

    /// Cancels what runs on a cluster or pool; the work outside goes on to its end, as in AKS it may.
    fn abort(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        let running: Vec<String> = self
            .operations
            .iter()
            .filter(|(_, operation)| operation.target == id.key() && operation.status == Status::Running)
            .map(|(guid, _)| guid.clone())
            .collect();
        if running.is_empty() {
            return Err(Fault::conflict(
                "OperationNotAllowed",
                format!("There is no operation in progress on '{}' that could be aborted.", id.name()),
            ));
        }
        let error = ErrorBody::new("OperationCanceled", "The operation was aborted.");
        for guid in running {
            self.end_operation(&guid, Status::Canceled, Some(error.clone()));
        }
        let operation = self.start_operation(id.key());
        self.end_operation(&operation, Status::Succeeded, None);
        if let Some(resource) = self.resources.get_mut(id.key()) {
            resource.body["properties"]["provisioningState"] = "Canceled".into();
        }
        Ok(self.accepted(id, &operation, request))
    }

    fn upgrade_node_image(&mut self, id: &ResourceId, request: &Request) -> Result<Response, Fault> {
        self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
        let root = providers::root_key(id);
        let operation = self.start_operation(id.key());
        if let Some(pool) = self.resources.get_mut(id.key()) {
            pool.body["properties"]["nodeImageVersion"] = providers::NODE_IMAGE.into();
            pool.body["properties"]["provisioningState"] = "UpgradingNodeImageVersion".into();
        }
        self.queue_effect(EffectKind::EnsureCluster, &root, Some(operation.clone()));
        Ok(self.accepted(id, &operation, request))
    }

    fn switch_server(&mut self, id: &ResourceId, action: &str, request: &Request) -> Result<Response, Fault> {
        self.check_denied(id.key(), Denied::Write, &request.principal.object_id)?;
        let body = request.json_or_empty()?;
        if body["restartWithFailover"] == true {
            return Err(Fault::not_offered("A restart with failover (the server has no standby)"));
        }
        let state = self.resources.get(id.key()).map(|server| server.body["properties"]["state"].clone());
        let state = state.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        let needed = if action == "start" { "Stopped" } else { "Ready" };
        if state != needed {
            return Err(Fault::conflict(
                "ServerNotInExpectedState",
                format!(
                    "The server '{}' is in state '{state}'; the operation '{action}' needs the state '{needed}'.",
                    id.name()
                ),
            ));
        }
        let (state, effects): (&str, &[EffectKind]) = match action {
            "start" => ("Starting", &[EffectKind::EnsurePostgres]),
            "stop" => ("Stopping", &[EffectKind::StopPostgres]),
            _ => ("Restarting", &[EffectKind::StopPostgres, EffectKind::EnsurePostgres]),
        };
        let operation = self.start_operation(id.key());
        if let Some(server) = self.resources.get_mut(id.key()) {
            server.body["properties"]["state"] = state.into();
        }
        for (at, effect) in effects.iter().enumerate() {
            let last = at + 1 == effects.len();
            self.queue_effect(*effect, id.key(), last.then(|| operation.clone()));
        }
        Ok(self.accepted(id, &operation, request))
    }
}
