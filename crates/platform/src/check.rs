//! Cross-checks between templates and manifests that neither side can make alone.

use std::fmt;

use crate::{Autoscaler, POOL_LABEL, Platform, Workload, selector};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    UnknownPool { workload: String, pool: String, known: Vec<String> },
    NotTolerated { workload: String, pool: String, taint: String },
    Bounds { hpa: String, min: u32, max: u32 },
    NoTarget { hpa: String, target: String },
    ReplicasRuledTwice { workload: String },
    NoRequest { hpa: String, resource: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownPool { workload, pool, known } => {
                write!(
                    f,
                    "{workload} asks for the pool `{pool}`, which no template has; pools are {}",
                    known.join(", ")
                )
            }
            Problem::NotTolerated { workload, pool, taint } => {
                write!(f, "{workload} asks for the pool `{pool}` and does not tolerate its taint `{taint}`")
            }
            Problem::Bounds { hpa, min, max } => {
                write!(f, "the HPA {hpa} has a minimum of {min} and a maximum of {max}")
            }
            Problem::NoTarget { hpa, target } => write!(f, "the HPA {hpa} scales {target}, which no manifest has"),
            Problem::ReplicasRuledTwice { workload } => write!(f, "{workload} sets `replicas`, which its HPA rules"),
            Problem::NoRequest { hpa, resource } => {
                write!(f, "the HPA {hpa} compares {resource} with the request, and its target requests none")
            }
        }
    }
}

/// Everything that is wrong, in the order of the manifests.
pub fn check(platform: &Platform) -> Vec<Problem> {
    let workloads = platform.workloads.iter().flat_map(|workload| check_pool(platform, workload));
    let autoscalers = platform.hpas.iter().flat_map(|hpa| check_autoscaler(platform, hpa));
    workloads.chain(autoscalers).collect()
}

fn label(workload: &Workload) -> String {
    format!("{} {}/{}", workload.kind, workload.namespace, workload.name)
}

fn check_pool(platform: &Platform, workload: &Workload) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in workload.required_labels.get(POOL_LABEL).into_iter().flatten() {
        let Some(pool) = platform.pools.iter().find(|pool| pool.labels.get(POOL_LABEL) == Some(name)) else {
            let known = platform.pools.iter().map(|pool| format!("`{}`", pool.name)).collect();
            problems.push(Problem::UnknownPool { workload: label(workload), pool: name.clone(), known });
            continue;
        };
        for taint in pool.taints.iter().filter(|taint| !selector::tolerates(&workload.tolerations, taint)) {
            problems.push(Problem::NotTolerated {
                workload: label(workload),
                pool: name.clone(),
                taint: taint.clone(),
            });
        }
    }
    problems
}

fn check_autoscaler(platform: &Platform, hpa: &Autoscaler) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = format!("{}/{}", hpa.namespace, hpa.name);
    if hpa.max < hpa.min || hpa.max == 0 {
        problems.push(Problem::Bounds { hpa: name.clone(), min: hpa.min, max: hpa.max });
    }
    let target = platform
        .workloads
        .iter()
        .find(|w| w.namespace == hpa.namespace && w.name == hpa.target && w.kind == hpa.target_kind);
    let Some(target) = target else {
        problems.push(Problem::NoTarget { hpa: name, target: format!("{} {}", hpa.target_kind, hpa.target) });
        return problems;
    };
    if target.replicas.is_some() {
        problems.push(Problem::ReplicasRuledTwice { workload: label(target) });
    }
    for resource in hpa.utilization_percent.keys() {
        let requested = match resource.as_str() {
            "cpu" => target.cpu.0,
            "memory" => target.memory.0,
            _ => 1,
        };
        if requested == 0 {
            problems.push(Problem::NoRequest { hpa: name.clone(), resource: resource.clone() });
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use arm_model::resources::{AgentPoolProfile, ManagedCluster, ManagedClusterProperties};
    use arm_model::{Resource, Template};
    use serde_json::{Value, json};

    use super::*;

    fn template() -> Template {
        let pool = AgentPoolProfile {
            name: Some("backend".into()),
            node_labels: [(POOL_LABEL.to_owned(), "backend".to_owned())].into(),
            node_taints: vec!["marea.dev/pool=backend:NoSchedule".into()],
            ..AgentPoolProfile::default()
        };
        let cluster = ManagedCluster {
            properties: ManagedClusterProperties {
                agent_pool_profiles: vec![pool],
                ..ManagedClusterProperties::default()
            },
            ..ManagedCluster::default()
        };
        let inner = Template::for_group().resource("cluster", Resource::new("marea", &cluster));
        Template::for_subscription().resource("nested", Resource::nested_in_group("n", "g", &inner, Default::default()))
    }

    fn deployment() -> Value {
        json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}, "spec": {"selector": {}, "template": {"spec": {
            "nodeSelector": {"marea.dev/pool": "backend"},
            "tolerations": [{"key": "marea.dev/pool", "operator": "Equal", "value": "backend", "effect": "NoSchedule"}],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}]}}}})
    }

    fn hpa() -> Value {
        json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "a"}, "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]}})
    }

    /// Starts from one valid platform, breaks one thing, expects one finding.
    fn check_broken(break_it: impl Fn(&mut Value, &mut Value), expected: &[&str]) {
        let (mut deployment, mut hpa) = (deployment(), hpa());
        break_it(&mut deployment, &mut hpa);
        let platform = Platform::new(&[&template()], &[&deployment, &hpa]);
        assert_eq!(check(&platform).iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_defect_has_one_finding() {
        check_broken(|_, _| {}, &[]);
        let pool = "/spec/template/spec/nodeSelector/marea.dev~1pool";
        check_broken(
            |deployment, _| *deployment.pointer_mut(pool).unwrap() = json!("bakend"),
            &["Deployment a/web asks for the pool `bakend`, which no template has; pools are `backend`"],
        );
        check_broken(
            |deployment, _| deployment["spec"]["template"]["spec"]["tolerations"] = json!([]),
            &[
                "Deployment a/web asks for the pool `backend` and does not tolerate its taint `marea.dev/pool=backend:NoSchedule`",
            ],
        );
        check_broken(
            |_, hpa| hpa["spec"]["maxReplicas"] = json!(1),
            &["the HPA a/web has a minimum of 2 and a maximum of 1"],
        );
        check_broken(
            |_, hpa| hpa["spec"]["scaleTargetRef"]["name"] = json!("wob"),
            &["the HPA a/web scales Deployment wob, which no manifest has"],
        );
        check_broken(
            |deployment, _| deployment["spec"]["replicas"] = json!(3),
            &["Deployment a/web sets `replicas`, which its HPA rules"],
        );
        check_broken(
            |deployment, _| deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({}),
            &["the HPA a/web compares cpu with the request, and its target requests none"],
        );
    }
}
