//! The objects that make a Prometheus run: configuration, StatefulSet, Service. Pure.

use super::monitors::{Job, unsupported};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const CONFIG_DIRECTORY: &str = "/etc/prometheus/config";
const DATA_DIRECTORY: &str = "/prometheus";
pub const PORT: u16 = 9090;

const FIELDS: [&str; 24] = [
    "version",
    "image",
    "replicas",
    "serviceAccountName",
    "scrapeInterval",
    "scrapeTimeout",
    "evaluationInterval",
    "retention",
    "retentionSize",
    "serviceDiscoveryRole",
    "podMetadata",
    "serviceMonitorSelector",
    "serviceMonitorNamespaceSelector",
    "podMonitorSelector",
    "podMonitorNamespaceSelector",
    "ruleSelector",
    "ruleNamespaceSelector",
    "affinity",
    "tolerations",
    "nodeSelector",
    "resources",
    "storage",
    "securityContext",
    "externalLabels",
];

/// A Prometheus object, as far as it matters here.
pub struct Prometheus<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    pub spec: &'a Value,
}

/// A PrometheusRule's file name and content.
pub type RuleFile = (String, Value);

impl Prometheus<'_> {
    /// What this operator does not follow, by name.
    pub fn refused(&self) -> Vec<String> {
        let mut refused = unsupported(self.spec, &FIELDS, "spec");
        if let Some(storage) = self.spec.get("storage") {
            refused.extend(unsupported(storage, &["emptyDir"], "spec.storage"));
        }
        if self.spec.get("replicas").and_then(Value::as_u64).unwrap_or(1) > 1 {
            refused.push("spec.replicas above 1".to_owned());
        }
        if self.spec.get("image").is_none() {
            refused.push("spec without image".to_owned());
        }
        refused
    }

    fn object_name(&self) -> String {
        format!("prometheus-{}", self.name)
    }

    fn selector_labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "prometheus",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/managed-by": "prometheus-operator",
            "operator.prometheus.io/name": self.name,
            "prometheus": self.name,
        })
    }

    fn metadata(&self, name: &str) -> Value {
        json!({
            "name": name,
            "namespace": self.namespace,
            "labels": self.selector_labels(),
            "ownerReferences": [{"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus", "name": self.name, "uid": self.uid, "controller": true, "blockOwnerDeletion": true}],
        })
    }

    /// The files that Prometheus reads. JSON is YAML, and its writer leaves no doubt about quoting.
    pub fn config_map(&self, jobs: &[Job], rules: &[RuleFile], discovery: &str) -> Value {
        let setting =
            |name: &str, default: &str| self.spec.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
        let mut global = json!({
            "scrape_interval": setting("scrapeInterval", "30s"),
            "evaluation_interval": setting("evaluationInterval", "30s"),
            "external_labels": {"prometheus": format!("{}/{}", self.namespace, self.name)},
        });
        if let Some(timeout) = self.spec.get("scrapeTimeout") {
            global["scrape_timeout"] = timeout.clone();
        }
        for (label, value) in self.spec.get("externalLabels").and_then(Value::as_object).into_iter().flatten() {
            global["external_labels"][label] = value.clone();
        }
        let config = json!({
            "global": global,
            // Relative to the configuration's own directory, wherever the mount is.
            "rule_files": ["*.rules.yaml"],
            "scrape_configs": jobs.iter().map(|job| job.scrape_config(discovery)).collect::<Vec<_>>(),
        });
        let mut data = Map::new();
        data.insert("prometheus.yaml".to_owned(), pretty(&config).into());
        for (name, content) in rules {
            data.insert(format!("{name}.rules.yaml"), pretty(content).into());
        }
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.metadata(&self.object_name()), "data": data})
    }

    /// `config` is the ConfigMap: its content's hash in the pod's annotations restarts Prometheus when it changes.
    pub fn stateful_set(&self, config: &Value) -> Value {
        let mut labels = self.selector_labels();
        for (label, value) in self.spec.pointer("/podMetadata/labels").and_then(Value::as_object).into_iter().flatten()
        {
            labels[label] = value.clone();
        }
        let mut annotations = self.spec.pointer("/podMetadata/annotations").cloned().unwrap_or_else(|| json!({}));
        annotations["operator.marea.dev/config-hash"] = hash(&config["data"]).into();
        let mut pod = json!({
            "serviceAccountName": self.spec.get("serviceAccountName").cloned().unwrap_or_else(|| "default".into()),
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 600,
            "containers": [self.container()],
            "volumes": [
                {"name": "config", "configMap": {"name": self.object_name()}},
                {"name": "data", "emptyDir": self.spec.pointer("/storage/emptyDir").cloned().unwrap_or_else(|| json!({}))},
            ],
        });
        for field in ["affinity", "tolerations", "nodeSelector", "securityContext"] {
            if let Some(value) = self.spec.get(field) {
                pod[field] = value.clone();
            }
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": self.metadata(&self.object_name()),
            "spec": {
                "replicas": self.spec.get("replicas").cloned().unwrap_or_else(|| 1.into()),
                "serviceName": "prometheus-operated",
                "podManagementPolicy": "Parallel",
                "updateStrategy": {"type": "RollingUpdate"},
                "selector": {"matchLabels": self.selector_labels()},
                "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
            },
        })
    }

    fn container(&self) -> Value {
        let mut arguments = vec![
            format!("--config.file={CONFIG_DIRECTORY}/prometheus.yaml"),
            format!("--storage.tsdb.path={DATA_DIRECTORY}"),
            format!("--web.listen-address=$(POD_IP):{PORT}"),
            "--web.enable-lifecycle".to_owned(),
        ];
        for (field, flag) in [("retention", "time"), ("retentionSize", "size")] {
            if let Some(value) = self.spec.get(field).and_then(Value::as_str) {
                arguments.push(format!("--storage.tsdb.retention.{flag}={value}"));
            }
        }
        let probe = |path: &str, period_seconds: u32, failures: u32| json!({"httpGet": {"path": path, "port": "web"}, "periodSeconds": period_seconds, "timeoutSeconds": 3, "failureThreshold": failures});
        json!({
            "name": "prometheus",
            "image": self.spec.get("image"),
            "args": arguments,
            "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "ports": [{"name": "web", "containerPort": PORT}],
            "startupProbe": probe("/-/ready", 1, 120),
            "readinessProbe": probe("/-/ready", 5, 3),
            "livenessProbe": probe("/-/healthy", 5, 6),
            "resources": self.spec.get("resources").cloned().unwrap_or_else(|| json!({})),
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": true}, {"name": "data", "mountPath": DATA_DIRECTORY}],
        })
    }
}

/// The governing Service of every Prometheus of a namespace, as the genuine operator makes it.
pub fn governing_service(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "prometheus-operated", "namespace": namespace, "labels": {"operated-prometheus": "true"}},
        "spec": {"clusterIP": "None", "selector": {"app.kubernetes.io/name": "prometheus"}, "ports": [{"name": "web", "port": PORT, "targetPort": "web"}]},
    })
}

/// An address of this operator that stays when its pod is replaced: Prometheus asks it for targets.
pub fn discovery_service(namespace: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "prometheus-operator", "namespace": namespace, "labels": {"app.kubernetes.io/name": "prometheus-operator"}},
        "spec": {"selector": {"app.kubernetes.io/name": "prometheus-operator"}, "ports": [{"name": "http", "port": port, "targetPort": "http"}]},
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn hash(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string());
    digest.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::monitors::jobs;
    use super::*;

    fn spec() -> Value {
        json!({"image": "quay.io/prometheus/prometheus:v3", "retention": "2d", "scrapeInterval": "15s", "storage": {"emptyDir": {"sizeLimit": "2Gi"}},
               "podMetadata": {"labels": {"part": "marea"}}, "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}]})
    }

    fn prometheus(spec: &Value) -> Prometheus<'_> {
        Prometheus { namespace: "monitoring", name: "marea", uid: "u", spec }
    }

    #[test]
    fn the_stateful_set_runs_prometheus_on_the_pods_address() {
        let spec = spec();
        let prometheus = prometheus(&spec);
        assert_eq!(prometheus.refused(), Vec::<String>::new());
        let set = prometheus.stateful_set(&prometheus.config_map(&[], &[], "http://d"));
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        assert!(
            container["args"]
                .as_array()
                .is_some_and(|arguments| arguments.contains(&json!("--web.listen-address=$(POD_IP):9090"))
                    && arguments.contains(&json!("--storage.tsdb.retention.time=2d")))
        );
        assert_eq!(set["metadata"]["name"], "prometheus-marea");
        assert_eq!(set["spec"]["template"]["metadata"]["labels"]["operator.prometheus.io/name"], "marea");
        assert_eq!(set["spec"]["template"]["metadata"]["labels"]["part"], "marea");
        assert_eq!(set["spec"]["template"]["spec"]["volumes"][1]["emptyDir"]["sizeLimit"], "2Gi");
        assert_eq!(set["spec"]["template"]["spec"]["tolerations"][0]["key"], "CriticalAddonsOnly");
    }

    /// Differs (Monitoring): A changed configuration restarts Prometheus; the genuine operator reloads it.
    #[test]
    fn a_changed_configuration_changes_the_pod() {
        let spec = spec();
        let prometheus = prometheus(&spec);
        let monitor = json!({"selector": {}, "endpoints": [{"port": "http"}]});
        let hash_with = |jobs: &[Job], rules: &[RuleFile]| {
            prometheus.stateful_set(&prometheus.config_map(jobs, rules, "http://d"))["spec"]["template"]["metadata"]["annotations"].clone()
        };
        let one = jobs("platform", "backend", &monitor).expect("supported");
        assert_eq!(hash_with(&one, &[]), hash_with(&one, &[]));
        assert_ne!(hash_with(&one, &[]), hash_with(&[], &[]));
        assert_ne!(hash_with(&one, &[]), hash_with(&one, &[("r".to_owned(), json!({"groups": []}))]));
    }

    #[test]
    fn what_is_not_followed_is_named() {
        let spec = json!({"image": "i", "thanos": {}, "replicas": 2, "storage": {"volumeClaimTemplate": {}}});
        assert_eq!(
            prometheus(&spec).refused(),
            ["spec.thanos", "spec.storage.volumeClaimTemplate", "spec.replicas above 1"]
        );
    }
}
