//! Objects that their type does not admit.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde::de::DeserializeOwned;
use serde_json::Value;
use strict_json::Segment;

use super::unknown_api_version;
use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "malformed-object",
    severity: Severity::Error,
    why: "The API server refuses an object with a field of the wrong type, and no other rule can read it.",
    example: "maxReplicas: \"ten\"",
    advice: "Correct the field; `kubectl explain` says what it takes.",
    check,
};

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, object) in context.platform.objects.iter().enumerate() {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
            report.add(At::object(index, ""), "is no Kubernetes object: `apiVersion` or `kind` is missing");
            continue;
        };
        if text("/metadata/name").is_none() && text("/metadata/generateName").is_none() {
            report.add(At::object(index, "/metadata"), "has no `metadata.name`");
            continue;
        }
        // An object of another version is judged by `unknown-api-version`.
        if !unknown_api_version::is_served(version, kind) {
            continue;
        }
        if let Err((path, problem)) = parse(kind, object) {
            report.add(At::object(index, path), problem);
        }
    }
}

type Parsed = Result<(), (String, String)>;

fn parse(kind: &str, object: &Value) -> Parsed {
    match kind {
        "Deployment" => of::<Deployment>(object),
        "StatefulSet" => of::<StatefulSet>(object),
        "DaemonSet" => of::<DaemonSet>(object),
        "Pod" => of::<Pod>(object),
        "Job" => of::<Job>(object),
        "CronJob" => of::<CronJob>(object),
        "Service" => of::<Service>(object),
        "ConfigMap" => of::<ConfigMap>(object),
        "Secret" => of::<Secret>(object),
        "ServiceAccount" => of::<ServiceAccount>(object),
        "Namespace" => of::<Namespace>(object),
        "HorizontalPodAutoscaler" => of::<HorizontalPodAutoscaler>(object),
        "PodDisruptionBudget" => of::<PodDisruptionBudget>(object),
        "NetworkPolicy" => of::<NetworkPolicy>(object),
        "Ingress" => of::<Ingress>(object),
        "IngressClass" => of::<IngressClass>(object),
        "Role" => of::<Role>(object),
        "RoleBinding" => of::<RoleBinding>(object),
        "ClusterRole" => of::<ClusterRole>(object),
        "ClusterRoleBinding" => of::<ClusterRoleBinding>(object),
        _ => Ok(()),
    }
}

fn of<T: DeserializeOwned>(object: &Value) -> Parsed {
    match strict_json::read::<T>(object).value {
        Ok(_) => Ok(()),
        Err(wrong) => Err((pointer(&wrong.place), format!("`{}`: {}", wrong.path(), wrong.error))),
    }
}

fn pointer(place: &[Segment]) -> String {
    let escaped = |segment: &Segment| match segment {
        Segment::Field(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        Segment::Item(index) => format!("/{index}"),
    };
    place.iter().map(escaped).collect()
}
