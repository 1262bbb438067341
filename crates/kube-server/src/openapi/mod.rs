//! OpenAPI v3 as clients ask for it: an index, and one document a group and version.
//!
//! Documents are built when they are asked for and not kept: kubectl caches them on its side, and together they would
//! outweigh everything else in memory.

pub mod descriptions;
mod paths;
mod schemas;

use serde_json::{Map, Value, json};

/// What a document says of one resource.
pub struct Described<'a> {
    pub plural: &'a str,
    pub kind: &'a str,
    pub namespaced: bool,
    pub status: bool,
    pub scale: bool,
    pub body: Body<'a>,
}

#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// A type of Kubernetes' own, whose structure `kube-store` knows.
    BuiltIn,
    /// A custom resource with the `openAPIV3Schema` of its definition.
    Custom(&'a Value),
}

/// Where a group and version lies: `api/v1`, `apis/apps/v1`.
fn location(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3`: every group and version with the address of its document. `hash` changes whenever a document may have.
pub fn index<'a>(versions: impl IntoIterator<Item = (&'a str, &'a str)>, hash: &str) -> Value {
    let paths: Map<String, Value> = versions
        .into_iter()
        .map(|(group, version)| {
            let location = location(group, version);
            let url = format!("/openapi/v3/{location}?hash={hash}");
            (location, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// `/openapi/v3/apis/<group>/<version>`
pub fn document(group: &str, version: &str, resources: &[Described<'_>]) -> Value {
    let base = format!("/{}", location(group, version));
    let mut paths = Map::new();
    let mut schemas = schemas::Schemas::default();
    for resource in resources {
        let schema = schemas.add(group, version, resource);
        paths::add(&mut paths, &base, group, version, resource, &schema);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": kube_store::schema::KUBERNETES_VERSION},
        "paths": paths,
        "components": {"schemas": schemas.finish()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployments() -> Value {
        let deployments = Described {
            plural: "deployments",
            kind: "Deployment",
            namespaced: true,
            status: true,
            scale: true,
            body: Body::BuiltIn,
        };
        document("apps", "v1", &[deployments])
    }

    #[test]
    fn the_index_names_every_document() {
        let index = index([("", "v1"), ("apps", "v1")], "7");
        assert_eq!(index["paths"]["api/v1"]["serverRelativeURL"], "/openapi/v3/api/v1?hash=7");
        assert_eq!(index["paths"]["apis/apps/v1"]["serverRelativeURL"], "/openapi/v3/apis/apps/v1?hash=7");
    }

    #[test]
    fn a_document_has_what_kubectl_looks_for() {
        let document = deployments();
        let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        let collection = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"];
        assert_eq!(collection["get"]["x-kubernetes-group-version-kind"], kind);
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
        let parameters: Vec<_> =
            patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert!(parameters.contains(&"fieldValidation"), "{parameters:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = deployments();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut pending = vec![&document];
        let mut references = 0;
        while let Some(value) = pending.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let name = reference.strip_prefix("#/components/schemas/").unwrap();
                        assert!(schemas.contains_key(name), "{name}");
                        references += 1;
                    }
                    pending.extend(fields.values());
                }
                Value::Array(items) => pending.extend(items),
                _ => {}
            }
        }
        assert!(references > 50, "{references}");
        let spec = &schemas["io.k8s.api.core.v1.PodSpec"];
        assert_eq!(spec["properties"]["containers"]["x-kubernetes-list-map-keys"], json!(["name"]));
        assert_eq!(spec["required"], json!(["containers"]));
    }

    #[test]
    fn a_custom_resource_brings_its_own_schema() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object"}}});
        let monitors = Described {
            plural: "servicemonitors",
            kind: "ServiceMonitor",
            namespaced: true,
            status: false,
            scale: false,
            body: Body::Custom(&schema),
        };
        let document = document("monitoring.coreos.com", "v1", &[monitors]);
        let schema = &document["components"]["schemas"]["com.coreos.monitoring.v1.ServiceMonitor"];
        assert_eq!(schema["properties"]["spec"]["type"], "object");
        assert_eq!(schema["properties"]["kind"]["type"], "string");
        assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "ServiceMonitor");
        let item = "/apis/monitoring.coreos.com/v1/namespaces/{namespace}/servicemonitors/{name}";
        let content = &document["paths"][item]["patch"]["requestBody"]["content"];
        assert!(content.get("application/merge-patch+json").is_some());
        assert!(content.get("application/strategic-merge-patch+json").is_none());
    }
}
