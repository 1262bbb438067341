//! Which groups, versions and resources there are; version and OpenID discovery.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::Shared;
use super::respond::{self, Reply};
use crate::error::ApiError;
use crate::registry::ResourceDef;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A resource without storage: group, version, plural, singular, kind, namespaced, verbs.
pub type Computed =
    (&'static str, &'static str, &'static str, &'static str, &'static str, bool, &'static [&'static str]);
pub const COMPUTED: &[Computed] = &[
    ("authentication.k8s.io", "v1", "tokenreviews", "tokenreview", "TokenReview", false, &["create"]),
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", false, &["create"]),
    (
        "authorization.k8s.io",
        "v1",
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
        "LocalSubjectAccessReview",
        true,
        &["create"],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
        false,
        &["create"],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        "SelfSubjectRulesReview",
        false,
        &["create"],
    ),
    (
        "authorization.k8s.io",
        "v1",
        "subjectaccessreviews",
        "subjectaccessreview",
        "SubjectAccessReview",
        false,
        &["create"],
    ),
    ("metrics.k8s.io", "v1beta1", "nodes", "node", "NodeMetrics", false, &["get", "list"]),
    ("metrics.k8s.io", "v1beta1", "pods", "pod", "PodMetrics", true, &["get", "list"]),
    ("explain.marea.dev", "v1", "decisions", "decision", "Decision", true, &["get", "list"]),
];

/// Group order, as upstream's priorities have it for those that matter: what kubectl prefers for an ambiguous name.
const FIRST_GROUPS: &[&str] =
    &["", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch"];

struct Served {
    group: String,
    version: String,
    entry: Value,
    subresources: Vec<Value>,
}

fn stored(def: &Arc<ResourceDef>) -> Served {
    let mut entry = json!({"name": def.plural, "singularName": def.singular, "namespaced": def.namespaced, "kind": def.kind, "verbs": def.verbs()});
    if !def.short_names.is_empty() {
        entry["shortNames"] = json!(def.short_names);
    }
    if !def.categories.is_empty() {
        entry["categories"] = json!(def.categories);
    }
    let sub = |name: &str, kind: &str, verbs: &[&str]| json!({"name": format!("{}/{name}", def.plural), "singularName": "", "namespaced": def.namespaced, "kind": kind, "verbs": verbs});
    let mut subresources = Vec::new();
    if def.status {
        subresources.push(sub("status", &def.kind, &["get", "patch", "update"]));
    }
    if def.scale.is_some() {
        let mut scale = sub("scale", "Scale", &["get", "patch", "update"]);
        scale["group"] = json!("autoscaling");
        scale["version"] = json!("v1");
        subresources.push(scale);
    }
    for (name, kind, verbs) in &def.subresources {
        let mut entry = sub(name, kind, verbs);
        match *kind {
            "Eviction" => (entry["group"], entry["version"]) = (json!("policy"), json!("v1")),
            "TokenRequest" => (entry["group"], entry["version"]) = (json!("authentication.k8s.io"), json!("v1")),
            _ => {}
        }
        subresources.push(entry);
    }
    Served { group: def.group.clone(), version: def.version.clone(), entry, subresources }
}

fn computed(row: &Computed) -> Served {
    let (group, version, plural, singular, kind, namespaced, verbs) = row;
    let entry =
        json!({"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": verbs});
    Served { group: (*group).to_owned(), version: (*version).to_owned(), entry, subresources: Vec::new() }
}

/// Group, then version (newest stable first), then resources.
type Groups = Vec<(String, Vec<(String, Vec<Served>)>)>;

fn groups(shared: &Shared) -> Groups {
    let mut all: BTreeMap<(usize, String), BTreeMap<std::cmp::Reverse<String>, Vec<Served>>> = BTreeMap::new();
    let rows = shared.api.registry().served();
    for served in rows.iter().map(stored).chain(COMPUTED.iter().map(computed)) {
        let rank = FIRST_GROUPS.iter().position(|g| *g == served.group).unwrap_or(FIRST_GROUPS.len());
        let versions = all.entry((rank, served.group.clone())).or_default();
        versions.entry(std::cmp::Reverse(served.version.clone())).or_default().push(served);
    }
    all.into_iter()
        .map(|((_, group), versions)| (group, versions.into_iter().map(|(v, r)| (v.0, r)).collect()))
        .collect()
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn api_group(group: &str, versions: &[(String, Vec<Served>)]) -> Value {
    let versions: Vec<Value> =
        versions.iter().map(|(v, _)| json!({"groupVersion": group_version(group, v), "version": v})).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

fn resource_list(group: &str, version: &str, resources: &[Served]) -> Value {
    let entries: Vec<&Value> =
        resources.iter().flat_map(|r| std::iter::once(&r.entry).chain(&r.subresources)).collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version), "resources": entries})
}

/// One entry in the words of `apidiscovery.k8s.io`.
fn discovered(served: &Served) -> Value {
    let of = |entry: &Value| {
        let group = entry.get("group").and_then(Value::as_str).unwrap_or(&served.group);
        let version = entry.get("version").and_then(Value::as_str).unwrap_or(&served.version);
        json!({"group": group, "version": version, "kind": entry["kind"]})
    };
    let subresources: Vec<Value> = served
        .subresources
        .iter()
        .map(|sub| {
            let name = sub["name"].as_str().and_then(|n| n.split_once('/')).map_or("", |(_, name)| name);
            json!({"subresource": name, "responseKind": of(sub), "verbs": sub["verbs"]})
        })
        .collect();
    let entry = &served.entry;
    let scope = if entry["namespaced"] == true { "Namespaced" } else { "Cluster" };
    let mut found = json!({"resource": entry["name"], "responseKind": of(entry), "scope": scope,
        "singularResource": entry["singularName"], "verbs": entry["verbs"]});
    for field in ["shortNames", "categories"] {
        crate::json::assign(&mut found, field, entry.get(field).cloned());
    }
    if !subresources.is_empty() {
        found["subresources"] = json!(subresources);
    }
    found
}

fn aggregated(groups: &Groups, core: bool) -> Value {
    let items: Vec<Value> = groups
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|(version, resources)| {
                    let resources: Vec<Value> = resources.iter().map(discovered).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata = if core {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn version() -> Value {
    json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "clean", "buildDate": "",
        "goVersion": "", "compiler": "rustc", "platform": format!("linux/{}", std::env::consts::ARCH)})
}

fn openid(shared: &Shared) -> Value {
    let issuer = &shared.api.settings().issuer;
    json!({"issuer": issuer, "jwks_uri": format!("{issuer}/openid/v1/jwks"), "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"]})
}

pub fn handle(shared: &Shared, path: &str, request: &Request<Incoming>) -> Result<Response<Reply>, ApiError> {
    let accept = request.headers().get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let aggregate = accept.contains("as=APIGroupDiscoveryList") && accept.contains("v=v2;");
    let groups = groups(shared);
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let find = |group: &str| groups.iter().find(|(name, _)| name == group).ok_or_else(ApiError::no_such_path);
    let list = |group: &str, version: &str| {
        let (_, versions) = find(group)?;
        let (_, resources) = versions.iter().find(|(v, _)| v == version).ok_or_else(ApiError::no_such_path)?;
        Ok::<_, ApiError>(resource_list(group, version, resources))
    };
    let value = match parts.as_slice() {
        ["version"] => version(),
        ["api"] if aggregate => return Ok(respond::json_as(200, AGGREGATED, &aggregated(&groups, true))),
        ["apis"] if aggregate => return Ok(respond::json_as(200, AGGREGATED, &aggregated(&groups, false))),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ["apis"] => {
            let all: Vec<Value> = groups.iter().filter(|(g, _)| !g.is_empty()).map(|(g, v)| api_group(g, v)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": all})
        }
        ["api", version] => list("", version)?,
        ["apis", group] => {
            let (name, versions) = find(group)?;
            let mut one = api_group(name, versions);
            one["kind"] = json!("APIGroup");
            one["apiVersion"] = json!("v1");
            one
        }
        ["apis", group, version] => list(group, version)?,
        [".well-known", "openid-configuration"] => openid(shared),
        ["openid", "v1", "jwks"] => shared.api.settings().signer.key_set(),
        _ => return Err(ApiError::no_such_path()),
    };
    Ok(respond::json(200, &value))
}
