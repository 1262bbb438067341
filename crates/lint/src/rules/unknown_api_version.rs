//! Versions and kinds that the cluster does not serve.

use serde_json::Value;

use crate::{At, Context, Report, Rule, Severity};

pub(super) const RULE: Rule = Rule {
    id: "unknown-api-version",
    severity: Severity::Error,
    why: "The API server answers `no matches for kind`: the version was removed, or never was.",
    example: "apiVersion: autoscaling/v2beta2",
    advice: "Write the version that Kubernetes 1.36 serves; most removed ones have a stable successor with the same fields.",
    check,
};

/// Built-in groups with the stable version of Kubernetes 1.36 and the kinds that people declare
/// (Kubernetes: "Deprecated API Migration Guide", "API groups").
const SERVED: &[(&str, &[&str])] = &[
    (
        "v1",
        &[
            "ConfigMap",
            "Endpoints",
            "LimitRange",
            "Namespace",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    (
        "admissionregistration.k8s.io/v1",
        &[
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io/v1", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io/v1", &["APIService"]),
    ("apps/v1", &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("autoscaling/v1", &["HorizontalPodAutoscaler"]),
    ("autoscaling/v2", &["HorizontalPodAutoscaler"]),
    ("batch/v1", &["CronJob", "Job"]),
    ("certificates.k8s.io/v1", &["CertificateSigningRequest"]),
    ("coordination.k8s.io/v1", &["Lease"]),
    ("discovery.k8s.io/v1", &["EndpointSlice"]),
    ("events.k8s.io/v1", &["Event"]),
    ("flowcontrol.apiserver.k8s.io/v1", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io/v1", &["IPAddress", "Ingress", "IngressClass", "NetworkPolicy", "ServiceCIDR"]),
    ("node.k8s.io/v1", &["RuntimeClass"]),
    ("policy/v1", &["PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io/v1", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("resource.k8s.io/v1", &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"]),
    ("scheduling.k8s.io/v1", &["PriorityClass"]),
    (
        "storage.k8s.io/v1",
        &["CSIDriver", "CSINode", "CSIStorageCapacity", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"],
    ),
];

/// Where a removed group's kinds went.
const MOVED: &[(&str, &str)] = &[("extensions", "apps/v1 or networking.k8s.io/v1")];

/// Whether a built-in kind is served in this version.
pub(super) fn is_served(version: &str, kind: &str) -> bool {
    SERVED.iter().any(|(served, kinds)| *served == version && kinds.contains(&kind))
}

fn check(context: &Context<'_>, report: &mut Report<'_>) {
    for (index, object) in context.platform.objects.iter().enumerate() {
        let (Some(version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str()) else { continue };
        if let Some(problem) = problem(context, version, kind) {
            report.add(At::object(index, "/apiVersion"), problem);
        }
    }
}

fn problem(context: &Context<'_>, version: &str, kind: &str) -> Option<String> {
    if is_served(version, kind) {
        return None;
    }
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let of_group: Vec<&(&str, &[&str])> =
        SERVED.iter().filter(|(served, _)| served.split_once('/').map_or("", |(group, _)| group) == group).collect();
    if let Some((served, _)) = of_group.iter().find(|(_, kinds)| kinds.contains(&kind)) {
        return Some(format!("`{version}` is not served; {kind} is {served}"));
    }
    if !of_group.is_empty() {
        return Some(format!("`{kind}` is no kind of `{version}`"));
    }
    if let Some((_, successor)) = MOVED.iter().find(|(moved, _)| *moved == group) {
        return Some(format!("`{version}` is not served any more; its kinds are in {successor}"));
    }
    custom(context, group, version, kind)
}

/// Where the folder has the definition of a custom resource, it says which versions there are; without it the definition comes
/// from elsewhere.
fn custom(context: &Context<'_>, group: &str, version: &str, kind: &str) -> Option<String> {
    let definitions: Vec<&Value> = context
        .platform
        .of_kind("CustomResourceDefinition")
        .map(|(_, definition)| &definition["spec"])
        .filter(|spec| spec["group"] == group)
        .collect();
    if definitions.is_empty() {
        return None;
    }
    let Some(spec) = definitions.into_iter().find(|spec| spec["names"]["kind"] == kind) else {
        return Some(format!("no definition of {group} has the kind `{kind}`"));
    };
    let short = version.rsplit('/').next().unwrap_or(version);
    let versions: Vec<&str> = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["served"] != false)
        .filter_map(|version| version["name"].as_str())
        .collect();
    (!versions.contains(&short)).then(|| format!("`{version}` is not served; {kind} has {}", versions.join(", ")))
}
