//! CPU and memory in use, from `metrics.k8s.io`, which cannot be watched and is polled.

use super::watched::{Signals, client_reason};
use backend_api::cluster::Resources;
use kube::Client;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Readings are no fresher than the metrics server's own interval of 15 s.
const PERIOD: Duration = Duration::from_secs(10);
const PART: &str = "usage";

type ByName = BTreeMap<String, Resources>;

pub struct Usage {
    readings: Arc<Mutex<(ByName, ByName)>>,
    task: tokio::task::JoinHandle<()>,
}

impl Usage {
    pub fn start(client: Client, signals: &Arc<Signals>) -> Usage {
        let readings = Arc::new(Mutex::default());
        let task = tokio::spawn(poll(client, readings.clone(), signals.clone()));
        Usage { readings, task }
    }

    /// Pods by `namespace/name`, nodes by name.
    pub fn current(&self) -> (ByName, ByName) {
        self.readings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(client: Client, readings: Arc<Mutex<(ByName, ByName)>>, signals: Arc<Signals>) {
    loop {
        match read(&client).await {
            Ok(fresh) => {
                *readings.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
                signals.report(PART, None);
                signals.changed.notify_one();
            }
            Err(error) => signals.report(PART, Some(client_reason(&error))),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    usage: Option<Reading>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    namespace: Option<String>,
    name: String,
}

#[derive(Deserialize)]
struct Container {
    usage: Reading,
}

#[derive(Deserialize)]
struct Reading {
    cpu: String,
    memory: String,
}

impl Reading {
    fn resources(&self) -> Resources {
        let parse = |text: &str| text.parse::<units::Quantity>().ok();
        Resources {
            cpu_millicores: parse(&self.cpu).map_or(0, |cpu| u64::try_from(cpu.millicores().0).unwrap_or(0)),
            memory_bytes: parse(&self.memory).map_or(0, |memory| u64::try_from(memory.bytes().0).unwrap_or(0)),
        }
    }
}

async fn read(client: &Client) -> kube::Result<(ByName, ByName)> {
    let pods = list(client, "/apis/metrics.k8s.io/v1beta1/pods").await?;
    let nodes = list(client, "/apis/metrics.k8s.io/v1beta1/nodes").await?;
    Ok((by_name(&pods), by_name(&nodes)))
}

async fn list(client: &Client, path: &str) -> kube::Result<List> {
    let request = axum::http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

fn by_name(list: &List) -> ByName {
    list.items
        .iter()
        .map(|item| {
            let mut sum = item.usage.as_ref().map(Reading::resources).unwrap_or_default();
            item.containers.iter().for_each(|container| sum += container.usage.resources());
            let name = match &item.metadata.namespace {
                Some(namespace) => format!("{namespace}/{}", item.metadata.name),
                None => item.metadata.name.clone(),
            };
            (name, sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_uses_what_its_containers_use() {
        let list: List = serde_json::from_str(
            r#"{"items":[{"metadata":{"namespace":"platform","name":"backend-1"},"containers":[
                {"name":"a","usage":{"cpu":"12345678n","memory":"20Mi"}},{"name":"b","usage":{"cpu":"250m","memory":"1024Ki"}}]},
                {"metadata":{"name":"node-1"},"usage":{"cpu":"1","memory":"1Gi"}}]}"#,
        )
        .expect("a valid list");
        let usage = by_name(&list);
        assert_eq!(usage["platform/backend-1"].memory_bytes, 21 << 20);
        assert!((262..=264).contains(&usage["platform/backend-1"].cpu_millicores));
        assert_eq!(usage["node-1"], Resources { cpu_millicores: 1000, memory_bytes: 1 << 30 });
    }
}
