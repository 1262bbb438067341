//! What a new cluster has before anybody asks for it. Runs at every start: what is there already is left alone, except for
//! the default roles, which follow the server's version.

use serde_json::{Value, json};

use crate::api::Api;
use crate::authz::{aggregation, bootstrap as roles, covers};
use crate::client::{Client, PatchKind};
use crate::error::ApiError;
use crate::json;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

async fn ensure(client: &Client, resource: &str, namespace: Option<&str>, object: Value) -> Result<(), ApiError> {
    if client.get_raw(resource, namespace, json::name(&object)).is_some() {
        return Ok(());
    }
    match client.create_raw(resource, namespace, object).await {
        Err(error) if error.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}

/// Adds what this server's default role allows and the stored one does not, unless the cluster's owner switched that off.
async fn default_role(client: &Client, role: Value) -> Result<(), ApiError> {
    const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";
    let name = json::name(&role).to_owned();
    let Some(stored) = client.get_raw(ROLES, None, &name) else { return ensure(client, ROLES, None, role).await };
    let wants_updates =
        json::text(&stored, "/metadata/annotations/rbac.authorization.kubernetes.io~1autoupdate") != Some("false");
    let mut rules = json::items(&stored, "/rules").to_vec();
    let missing: Vec<Value> =
        json::items(&role, "/rules").iter().filter(|rule| !covers(&rules, rule)).cloned().collect();
    if !wants_updates || missing.is_empty() {
        return Ok(());
    }
    rules.extend(missing);
    client.patch_raw(ROLES, None, &name, PatchKind::Merge, &json!({"rules": rules})).await.map(drop)
}

pub async fn run(api: &Api, client: &Client, advertise: std::net::SocketAddr) -> Result<(), ApiError> {
    for name in NAMESPACES {
        ensure(client, "namespaces", None, json!({"metadata": {"name": name}})).await?;
    }
    for name in NAMESPACES {
        // The account controller keeps these; having them at once lets the first pods start without waiting for it.
        ensure(client, "serviceaccounts", Some(name), json!({"metadata": {"name": "default"}})).await?;
        let ca = json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": &*api.settings().ca_pem}});
        ensure(client, "configmaps", Some(name), ca).await?;
    }
    for role in roles::cluster_roles() {
        default_role(client, role).await?;
    }
    aggregation::reconcile(client).await?;
    for binding in roles::cluster_role_bindings() {
        ensure(client, "clusterrolebindings.rbac.authorization.k8s.io", None, binding).await?;
    }
    for (name, value, what) in [
        ("system-node-critical", 2_000_001_000_i64, "must not be moved from their current node"),
        (
            "system-cluster-critical",
            2_000_000_000,
            "must run in the cluster, but can be moved to another node if necessary",
        ),
    ] {
        let description = format!("Used for system critical pods that {what}.");
        let class = json!({"metadata": {"name": name}, "value": value, "description": description});
        ensure(client, "priorityclasses.scheduling.k8s.io", None, class).await?;
    }
    api_service(api, client, advertise).await
}

/// The service `kubernetes`, through which pods find the API, with the address of this server behind it.
async fn api_service(api: &Api, client: &Client, advertise: std::net::SocketAddr) -> Result<(), ApiError> {
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let service = json!({"metadata": {"name": "kubernetes", "labels": labels}, "spec": {
        "clusterIP": api.settings().service_range.address(1).to_string(), "type": "ClusterIP",
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": advertise.port()}]}});
    ensure(client, "services", Some("default"), service).await?;
    let slice = json!({"metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4", "endpoints": [{"addresses": [advertise.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": advertise.port(), "protocol": "TCP"}]});
    let resource = "endpointslices.discovery.k8s.io";
    match client.get_raw(resource, Some("default"), "kubernetes") {
        None => client.create_raw(resource, Some("default"), slice).await.map(drop),
        Some(_) => client.patch_raw(resource, Some("default"), "kubernetes", PatchKind::Merge, &slice).await.map(drop),
    }
}
