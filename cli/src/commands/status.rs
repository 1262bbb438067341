//! `marea status`: what there is, now.

mod dashboard;
mod detail;
mod rate;
mod screen;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use futures::future::try_join4;
use serde_json::{Value, json};
use stack::arm::Live;
use stack::cluster::{Cluster, ClusterError, applied_objects, kind};

use crate::args::{StackName, Status};
use crate::cloud;
use crate::error::Result;
use crate::project::Project;
use crate::session::Session;
use crate::stacks::{Known, serving, up};
use crate::terminal::{Terminal, print, print_json};

const INTERVAL: Duration = Duration::from_secs(1);

/// What is deployed changes rarely; it is priced and counted anew this often.
const RATE_AGE: Duration = Duration::from_secs(30);

pub async fn run(args: &Status) -> Result<()> {
    let terminal = Terminal::new();
    let session = Session::open(Project::find()?, &args.env, false, &terminal).await?;
    terminal.clear();
    let (rates, counts) = (Rates::default(), Counts::default());
    if args.watch && !args.json && can_draw() {
        // The first reading's error is told as such; later ones are shown and tried again.
        let first = read(&session, &rates, &counts, true).await?;
        return dashboard::run(first, || read(&session, &rates, &counts, true)).await;
    }
    loop {
        let status = read(&session, &rates, &counts, false).await?;
        if args.json {
            print_json(&status);
        } else {
            print(&render(&status));
        }
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A terminal on both sides, and one that can move its cursor.
fn can_draw() -> bool {
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && !dumb
}

/// The price of what is deployed, and when it was looked up.
#[derive(Default)]
struct Rates(tokio::sync::Mutex<Option<(Instant, rate::Rate)>>);

impl Rates {
    async fn now(&self, session: &Session, known: &Known, pools: &Value) -> Value {
        let mut cached = self.0.lock().await;
        if cached.as_ref().is_none_or(|(at, _)| at.elapsed() > RATE_AGE) {
            match rate::Rate::new(session, known).await {
                Ok(rate) => *cached = Some((Instant::now(), rate)),
                Err(error) => return json!({"unknown": error.message}),
            }
        }
        cached.as_ref().map(|(_, rate)| rate.now(pools)).unwrap_or_default()
    }
}

/// The number of objects that deploy applied, and when they were counted: that asks for every kind of them.
#[derive(Default)]
struct Counts(tokio::sync::Mutex<Option<(Instant, usize)>>);

impl Counts {
    async fn now(&self, cluster: &Cluster) -> std::result::Result<usize, ClusterError> {
        let mut cached = self.0.lock().await;
        match *cached {
            Some((at, count)) if at.elapsed() <= RATE_AGE => Ok(count),
            _ => {
                let count = applied_objects(cluster).await?;
                *cached = Some((Instant::now(), count));
                Ok(count)
            }
        }
    }
}

/// With `detail` also nodes, pods and events.
async fn read(session: &Session, rates: &Rates, counts: &Counts, detail: bool) -> Result<Value> {
    let known = up::read_known(session).await?;
    let problems = if session.is_local() { cloud::problems().await? } else { Vec::new() };
    let mut status = json!({
        "console": session.console_url,
        "environment": session.environment,
        "stacks": [stack_status(StackName::Base, known.base.as_ref()), stack_status(StackName::Db, known.db.as_ref())],
        "pools": [],
        "hpas": [],
        "problems": problems,
        "isolation": if session.is_local() { cloud::running()?.isolation } else { None },
    });
    let Some(base) = known.base_outputs() else { return Ok(status) };
    let cluster = session.cluster(&base.cluster_id).await?;
    let cluster_resource = session.arm.find(&base.cluster_id, "2026-05-01").await?.unwrap_or_default();
    let list = |api_version: &'static str, name: &'static str| {
        let cluster = cluster.clone();
        async move {
            match kind(api_version, name) {
                Some(kind) => cluster.list(kind, "").await,
                None => Ok::<_, ClusterError>(Vec::new()),
            }
        }
    };
    let nodes = list_path(&cluster, "/api/v1/nodes");
    let pods = list_path(&cluster, "/api/v1/pods");
    let (nodes, pods, hpas, deployments) =
        try_join4(nodes, pods, list("autoscaling/v2", "HorizontalPodAutoscaler"), list("apps/v1", "Deployment"))
            .await?;
    let managed: Vec<&Value> = deployments
        .iter()
        .filter(|item| item["metadata"]["labels"]["applyset.kubernetes.io/part-of"].is_string())
        .collect();
    if let (false, Some(stacks)) = (managed.is_empty(), status["stacks"].as_array_mut()) {
        stacks.push(deploy_status(&managed, counts.now(&cluster).await?));
    }
    status["pools"] = pools(&cluster_resource, &nodes, &pods);
    status["hpas"] = hpas.iter().map(hpa_status).collect();
    status["cost"] = rates.now(session, &known, &status["pools"]).await;
    if detail {
        // Metrics come a while after the nodes, and some clusters serve none.
        let usage = list_path(&cluster, "/apis/metrics.k8s.io/v1beta1/nodes").await.unwrap_or_default();
        status["nodes"] = detail::nodes(&nodes, &pods, &usage);
        status["pods"] = detail::pods(&pods);
        status["events"] = detail::events(&list_path(&cluster, "/api/v1/events").await?);
    }
    status["console"] = json!(serving::address(session, &cluster).await?);
    Ok(status)
}

async fn list_path(cluster: &Cluster, path: &str) -> std::result::Result<Vec<Value>, ClusterError> {
    let list = cluster.get(path).await?.unwrap_or_default();
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn stack_status(stack: StackName, live: Option<&Live>) -> Value {
    match live {
        Some(live) => {
            json!({"name": stack.name(), "state": live.state, "resources": live.resources.len(), "commit": live.tags.get("marea-commit")})
        }
        None => json!({"name": stack.name(), "state": "absent", "resources": 0}),
    }
}

fn deploy_status(deployments: &[&Value], objects: usize) -> Value {
    let available = |item: &Value| {
        item["status"]["availableReplicas"].as_u64() >= item["spec"]["replicas"].as_u64().or(Some(0))
            || item["spec"]["replicas"] == 0
    };
    let waiting: Vec<&str> = deployments
        .iter()
        .filter(|item| !available(item))
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect();
    let state = if waiting.is_empty() { "succeeded" } else { "rolling out" };
    json!({"name": "deploy", "state": state, "resources": objects, "waitingFor": waiting})
}

fn is_ready(node: &Value) -> bool {
    node["status"]["conditions"].as_array().is_some_and(|conditions| {
        conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    })
}

fn pool_of(node: &Value) -> Option<&str> {
    let labels = &node["metadata"]["labels"];
    labels["kubernetes.azure.com/agentpool"].as_str().or_else(|| labels["marea.dev/pool"].as_str())
}

/// Pools as ARM declares them, with the nodes that the cluster has of each.
fn pools(cluster: &Value, nodes: &[Value], pods: &[Value]) -> Value {
    let mut by_pool: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for node in nodes {
        if let Some(pool) = pool_of(node) {
            by_pool.entry(pool).or_default().push(node);
        }
    }
    let empty = Vec::new();
    let profiles = cluster.pointer("/properties/agentPoolProfiles").and_then(Value::as_array).unwrap_or(&empty);
    let rows = profiles.iter().map(|profile| {
        let name = profile["name"].as_str().unwrap_or_default();
        let nodes = by_pool.get(name).cloned().unwrap_or_default();
        let on_pool = |pod: &&Value| nodes.iter().any(|node| node["metadata"]["name"] == pod["spec"]["nodeName"]);
        json!({
            "name": name,
            "vmSize": profile["vmSize"],
            "min": profile.get("minCount").filter(|value| !value.is_null()).unwrap_or(&profile["count"]),
            "max": profile.get("maxCount").filter(|value| !value.is_null()).unwrap_or(&profile["count"]),
            "nodes": nodes.len(),
            "ready": nodes.iter().filter(|node| is_ready(node)).count(),
            "pods": pods.iter().filter(on_pool).count(),
        })
    });
    rows.collect()
}

fn hpa_status(hpa: &Value) -> Value {
    let (spec, status) = (&hpa["spec"], &hpa["status"]);
    let target_of = |name: &str| {
        let metrics = spec["metrics"].as_array().into_iter().flatten();
        metrics
            .map(|metric| &metric["resource"])
            .find(|resource| resource["name"] == name)
            .map(|resource| resource["target"]["averageUtilization"].clone())
    };
    let metrics: Vec<Value> = status["currentMetrics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|metric| {
            let name = metric["resource"]["name"].as_str()?;
            Some(json!({"name": name, "utilization": metric["resource"]["current"]["averageUtilization"], "target": target_of(name)}))
        })
        .collect();
    let conditions: BTreeMap<&str, String> = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|condition| {
            Some((
                condition["type"].as_str()?,
                format!("{}/{}", condition["status"].as_str()?, condition["reason"].as_str().unwrap_or_default()),
            ))
        })
        .collect();
    json!({
        "namespace": hpa["metadata"]["namespace"],
        "name": hpa["metadata"]["name"],
        "min": spec["minReplicas"],
        "max": spec["maxReplicas"],
        "current": status["currentReplicas"],
        "desired": status["desiredReplicas"],
        "metrics": metrics,
        "conditions": conditions,
        "reason": detail::hpa_reason(hpa),
    })
}

fn render(status: &Value) -> String {
    let text = |value: &Value| {
        value.as_str().map_or_else(|| if value.is_null() { "-".to_owned() } else { value.to_string() }, str::to_owned)
    };
    let rows = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let mut out = format!("Console: {}\n", text(&status["console"]));
    if let Some(cost) = rate::text(&status["cost"]) {
        out.push_str(&format!("Cost: {cost}\n"));
    }
    if status["isolation"] == "none" {
        out.push_str("Isolation: none: pods are plain processes; network policies, security groups and CPU limits are not enforced\n");
    }
    for problem in rows("problems") {
        out.push_str(&format!("Note: {}\n", text(&problem)));
    }
    out.push_str("\nSTACK    STATE         RESOURCES\n");
    for stack in rows("stacks") {
        out.push_str(&format!(
            "{:<8} {:<13} {}\n",
            text(&stack["name"]),
            text(&stack["state"]),
            text(&stack["resources"])
        ));
    }
    out.push_str("\nPOOL         SIZE           NODES  READY  MIN-MAX  PODS\n");
    for pool in rows("pools") {
        let bounds = format!("{}-{}", text(&pool["min"]), text(&pool["max"]));
        out.push_str(&format!(
            "{:<12} {:<14} {:>5}  {:>5}  {:>7}  {:>4}\n",
            text(&pool["name"]),
            text(&pool["vmSize"]),
            text(&pool["nodes"]),
            text(&pool["ready"]),
            bounds,
            text(&pool["pods"])
        ));
    }
    out.push_str("\nHPA                    REPLICAS  MIN-MAX  METRICS\n");
    for hpa in rows("hpas") {
        let metrics: Vec<String> = hpa["metrics"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|metric| {
                format!("{} {}%/{}%", text(&metric["name"]), text(&metric["utilization"]), text(&metric["target"]))
            })
            .collect();
        let name = format!("{}/{}", text(&hpa["namespace"]), text(&hpa["name"]));
        let bounds = format!("{}-{}", text(&hpa["min"]), text(&hpa["max"]));
        out.push_str(&format!("{name:<22} {:>8}  {bounds:>7}  {}\n", text(&hpa["current"]), metrics.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_count_their_nodes_and_pods() {
        let cluster = json!({"properties": {"agentPoolProfiles": [{"name": "backend", "vmSize": "Standard_B2s", "minCount": 1, "maxCount": 5, "count": 2}, {"name": "systempool", "count": 1}]}});
        let node = |name: &str, ready: &str| json!({"metadata": {"name": name, "labels": {"marea.dev/pool": "backend"}}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let pods = [json!({"spec": {"nodeName": "a"}}), json!({"spec": {}})];
        let found = pools(&cluster, &[node("a", "True"), node("b", "False")], &pods);
        assert_eq!(
            found[0],
            json!({"name": "backend", "vmSize": "Standard_B2s", "min": 1, "max": 5, "nodes": 2, "ready": 1, "pods": 1})
        );
        assert_eq!((&found[1]["min"], &found[1]["nodes"]), (&json!(1), &json!(0)));
    }

    #[test]
    fn deploy_counts_its_objects_and_names_what_rolls_out() {
        let deployment = |name: &str, available: u64| json!({"metadata": {"name": name}, "spec": {"replicas": 2}, "status": {"availableReplicas": available}});
        let (ready, waiting) = (deployment("frontend", 2), deployment("backend", 1));
        assert_eq!(
            deploy_status(&[&ready, &waiting], 77),
            json!({"name": "deploy", "state": "rolling out", "resources": 77, "waitingFor": ["backend"]})
        );
        assert_eq!(deploy_status(&[&ready], 77)["state"], "succeeded");
    }

    #[test]
    fn an_autoscaler_shows_utilization_beside_its_target() {
        let hpa = json!({"metadata": {"namespace": "platform", "name": "backend"},
            "spec": {"minReplicas": 2, "maxReplicas": 10, "metrics": [{"resource": {"name": "cpu", "target": {"averageUtilization": 70}}}]},
            "status": {"currentReplicas": 3, "desiredReplicas": 4, "currentMetrics": [{"resource": {"name": "cpu", "current": {"averageUtilization": 88}}}],
                "conditions": [{"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"}]}});
        let found = hpa_status(&hpa);
        assert_eq!(found["metrics"], json!([{"name": "cpu", "utilization": 88, "target": 70}]));
        assert_eq!(found["conditions"]["AbleToScale"], "True/ReadyForNewScale");
        let text = render(
            &json!({"console": "http://x", "stacks": [], "pools": [], "hpas": [found], "isolation": "none", "problems": ["no port"]}),
        );
        assert!(text.contains("\nNote: no port\n"), "{text}");
        assert!(text.contains("platform/backend              3     2-10  cpu 88%/70%"), "{text}");
    }
}
