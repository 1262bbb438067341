//! The kinds that the platform's manifests may have, and when each is applied.
//!
//! A table instead of discovery: discovery would be the slowest part of an unchanged `up`, and a kind that nobody thought of is
//! refused with its name instead of being applied in an arbitrary wave.

/// What must exist before what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// Namespaces and definitions of custom resources.
    Foundations,
    /// Identities, permissions, configuration, services, policies.
    Configuration,
    Workloads,
    /// What needs running workloads to be useful.
    Traffic,
}

impl Wave {
    pub const ALL: [Wave; 4] = [Wave::Foundations, Wave::Configuration, Wave::Workloads, Wave::Traffic];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    pub wave: Wave,
}

const fn row(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    wave: Wave,
) -> Kind {
    Kind { group, version, kind, plural, namespaced, wave }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const MONITORING: &str = "monitoring.coreos.com";

const KINDS: &[Kind] = &[
    row("", "v1", "Namespace", "namespaces", false, Wave::Foundations),
    row(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        false,
        Wave::Foundations,
    ),
    row("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", false, Wave::Configuration),
    row("", "v1", "ServiceAccount", "serviceaccounts", true, Wave::Configuration),
    row(RBAC, "v1", "ClusterRole", "clusterroles", false, Wave::Configuration),
    row(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", false, Wave::Configuration),
    row(RBAC, "v1", "Role", "roles", true, Wave::Configuration),
    row(RBAC, "v1", "RoleBinding", "rolebindings", true, Wave::Configuration),
    row("", "v1", "ConfigMap", "configmaps", true, Wave::Configuration),
    row("", "v1", "Secret", "secrets", true, Wave::Configuration),
    row("", "v1", "Service", "services", true, Wave::Configuration),
    row("", "v1", "ResourceQuota", "resourcequotas", true, Wave::Configuration),
    row("", "v1", "LimitRange", "limitranges", true, Wave::Configuration),
    row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true, Wave::Configuration),
    row("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true, Wave::Configuration),
    row("networking.k8s.io", "v1", "IngressClass", "ingressclasses", false, Wave::Configuration),
    row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true, Wave::Configuration),
    row("apps", "v1", "Deployment", "deployments", true, Wave::Workloads),
    row("apps", "v1", "StatefulSet", "statefulsets", true, Wave::Workloads),
    row("apps", "v1", "DaemonSet", "daemonsets", true, Wave::Workloads),
    row("batch", "v1", "Job", "jobs", true, Wave::Workloads),
    row("batch", "v1", "CronJob", "cronjobs", true, Wave::Workloads),
    row(MONITORING, "v1", "Prometheus", "prometheuses", true, Wave::Workloads),
    row(MONITORING, "v1", "ServiceMonitor", "servicemonitors", true, Wave::Workloads),
    row(MONITORING, "v1", "PodMonitor", "podmonitors", true, Wave::Workloads),
    row(MONITORING, "v1", "PrometheusRule", "prometheusrules", true, Wave::Workloads),
    row("networking.k8s.io", "v1", "Ingress", "ingresses", true, Wave::Traffic),
    row("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true, Wave::Traffic),
];

/// The row of an `apiVersion` and `kind`.
pub fn kind(api_version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|row| row.kind == kind && row.api_version() == api_version)
}

/// The row of an ApplySet's `Kind.group`.
pub(super) fn group_kind(text: &str) -> Option<&'static Kind> {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    KINDS.iter().find(|row| row.kind == kind && row.group == group)
}

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As an ApplySet's parent lists it.
    pub(super) fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// The collection's path; of all namespaces without one.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        let root =
            if self.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/{}", self.group, self.version) };
        match namespace {
            Some(namespace) if self.namespaced => format!("{root}/namespaces/{namespace}/{}", self.plural),
            _ => format!("{root}/{}", self.plural),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_group_kind_and_has_one() {
        for row in KINDS {
            assert_eq!(group_kind(&row.group_kind()), Some(row));
            assert_eq!(kind(&row.api_version(), row.kind), Some(row));
        }
    }

    #[test]
    fn paths_have_the_group_and_the_namespace() {
        assert_eq!(kind("v1", "Service").unwrap().path(Some("a")), "/api/v1/namespaces/a/services");
        assert_eq!(kind("apps/v1", "Deployment").unwrap().path(None), "/apis/apps/v1/deployments");
        assert_eq!(kind("v1", "Namespace").unwrap().path(Some("a")), "/api/v1/namespaces");
    }
}
