//! Manifests as programs of Pulumi's Kubernetes provider.

use serde_json::{Map, Value, json};

use super::{ExportError, Program};
use crate::cluster::Manifest;

/// Adds the objects to a program, wave after wave as `marea up` applies them.
///
/// # Errors
/// When two objects get the same name in the program.
pub fn program(mut program: Program, manifests: &[Manifest]) -> Result<Program, ExportError> {
    program.inputs.insert("kubeconfig".into(), json!({"type": "string", "secret": true}));
    program.resources.insert("cluster".into(), json!({"type": "pulumi:providers:kubernetes", "properties": {"kubeconfig": "${kubeconfig}", "enableServerSideApply": true}}));
    let mut ordered: Vec<&Manifest> = manifests.iter().collect();
    ordered.sort_by_key(|manifest| (manifest.kind.wave, manifest.key()));
    let mut namespaces = Vec::new();
    for manifest in ordered {
        let name = symbolic(manifest);
        if manifest.kind.kind == "Namespace" {
            namespaces.push(json!(format!("${{{name}}}")));
        }
        let mut options = json!({"provider": "${cluster}"});
        if manifest.namespace().is_some() && !namespaces.is_empty() {
            options["dependsOn"] = json!(namespaces);
        }
        let resource = json!({"type": token(manifest), "properties": properties(manifest), "options": options});
        if program.resources.insert(name.clone(), resource).is_some() {
            return Err(ExportError(format!("two objects as `{name}`")));
        }
    }
    Ok(program)
}

fn symbolic(manifest: &Manifest) -> String {
    let parts = [Some(manifest.kind.kind), manifest.namespace(), Some(manifest.name())];
    parts.into_iter().flatten().collect::<Vec<_>>().join("-").replace('.', "-").to_lowercase()
}

/// Custom resources have one type for all of them.
fn token(manifest: &Manifest) -> String {
    let kind = manifest.kind;
    match kind.group {
        "monitoring.coreos.com" => "kubernetes:apiextensions.k8s.io:CustomResource".to_owned(),
        "" => format!("kubernetes:core/{}:{}", kind.version, kind.kind),
        group => format!("kubernetes:{}/{}:{}", group, kind.version, kind.kind),
    }
}

fn properties(manifest: &Manifest) -> Value {
    let custom = manifest.kind.group == "monitoring.coreos.com";
    let fields = manifest.value.as_object().cloned().unwrap_or_default();
    let kept: Map<String, Value> =
        fields.into_iter().filter(|(key, _)| custom || (key != "apiVersion" && key != "kind")).collect();
    escape(&Value::Object(kept))
}

/// `${` would start an interpolation.
fn escape(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("pulumi-config:") => {
            json!(format!("${{{}}}", &text["pulumi-config:".len()..]))
        }
        Value::String(text) => json!(text.replace("${", "$${")),
        Value::Array(items) => Value::Array(items.iter().map(escape).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), escape(value))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_namespace_first_and_their_dollars() {
        let objects = [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "a"}, "data": {"x": "${HOME}"}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}),
        ];
        let manifests: Vec<Manifest> = objects.into_iter().map(|object| Manifest::generated(object).unwrap()).collect();
        let program = program(Program::default(), &manifests).unwrap();
        assert_eq!(program.resources.keys().collect::<Vec<_>>(), ["cluster", "namespace-a", "configmap-a-c"]);
        let config_map = &program.resources["configmap-a-c"];
        assert_eq!(config_map["properties"]["data"]["x"], "$${HOME}");
        assert_eq!(config_map["options"]["dependsOn"], json!(["${namespace-a}"]));
    }
}
