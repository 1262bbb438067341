//! Objects as Prometheus text. Pure; families and lines in a stable order.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known now.
#[derive(Default)]
pub struct State {
    pub pods: Vec<Arc<Pod>>,
    pub nodes: Vec<Arc<Node>>,
    pub deployments: Vec<Arc<Deployment>>,
    pub hpas: Vec<Arc<HorizontalPodAutoscaler>>,
}

/// Name, type and help, then the lines.
#[derive(Default)]
struct Families(BTreeMap<&'static str, (&'static str, &'static str, Vec<String>)>);

impl Families {
    fn add(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: f64) {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        let labels = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect::<Vec<_>>();
        let entry = self.0.entry(name).or_insert_with(|| (kind, help, Vec::new()));
        entry.2.push(format!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn text(self) -> String {
        let mut text = String::new();
        for (name, (kind, help, mut lines)) in self.0 {
            lines.sort();
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for line in lines {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

pub fn render(state: &State) -> String {
    let mut families = Families::default();
    state.nodes.iter().for_each(|node| node_lines(&mut families, node));
    state.pods.iter().for_each(|pod| pod_lines(&mut families, pod));
    state.deployments.iter().for_each(|deployment| deployment_lines(&mut families, deployment));
    state.hpas.iter().for_each(|hpa| hpa_lines(&mut families, hpa));
    families.text()
}

fn node_lines(families: &mut Families, node: &Node) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let info = status.node_info.unwrap_or_default();
    let address = status
        .addresses
        .iter()
        .flatten()
        .find(|address| address.type_ == "InternalIP")
        .map_or("", |address| address.address.as_str());
    families.add(
        "kube_node_info",
        "Information about a cluster node.",
        &[("node", name), ("kubelet_version", &info.kubelet_version), ("internal_ip", address)],
        1.0,
    );
    let unschedulable = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    families.add(
        "kube_node_spec_unschedulable",
        "Whether a node can schedule new pods.",
        &[("node", name)],
        f64::from(u8::from(unschedulable)),
    );
    for condition in status.conditions.iter().flatten() {
        for value in ["true", "false", "unknown"] {
            families.add(
                "kube_node_status_condition",
                "The condition of a cluster node.",
                &[("node", name), ("condition", &condition.type_), ("status", value)],
                f64::from(u8::from(condition.status.eq_ignore_ascii_case(value))),
            );
        }
    }
    for (resource, amount) in status.allocatable.iter().flatten() {
        if let Some((resource, unit, amount)) = measured(resource, amount) {
            families.add(
                "kube_node_status_allocatable",
                "The allocatable resources of a node that are available for scheduling.",
                &[("node", name), ("resource", resource), ("unit", unit)],
                amount,
            );
        }
    }
}

/// Resource, unit and amount as the genuine program names them; others than these are left out.
fn measured<'a>(resource: &'a str, amount: &Quantity) -> Option<(&'a str, &'static str, f64)> {
    let unit = match resource {
        "cpu" => "core",
        "memory" => "byte",
        "pods" => "integer",
        _ => return None,
    };
    Some((resource, unit, quantity(&amount.0)?))
}

/// A Kubernetes quantity as a number.
fn quantity(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number * factor)
}

const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

fn pod_lines(families: &mut Families, pod: &Pod) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (namespace, name, uid) = (text(&pod.metadata.namespace), text(&pod.metadata.name), text(&pod.metadata.uid));
    let own = [("namespace", namespace.as_str()), ("pod", name.as_str()), ("uid", uid.as_str())];
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let node = text(&spec.node_name);
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let (kind, owner) = owner.map_or(("", ""), |owner| (owner.kind.as_str(), owner.name.as_str()));
    let info = [
        ("node", node.as_str()),
        ("pod_ip", status.pod_ip.as_deref().unwrap_or_default()),
        ("host_ip", status.host_ip.as_deref().unwrap_or_default()),
        ("created_by_kind", kind),
        ("created_by_name", owner),
    ];
    families.add("kube_pod_info", "Information about pod.", &[&own[..], &info[..]].concat(), 1.0);
    for phase in PHASES {
        families.add(
            "kube_pod_status_phase",
            "The pods current phase.",
            &[&own[..], &[("phase", phase)]].concat(),
            f64::from(u8::from(status.phase.as_deref() == Some(phase))),
        );
    }
    for (condition, metric, help) in [
        ("Ready", "kube_pod_status_ready", "Describes whether the pod is ready to serve requests."),
        ("PodScheduled", "kube_pod_status_scheduled", "Describes the status of the scheduling process for the pod."),
    ] {
        let found = status.conditions.iter().flatten().find(|found| found.type_ == condition);
        for value in ["true", "false", "unknown"] {
            let holds = found.is_some_and(|found| found.status.eq_ignore_ascii_case(value));
            families.add(metric, help, &[&own[..], &[("condition", value)]].concat(), f64::from(u8::from(holds)));
        }
    }
    for container in &spec.containers {
        container_lines(families, &own, &node, container);
    }
    for container in status.container_statuses.iter().flatten() {
        families.add(
            "kube_pod_container_status_restarts_total",
            "The number of container restarts per container.",
            &[&own[..], &[("container", container.name.as_str())]].concat(),
            f64::from(container.restart_count),
        );
    }
}

fn container_lines(families: &mut Families, own: &[(&str, &str)], node: &str, container: &Container) {
    let Some(resources) = &container.resources else { return };
    let sections = [
        (
            "kube_pod_container_resource_requests",
            "The number of requested request resource by a container.",
            &resources.requests,
        ),
        (
            "kube_pod_container_resource_limits",
            "The number of requested limit resource by a container.",
            &resources.limits,
        ),
    ];
    for (metric, help, amounts) in sections {
        for (resource, amount) in amounts.iter().flatten() {
            if let Some((resource, unit, amount)) = measured(resource, amount) {
                let more =
                    [("container", container.name.as_str()), ("node", node), ("resource", resource), ("unit", unit)];
                families.add(metric, help, &[own, &more[..]].concat(), amount);
            }
        }
    }
}

fn deployment_lines(families: &mut Families, deployment: &Deployment) {
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let labels = [("namespace", namespace), ("deployment", name)];
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    for (metric, help, value) in [
        ("kube_deployment_spec_replicas", "Number of desired pods for a deployment.", wanted),
        ("kube_deployment_status_replicas", "The number of replicas per deployment.", status.replicas.unwrap_or(0)),
        (
            "kube_deployment_status_replicas_available",
            "The number of available replicas per deployment.",
            status.available_replicas.unwrap_or(0),
        ),
        (
            "kube_deployment_status_replicas_unavailable",
            "The number of unavailable replicas per deployment.",
            status.unavailable_replicas.unwrap_or(0),
        ),
        (
            "kube_deployment_status_replicas_updated",
            "The number of updated replicas per deployment.",
            status.updated_replicas.unwrap_or(0),
        ),
    ] {
        families.add(metric, help, &labels, f64::from(value));
    }
}

fn hpa_lines(families: &mut Families, hpa: &HorizontalPodAutoscaler) {
    let namespace = hpa.metadata.namespace.as_deref().unwrap_or_default();
    let name = hpa.metadata.name.as_deref().unwrap_or_default();
    let labels = [("namespace", namespace), ("horizontalpodautoscaler", name)];
    let spec = &hpa.spec;
    let status = hpa.status.clone().unwrap_or_default();
    for (metric, help, value) in [
        (
            "kube_horizontalpodautoscaler_spec_max_replicas",
            "Upper limit for the number of pods that can be set by the autoscaler; cannot be smaller than MinReplicas.",
            spec.max_replicas,
        ),
        (
            "kube_horizontalpodautoscaler_spec_min_replicas",
            "Lower limit for the number of pods that can be set by the autoscaler, default 1.",
            spec.min_replicas.unwrap_or(1),
        ),
        (
            "kube_horizontalpodautoscaler_status_current_replicas",
            "Current number of replicas of pods managed by this autoscaler.",
            status.current_replicas.unwrap_or(0),
        ),
        (
            "kube_horizontalpodautoscaler_status_desired_replicas",
            "Desired number of replicas of pods managed by this autoscaler.",
            status.desired_replicas,
        ),
    ] {
        families.add(metric, help, &labels, f64::from(value));
    }
    for condition in status.conditions.iter().flatten() {
        for value in ["true", "false", "unknown"] {
            families.add(
                "kube_horizontalpodautoscaler_status_condition",
                "The condition of this autoscaler.",
                &[&labels[..], &[("condition", condition.type_.as_str()), ("status", value)]].concat(),
                f64::from(u8::from(condition.status.eq_ignore_ascii_case(value))),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn from<T: serde::de::DeserializeOwned>(value: Value) -> Vec<Arc<T>> {
        vec![Arc::new(serde_json::from_value(value).expect("an object of its kind"))]
    }

    fn state() -> State {
        State {
            pods: from(json!({
                "metadata": {"name": "web-1", "namespace": "a", "uid": "u", "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r", "controller": true}]},
                "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}]},
                "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
                           "containerStatuses": [{"name": "c", "restartCount": 3, "ready": true, "image": "i", "imageID": ""}]}})),
            nodes: from(json!({"metadata": {"name": "n"}, "spec": {"unschedulable": true}, "status": {
                "allocatable": {"cpu": "1900m", "memory": "3185Mi", "pods": "30", "hugepages-2Mi": "0"},
                "conditions": [{"type": "Ready", "status": "True"}]}})),
            deployments: from(
                json!({"metadata": {"name": "web", "namespace": "a"}, "spec": {"replicas": 2, "selector": {}, "template": {}},
                "status": {"replicas": 2, "availableReplicas": 1}}),
            ),
            hpas: from(
                json!({"metadata": {"name": "we\"b", "namespace": "a"}, "spec": {"maxReplicas": 10, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
                "status": {"currentReplicas": 10, "desiredReplicas": 10, "conditions": [{"type": "ScalingLimited", "status": "True"}]}}),
            ),
        }
    }

    #[test]
    fn objects_have_the_genuine_programs_lines() {
        let text = render(&state());
        for line in [
            "# TYPE kube_pod_container_status_restarts_total counter",
            "kube_pod_info{namespace=\"a\",pod=\"web-1\",uid=\"u\",node=\"n\",pod_ip=\"10.0.0.1\",host_ip=\"\",created_by_kind=\"ReplicaSet\",created_by_name=\"web\"} 1",
            "kube_pod_status_phase{namespace=\"a\",pod=\"web-1\",uid=\"u\",phase=\"Running\"} 1",
            "kube_pod_status_phase{namespace=\"a\",pod=\"web-1\",uid=\"u\",phase=\"Pending\"} 0",
            "kube_pod_status_ready{namespace=\"a\",pod=\"web-1\",uid=\"u\",condition=\"true\"} 1",
            "kube_pod_container_resource_requests{namespace=\"a\",pod=\"web-1\",uid=\"u\",container=\"c\",node=\"n\",resource=\"cpu\",unit=\"core\"} 0.5",
            "kube_pod_container_resource_requests{namespace=\"a\",pod=\"web-1\",uid=\"u\",container=\"c\",node=\"n\",resource=\"memory\",unit=\"byte\"} 268435456",
            "kube_pod_container_status_restarts_total{namespace=\"a\",pod=\"web-1\",uid=\"u\",container=\"c\"} 3",
            "kube_node_status_allocatable{node=\"n\",resource=\"cpu\",unit=\"core\"} 1.9000000000000001",
            "kube_node_spec_unschedulable{node=\"n\"} 1",
            "kube_node_status_condition{node=\"n\",condition=\"Ready\",status=\"true\"} 1",
            "kube_deployment_status_replicas_available{namespace=\"a\",deployment=\"web\"} 1",
            "kube_horizontalpodautoscaler_status_current_replicas{namespace=\"a\",horizontalpodautoscaler=\"we\\\"b\"} 10",
            "kube_horizontalpodautoscaler_status_condition{namespace=\"a\",horizontalpodautoscaler=\"we\\\"b\",condition=\"ScalingLimited\",status=\"true\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("hugepages"));
        assert_eq!(text, render(&state()));
    }
}
