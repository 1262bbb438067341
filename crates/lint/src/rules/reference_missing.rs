//! References to what no manifest has.

use platform::Workload;

use crate::context::{TEMPLATE, containers, has_template};
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "reference-missing",
    severity: Severity::Error,
    why: "A container whose ConfigMap or Secret does not exist waits in CreateContainerConfigError; without its service account no pod is made.",
    example: "configMapKeyRef.name: backend-confg",
    advice: "Declare the object, correct the name, or mark the reference as optional.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for workload in context.platform.workloads.iter().filter(|workload| has_template(context.platform, workload)) {
        for (kind, name, key, field) in references(workload) {
            let found = context.object(kind, &workload.namespace, name);
            let message = match (found, key) {
                (None, _) if kind == "ServiceAccount" && name == "default" => continue,
                (None, _) => format!("refers to the {kind} {name}, which {} has not", workload.namespace),
                (Some(object), Some(key)) => {
                    let sections = ["data", "stringData", "binaryData"];
                    if sections.iter().any(|section| object[*section].get(key).is_some()) {
                        continue;
                    }
                    format!("refers to the key {key} of the {kind} {name}, which has none of that name")
                }
                (Some(_), None) => continue,
            };
            report.add(At::object(workload.object, field), message);
        }
    }
}

type Reference<'a> = (&'static str, &'a str, Option<&'a str>, String);

/// Kind, name, key and field of everything that a pod needs to start.
fn references(workload: &Workload) -> Vec<Reference<'_>> {
    let mut all: Vec<Reference<'_>> = Vec::new();
    let pod = workload.pod_spec();
    if let Some(account) = &pod.service_account_name {
        all.push(("ServiceAccount", account, None, format!("{TEMPLATE}/spec/serviceAccountName")));
    }
    for (pointer, container) in containers(workload) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let Some(from) = &variable.value_from else { continue };
            let field = format!("{pointer}/env/{index}");
            if let Some(key) = from.config_map_key_ref.as_ref().filter(|key| key.optional != Some(true)) {
                all.push(("ConfigMap", &key.name, Some(&key.key), field));
            } else if let Some(key) = from.secret_key_ref.as_ref().filter(|key| key.optional != Some(true)) {
                all.push(("Secret", &key.name, Some(&key.key), field));
            }
        }
        for (index, from) in container.env_from.iter().flatten().enumerate() {
            let field = format!("{pointer}/envFrom/{index}");
            if let Some(map) = from.config_map_ref.as_ref().filter(|map| map.optional != Some(true)) {
                all.push(("ConfigMap", &map.name, None, field));
            } else if let Some(secret) = from.secret_ref.as_ref().filter(|secret| secret.optional != Some(true)) {
                all.push(("Secret", &secret.name, None, field));
            }
        }
    }
    for (index, volume) in pod.volumes.iter().flatten().enumerate() {
        let field = format!("{TEMPLATE}/spec/volumes/{index}");
        if let Some(map) = volume.config_map.as_ref().filter(|map| map.optional != Some(true)) {
            all.push(("ConfigMap", &map.name, None, field));
        } else if let Some(secret) = volume.secret.as_ref().filter(|secret| secret.optional != Some(true)) {
            all.extend(secret.secret_name.as_deref().map(|name| ("Secret", name, None, field)));
        } else if let Some(claim) = &volume.persistent_volume_claim {
            all.push(("PersistentVolumeClaim", &claim.claim_name, None, field));
        }
    }
    all
}
