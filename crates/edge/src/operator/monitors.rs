//! What Prometheus scrapes: jobs from ServiceMonitors, targets from EndpointSlices. Pure.

use super::selectors::{Labels, matches};
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the cluster holds of services, their pods and nodes.
#[derive(Default)]
pub struct Cluster {
    pub nodes: Vec<Arc<Node>>,
    /// `--kubelet-service`, as `namespace/name`: the genuine operator makes such a Service with every node's kubelet behind it.
    pub kubelet_service: Option<String>,
    /// `address:port` of this operator, which relays the kubelets' metrics.
    pub relay: String,
    pub namespaces: Vec<Arc<Namespace>>,
    pub services: Vec<Arc<Service>>,
    pub slices: Vec<Arc<EndpointSlice>>,
}

/// One endpoint of one ServiceMonitor.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// As the genuine operator names it: `serviceMonitor/<namespace>/<name>/<index>`.
    pub name: String,
    pub namespace: String,
    /// The ServiceMonitor's spec, and its endpoint.
    spec: Value,
    endpoint: Value,
}

const SPEC_FIELDS: [&str; 4] = ["selector", "namespaceSelector", "endpoints", "jobLabel"];
/// The port of the kubelets' Service, by the genuine operator's name.
const KUBELET_PORT: &str = "https-metrics";
/// How Prometheus speaks to a kubelet: not needed here, where the operator asks the API server in its place.
const KUBELET_FIELDS: [&str; 3] = ["bearerTokenFile", "tlsConfig", "honorTimestamps"];
const ENDPOINT_FIELDS: [&str; 6] = ["port", "path", "interval", "scrapeTimeout", "honorLabels", "scheme"];

/// Names the fields of an object that are not among those that are followed.
pub fn unsupported(object: &Value, supported: &[&str], at: &str) -> Vec<String> {
    let fields = object.as_object().into_iter().flat_map(|fields| fields.keys());
    fields.filter(|field| !supported.contains(&field.as_str())).map(|field| format!("{at}.{field}")).collect()
}

fn is_kubelet(endpoint: &Value) -> bool {
    endpoint.get("port").is_some_and(|port| port == KUBELET_PORT)
}

/// Every endpoint of a ServiceMonitor as a job.
///
/// # Errors
/// The fields that are not followed, by name.
pub fn jobs(namespace: &str, name: &str, spec: &Value) -> Result<Vec<Job>, String> {
    let mut refused = unsupported(spec, &SPEC_FIELDS, "spec");
    let endpoints = spec.get("endpoints").and_then(Value::as_array).cloned().unwrap_or_default();
    for (index, endpoint) in endpoints.iter().enumerate() {
        let kubelet = is_kubelet(endpoint);
        let more = if kubelet { &KUBELET_FIELDS[..] } else { &[] };
        refused.extend(unsupported(
            endpoint,
            &[&ENDPOINT_FIELDS[..], more].concat(),
            &format!("spec.endpoints[{index}]"),
        ));
        if !kubelet && endpoint.get("scheme").is_some_and(|scheme| scheme != "http") {
            refused.push(format!("spec.endpoints[{index}].scheme other than http"));
        }
        if endpoint.get("port").is_none() {
            refused.push(format!("spec.endpoints[{index}] without a port's name"));
        }
    }
    if !refused.is_empty() {
        return Err(format!("ServiceMonitor {namespace}/{name}: not supported here: {}", refused.join(", ")));
    }
    let job = |(index, endpoint): (usize, &Value)| Job {
        name: format!("serviceMonitor/{namespace}/{name}/{index}"),
        namespace: namespace.to_owned(),
        spec: spec.clone(),
        endpoint: endpoint.clone(),
    };
    Ok(endpoints.iter().enumerate().map(job).collect())
}

impl Job {
    /// The scrape configuration; `discovery` is the base address of this operator.
    pub fn scrape_config(&self, discovery: &str) -> Value {
        let mut config = json!({
            "job_name": self.name,
            "honor_labels": self.endpoint.get("honorLabels").and_then(Value::as_bool).unwrap_or(false),
            "metrics_path": self.endpoint.get("path").and_then(Value::as_str).unwrap_or("/metrics"),
            "http_sd_configs": [{"url": format!("{discovery}/sd/{}", self.name), "refresh_interval": "5s"}],
        });
        for (theirs, ours) in [
            ("interval", "scrape_interval"),
            ("scrapeTimeout", "scrape_timeout"),
            ("honorTimestamps", "honor_timestamps"),
        ] {
            if let Some(value) = self.endpoint.get(theirs) {
                config[ours] = value.clone();
            }
        }
        config
    }

    /// What HTTP service discovery answers: targets with the labels that the genuine operator's relabelling gives them, but
    /// for `container`, which only the pod itself knows.
    ///
    /// # Errors
    /// When a selector is not valid.
    pub fn targets(&self, cluster: &Cluster) -> Result<Vec<Value>, String> {
        if is_kubelet(&self.endpoint) {
            return self.kubelets(cluster);
        }
        let mut groups = Vec::new();
        for service in &cluster.services {
            let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
            let labels = service.metadata.labels.clone().unwrap_or_default();
            if self.selects_namespace(namespace) && matches(self.spec.get("selector"), &labels)? {
                groups.extend(self.targets_of(service, namespace, &labels, cluster));
            }
        }
        Ok(groups)
    }

    /// Every node's kubelet, behind the Service that the genuine operator would make. Prometheus asks this operator, which
    /// asks the API server; labels are those of a kubelet that was asked itself.
    fn kubelets(&self, cluster: &Cluster) -> Result<Vec<Value>, String> {
        let Some((namespace, name)) = cluster.kubelet_service.as_deref().and_then(|service| service.split_once('/'))
        else {
            return Ok(Vec::new());
        };
        let labels: Labels = [
            ("k8s-app", "kubelet"),
            ("app.kubernetes.io/name", "kubelet"),
            ("app.kubernetes.io/managed-by", "prometheus-operator"),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        if !self.selects_namespace(namespace) || !matches(self.spec.get("selector"), &labels)? {
            return Ok(Vec::new());
        }
        let job = self.spec.get("jobLabel").and_then(|label| labels.get(label.as_str()?)).map_or(name, String::as_str);
        let path = self.endpoint.get("path").and_then(Value::as_str).unwrap_or("/metrics");
        let service = name;
        let target = |node: &Arc<Node>| {
            let name = node.metadata.name.as_deref()?;
            let addresses = node.status.as_ref()?.addresses.as_ref()?;
            let address = &addresses.iter().find(|address| address.type_ == "InternalIP")?.address;
            Some(json!({"targets": [cluster.relay], "labels": {
                "__metrics_path__": format!("/kubelet/{name}{path}"), "instance": format!("{address}:10250"),
                "job": job, "namespace": namespace, "service": service, "endpoint": KUBELET_PORT,
                "node": name, "metrics_path": path,
            }}))
        };
        Ok(cluster.nodes.iter().filter_map(target).collect())
    }

    fn selects_namespace(&self, namespace: &str) -> bool {
        let selector = self.spec.get("namespaceSelector");
        if selector.and_then(|selector| selector.get("any")) == Some(&Value::Bool(true)) {
            return true;
        }
        match selector.and_then(|selector| selector.get("matchNames")?.as_array()) {
            Some(names) => names.iter().any(|name| name == namespace),
            None => namespace == self.namespace,
        }
    }

    fn targets_of(&self, service: &Service, namespace: &str, labels: &Labels, cluster: &Cluster) -> Vec<Value> {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let port_name = self.endpoint.get("port").and_then(Value::as_str).unwrap_or_default();
        let job = self.spec.get("jobLabel").and_then(|label| labels.get(label.as_str()?)).map_or(name, String::as_str);
        let of_service = |slice: &&Arc<EndpointSlice>| {
            slice.metadata.namespace.as_deref() == Some(namespace)
                && slice
                    .metadata
                    .labels
                    .as_ref()
                    .and_then(|labels| labels.get("kubernetes.io/service-name"))
                    .map(String::as_str)
                    == Some(name)
        };
        let mut seen = BTreeSet::new();
        let mut groups = Vec::new();
        for slice in cluster.slices.iter().filter(of_service) {
            let port = slice
                .ports
                .iter()
                .flatten()
                .find(|port| port.name.as_deref().unwrap_or_default() == port_name)
                .and_then(|port| port.port);
            let Some(port) = port else { continue };
            for endpoint in slice.endpoints.iter().flatten().filter(|endpoint| {
                endpoint.conditions.as_ref().and_then(|conditions| conditions.terminating) != Some(true)
            }) {
                let Some(target) = endpoint
                    .addresses
                    .first()
                    .map(|address| format!("{address}:{port}"))
                    .filter(|target| seen.insert(target.clone()))
                else {
                    continue;
                };
                let mut target_labels =
                    json!({"job": job, "namespace": namespace, "service": name, "endpoint": port_name});
                if let Some(pod) = endpoint
                    .target_ref
                    .as_ref()
                    .filter(|target| target.kind.as_deref() == Some("Pod"))
                    .and_then(|target| target.name.as_deref())
                {
                    target_labels["pod"] = pod.into();
                }
                groups.push(json!({"targets": [target], "labels": target_labels}));
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
        Arc::new(serde_json::from_value(value).expect("an object of its kind"))
    }

    fn cluster() -> Cluster {
        let service = |namespace: &str| {
            from(
                json!({"metadata": {"namespace": namespace, "name": "backend", "labels": {"app": "backend", "team": "tide"}}}),
            )
        };
        let slice = |namespace: &str, address: &str| {
            from(
                json!({"metadata": {"namespace": namespace, "name": "backend-x", "labels": {"kubernetes.io/service-name": "backend"}}, "addressType": "IPv4",
                        "ports": [{"name": "http", "port": 8080}],
                        "endpoints": [{"addresses": [address], "targetRef": {"kind": "Pod", "name": "backend-1"}}, {"addresses": ["127.17.9.9"], "conditions": {"terminating": true}}]}),
            )
        };
        Cluster {
            nodes: vec![from(
                json!({"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.224.0.4"}]}}),
            )],
            kubelet_service: Some("kube-system/kubelet".to_owned()),
            relay: "10.100.0.9:8080".to_owned(),
            namespaces: Vec::new(),
            services: vec![service("platform"), service("other")],
            slices: vec![slice("platform", "127.17.0.5"), slice("other", "127.17.0.6")],
        }
    }

    fn job(more: Value) -> Job {
        let mut spec = json!({"selector": {"matchLabels": {"app": "backend"}}, "endpoints": [{"port": "http", "interval": "15s"}]});
        for (key, value) in more.as_object().expect("fields") {
            spec[key] = value.clone();
        }
        jobs("platform", "backend", &spec).expect("a supported monitor").remove(0)
    }

    #[test]
    fn a_job_scrapes_the_pods_of_the_selected_services() {
        let targets = job(json!({})).targets(&cluster()).expect("a valid selector");
        assert_eq!(
            targets,
            [
                json!({"targets": ["127.17.0.5:8080"], "labels": {"job": "backend", "namespace": "platform", "service": "backend", "endpoint": "http", "pod": "backend-1"}})
            ]
        );
        let everywhere = job(json!({"namespaceSelector": {"any": true}, "jobLabel": "team"}))
            .targets(&cluster())
            .expect("a valid selector");
        assert_eq!((everywhere.len(), &everywhere[1]["labels"]["job"]), (2, &json!("tide")));
    }

    #[test]
    fn kubelets_are_asked_through_the_operator() {
        let endpoint = json!({"port": "https-metrics", "scheme": "https", "path": "/metrics/cadvisor", "honorLabels": true,
            "honorTimestamps": false, "bearerTokenFile": "/t", "tlsConfig": {"insecureSkipVerify": true}});
        let kubelet = json!({"selector": {"matchLabels": {"app.kubernetes.io/name": "kubelet"}}, "endpoints": [endpoint],
            "namespaceSelector": {"matchNames": ["kube-system"]}, "jobLabel": "app.kubernetes.io/name"});
        let targets = job(kubelet.clone()).targets(&cluster()).expect("a valid selector");
        assert_eq!(
            targets,
            [json!({"targets": ["10.100.0.9:8080"], "labels": {
                "__metrics_path__": "/kubelet/n1/metrics/cadvisor", "instance": "10.224.0.4:10250", "job": "kubelet",
                "namespace": "kube-system", "service": "kubelet", "endpoint": "https-metrics", "node": "n1",
                "metrics_path": "/metrics/cadvisor"}})]
        );
        assert_eq!(job(kubelet).scrape_config("http://x")["honor_timestamps"], false);
    }

    #[test]
    fn a_scrape_configuration_points_at_the_operator() {
        let config = job(json!({})).scrape_config("http://127.16.0.9:8080");
        assert_eq!(config["http_sd_configs"][0]["url"], "http://127.16.0.9:8080/sd/serviceMonitor/platform/backend/0");
        assert_eq!((&config["scrape_interval"], &config["metrics_path"]), (&json!("15s"), &json!("/metrics")));
    }

    /// Differs (Monitoring): ServiceMonitors are followed without limits, TLS and target ports; what is not followed is
    /// named in the object's `Reconciled` condition.
    #[test]
    fn what_is_not_followed_is_named() {
        let refused = jobs(
            "a",
            "b",
            &json!({"sampleLimit": 5, "endpoints": [{"port": "http", "tlsConfig": {}}, {"targetPort": 80}]}),
        )
        .expect_err("not supported");
        for field in [
            "spec.sampleLimit",
            "spec.endpoints[0].tlsConfig",
            "spec.endpoints[1].targetPort",
            "spec.endpoints[1] without a port's name",
        ] {
            assert!(refused.contains(field), "{refused}");
        }
    }
}
