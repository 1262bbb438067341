//! The database as the backend sees it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use stack::secrets::Secret;

/// The backend Deployment's `maxSurge`, which the pool size counts.
pub const POOL_SURGE: u32 = 1;

/// The db stack's outputs and its password.
#[derive(Clone, Debug)]
pub struct Database {
    pub host: String,
    pub port: u16,
    pub name: String,
    pub user: String,
    pub password: Secret,
    pub user_connections: u32,
}

const NAMESPACE: &str = "platform";

fn metadata(name: &str) -> Value {
    let labels = json!({"app.kubernetes.io/name": "backend", "app.kubernetes.io/part-of": "marea"});
    json!({"name": name, "namespace": NAMESPACE, "labels": labels})
}

/// The ConfigMaps and the Secret that the backend's Deployment refers to.
pub(crate) fn objects(database: &Database, pool_size: u32, certificate_authority: &str) -> [Value; 3] {
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("backend-config"),
        "data": {
            "PGHOST": database.host,
            "PGPORT": database.port.to_string(),
            "PGDATABASE": database.name,
            "PGUSER": database.user,
            "DATABASE_POOL_SIZE": pool_size.to_string(),
        },
    });
    let authority = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("database-ca"),
        "data": {"ca.crt": certificate_authority},
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": metadata("backend-database"), "type": "Opaque",
        "data": {"PGPASSWORD": BASE64.encode(database.password.expose())},
    });
    [config, authority, secret]
}
