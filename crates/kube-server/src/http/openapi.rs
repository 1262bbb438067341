//! `/openapi/v3`: what is served right now, custom resources included.

use std::collections::BTreeSet;

use hyper::Response;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Shared;
use super::discovery::COMPUTED;
use super::path::Query;
use super::respond::{self, Reply};
use crate::error::ApiError;
use crate::openapi::{self, Body, Described};
use crate::registry::{Origin, ResourceDef};

/// # Errors
/// 404 for a group and version that is not served.
pub fn handle(shared: &Shared, path: &str, query: &Query) -> Result<Response<Reply>, ApiError> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["openapi", "v3"] => Ok(respond::json(200, &index(shared))),
        ["openapi", "v3", "api", version] => document(shared, "", version, query),
        ["openapi", "v3", "apis", group, version] => document(shared, group, version, query),
        ["openapi", "v2"] => Err(ApiError::no_such_path().with_message("OpenAPI v2 is not served; use /openapi/v3")),
        _ => Err(ApiError::no_such_path()),
    }
}

fn index(shared: &Shared) -> Value {
    let served = shared.api.registry().served();
    let stored = served.iter().map(|def| (def.group.as_str(), def.version.as_str()));
    let versions: BTreeSet<(&str, &str)> = stored.chain(COMPUTED.iter().map(|row| (row.0, row.1))).collect();
    openapi::index(versions, &hash(shared))
}

/// Changes with this program's version and with every custom resource definition.
fn hash(shared: &Shared) -> String {
    let mut digest = Sha256::new();
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(kube_store::schema::KUBERNETES_VERSION);
    digest.update(openapi::descriptions::TEXT);
    for def in shared.api.registry().served().iter().filter(|def| def.is_custom()) {
        let subresources = format!("{}{}", def.status, def.scale.is_some());
        let schema = open_api(def).map(Value::to_string).unwrap_or_default();
        for part in [&def.resource, def.version.as_str(), &def.kind, &subresources, &schema] {
            digest.update(part);
            digest.update([0]);
        }
    }
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open_api(def: &ResourceDef) -> Option<&Value> {
    match &def.origin {
        Origin::Custom(custom) => custom.open_api(),
        Origin::BuiltIn { .. } => None,
    }
}

fn document(shared: &Shared, group: &str, version: &str, query: &Query) -> Result<Response<Reply>, ApiError> {
    let served = shared.api.registry().served();
    let any = json!({"type": "object"});
    let mut resources: Vec<Described<'_>> = served
        .iter()
        .filter(|def| def.group == group && def.version == version)
        .map(|def| Described {
            plural: &def.plural,
            kind: &def.kind,
            namespaced: def.namespaced,
            status: def.status,
            scale: def.scale.is_some(),
            body: if def.is_custom() { Body::Custom(open_api(def).unwrap_or(&any)) } else { Body::BuiltIn },
        })
        .collect();
    let computed = COMPUTED.iter().filter(|row| row.0 == group && row.1 == version);
    resources.extend(computed.map(|(_, _, plural, _, kind, namespaced, _)| Described {
        plural,
        kind,
        namespaced: *namespaced,
        status: false,
        scale: false,
        body: Body::BuiltIn,
    }));
    if resources.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let mut reply = respond::json(200, &openapi::document(group, version, &resources));
    // An address with the current hash never changes its content: clients may keep it, as upstream lets them.
    if query.get("hash").is_some_and(|stated| stated == hash(shared)) {
        let forever = http::HeaderValue::from_static("public, immutable, max-age=31536000");
        reply.headers_mut().insert(http::header::CACHE_CONTROL, forever);
    }
    Ok(reply)
}
