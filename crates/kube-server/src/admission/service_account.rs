//! Every pod runs as a service account, with a token that the kubelet requests for it
//! (upstream: `plugin/pkg/admission/serviceaccount/admission.go`, v1.36.3).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Upstream's value: an hour and a little, so that old clients which expect an hour are served.
const EXPIRATION_SECONDS: i64 = 3607;

pub fn inject(tx: &Transaction<'_>, pod: &mut Value) -> Result<(), ApiError> {
    let namespace = json::namespace(pod).unwrap_or_default().to_owned();
    let name = json::name(pod).to_owned();
    let spec = json::object(pod, "spec");
    json::default(spec, "serviceAccountName", "default");
    let account = json::text(spec, "/serviceAccountName").unwrap_or("default").to_owned();
    spec["serviceAccount"] = json!(account);
    let Some(stored) = tx.get("serviceaccounts", Some(&namespace), &account) else {
        let why =
            format!("error looking up service account {namespace}/{account}: serviceaccount {account:?} not found");
        return Err(ApiError::forbidden("pods", &name, &why));
    };
    if spec.get("imagePullSecrets").is_none()
        && let Some(secrets) = stored.get("imagePullSecrets")
    {
        spec["imagePullSecrets"] = secrets.clone();
    }
    let wanted = spec.get("automountServiceAccountToken").or_else(|| stored.get("automountServiceAccountToken"));
    if wanted != Some(&json!(false)) {
        mount(spec);
    }
    Ok(())
}

fn mount(spec: &mut Value) {
    let is_mounted =
        |container: &Value| json::items(container, "/volumeMounts").iter().any(|m| m["mountPath"] == MOUNT_PATH);
    let containers = json::items(spec, "/containers").iter().chain(json::items(spec, "/initContainers"));
    if containers.clone().all(is_mounted) {
        return;
    }
    let known = json::items(spec, "/volumes")
        .iter()
        .find_map(|v| json::text(v, "/name").filter(|n| n.starts_with("kube-api-access-")).map(str::to_owned));
    let volume = known.unwrap_or_else(|| {
        let random = Uuid::new_v4().simple().to_string();
        let name = format!("kube-api-access-{}", &random[..5]);
        let mut volumes = json::items(spec, "/volumes").to_vec();
        volumes.push(token_volume(&name));
        spec["volumes"] = Value::Array(volumes);
        name
    });
    for list in ["/initContainers", "/containers"] {
        for container in json::items_mut(spec, list) {
            if is_mounted(container) {
                continue;
            }
            let mut mounts = json::items(container, "/volumeMounts").to_vec();
            mounts.push(json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH}));
            container["volumeMounts"] = Value::Array(mounts);
        }
    }
}

fn token_volume(name: &str) -> Value {
    json!({"name": name, "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": EXPIRATION_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}
