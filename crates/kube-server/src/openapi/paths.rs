//! The paths of a document: as much of each operation as clients read.
//!
//! kubectl finds a kind by the path of its resource (`explain`), and looks for `fieldValidation` among the parameters of
//! its patch before it sends one (`k8s.io/cli-runtime/pkg/resource/query_param_verifier_v3.go`).

use serde_json::{Map, Value, json};

use super::{Body, Described};

const LIST_PARAMETERS: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const WRITE_PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH_PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE_PARAMETERS: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH_TYPES: &[&str] =
    &["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", STRATEGIC];

struct Operations<'a> {
    kind: Value,
    schema: &'a str,
    /// Custom resources have no strategic merge patches, and kubectl sends whatever the document offers.
    strategic: bool,
}

/// Adds the paths of one resource.
pub(super) fn add(
    paths: &mut Map<String, Value>,
    base: &str,
    group: &str,
    version: &str,
    resource: &Described<'_>,
    schema: &str,
) {
    let strategic = matches!(resource.body, Body::BuiltIn);
    let operations =
        Operations { kind: json!({"group": group, "version": version, "kind": resource.kind}), schema, strategic };
    let plural = resource.plural;
    let collection = if resource.namespaced {
        paths.insert(format!("{base}/{plural}"), json!({"get": operations.get("list", LIST_PARAMETERS)}));
        format!("{base}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{base}/{plural}")
    };
    let in_path = |names: &[&str]| -> Value {
        let parameter =
            |name: &&str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
        names.iter().map(parameter).collect()
    };
    let (of_collection, of_item): (&[&str], &[&str]) =
        if resource.namespaced { (&["namespace"], &["namespace", "name"]) } else { (&[], &["name"]) };
    paths.insert(
        collection.clone(),
        json!({
            "get": operations.get("list", LIST_PARAMETERS),
            "post": operations.write("post", WRITE_PARAMETERS),
            "delete": operations.get("deletecollection", DELETE_PARAMETERS),
            "parameters": in_path(of_collection),
        }),
    );
    let item = format!("{collection}/{{name}}");
    let mut of_object = operations.object();
    of_object["delete"] = operations.get("delete", DELETE_PARAMETERS);
    of_object["parameters"] = in_path(of_item);
    paths.insert(item.clone(), of_object);
    if resource.status {
        let mut status = operations.object();
        status["parameters"] = in_path(of_item);
        paths.insert(format!("{item}/status"), status);
    }
    if resource.scale {
        let scale = Operations {
            strategic,
            kind: json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
            // Its structure is that of autoscaling/v1, which its own document describes.
            schema,
        };
        let mut operations = scale.object();
        operations["parameters"] = in_path(of_item);
        paths.insert(format!("{item}/scale"), operations);
    }
}

impl Operations<'_> {
    fn object(&self) -> Value {
        json!({
            "get": self.get("get", &[]),
            "put": self.write("put", WRITE_PARAMETERS),
            "patch": self.patch(),
        })
    }

    fn get(&self, action: &str, parameters: &[&str]) -> Value {
        json!({
            "parameters": query(parameters),
            "responses": self.responses(),
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": self.kind,
        })
    }

    fn write(&self, action: &str, parameters: &[&str]) -> Value {
        let mut operation = self.get(action, parameters);
        operation["requestBody"] = json!({"content": {"*/*": {"schema": self.reference()}}, "required": true});
        operation
    }

    fn patch(&self) -> Value {
        let mut operation = self.get("patch", PATCH_PARAMETERS);
        let accepted = PATCH_TYPES.iter().filter(|media| self.strategic || **media != STRATEGIC);
        let content: Map<String, Value> =
            accepted.map(|media| ((*media).to_owned(), json!({"schema": {"type": "object"}}))).collect();
        operation["requestBody"] = json!({"content": content, "required": true});
        operation
    }

    fn reference(&self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", self.schema)})
    }

    fn responses(&self) -> Value {
        json!({"200": {"description": "OK", "content": {"application/json": {"schema": self.reference()}}}})
    }
}

fn query(names: &[&str]) -> Value {
    let kind = |name: &str| match name {
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
        "watch" | "force" | "orphanDependents" | "allowWatchBookmarks" | "sendInitialEvents" => "boolean",
        _ => "string",
    };
    names
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": kind(name), "uniqueItems": true}}))
        .collect()
}
