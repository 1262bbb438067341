//! A cluster in process: the real API server, the real controllers, nodes that only pretend to run pods.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, NodeSpec, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::serde::de::DeserializeOwned;
use kube_controllers::{Config, Controllers, NodeGroups};
use kube_server::{Client, DecisionFilter, DeleteOptions, NodeAgent};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::broadcast::error::RecvError;
use units::{Millis, Timestamp};

use crate::agent::FakeAgent;
use crate::groups::FakeGroups;

/// Far beyond what any wait here takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct Cluster {
    pub client: Client,
    pub controllers: Controllers,
    pub agent: Arc<FakeAgent>,
    pub groups: Arc<FakeGroups>,
    pub journal: TempDir,
    _server: crate::server::Server,
    kubelet: tokio::task::JoinHandle<()>,
}

/// Upstream's rhythms, but the HPA and the autoscaler do not let tests wait.
pub fn quick() -> Config {
    let mut config =
        Config { hpa_sync: Millis(50), root_ca_pem: "the cluster's authority".to_owned(), ..Config::default() };
    config.hpa.sync_period = Millis(50);
    config.hpa.downscale_stabilization = Millis(200);
    config.hpa.cpu_initialization_period = Millis(0);
    config.hpa.initial_readiness_delay = Millis(0);
    config.autoscaler.scan_interval = Millis(50);
    config.autoscaler.scale_down_delay_after_add = Millis(100);
    config.autoscaler.scale_down_delay_after_delete = Millis(50);
    config.autoscaler.scale_down_unneeded_time = Millis(300);
    config
}

impl Cluster {
    pub async fn start() -> Cluster {
        Cluster::with(quick()).await
    }

    pub async fn with(config: Config) -> Cluster {
        let agent = Arc::new(FakeAgent::default());
        let (server, client) = crate::server::start(agent.clone() as Arc<dyn NodeAgent>).await;
        agent.connect(client.clone());
        for name in ["default", "kube-system", "kube-node-lease"] {
            if client.get::<Namespace>(None, name).is_none() {
                create::<Namespace>(&client, json!({"metadata": {"name": name}})).await;
            }
        }
        let groups = Arc::new(FakeGroups::new(client.clone()));
        let journal = tempfile::tempdir().unwrap();
        let controllers = kube_controllers::start(
            client.clone(),
            config,
            groups.clone() as Arc<dyn NodeGroups>,
            journal.path().to_owned(),
        );
        server.inner.set_decision_source(controllers.decision_source());
        let kubelet = tokio::spawn(run_pods(client.clone(), agent.clone()));
        let cluster = Cluster { client, controllers, agent, groups, journal, _server: server, kubelet };
        cluster
            .until("the default service account", |c| {
                c.get::<k8s_openapi::api::core::v1::ServiceAccount>(Some("default"), "default").is_some()
            })
            .await;
        cluster
    }

    pub async fn add_node(&self, name: &str, cpu: &str) {
        add_node(&self.client, name, cpu, json!({})).await;
    }

    pub async fn create<K: kube_server::Object + DeserializeOwned>(&self, object: Value) -> K {
        create(&self.client, object).await
    }

    /// Waits until `condition` holds, looking again at every change.
    pub async fn until(&self, what: &str, condition: impl Fn(&Client) -> bool) {
        let mut changes = self.client.subscribe();
        let wait = async {
            while !condition(&self.client) {
                // What does not change the API, such as a fake's own state, is looked at now and then.
                let _ = tokio::time::timeout(Duration::from_millis(100), changes.recv()).await;
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            panic!("waited in vain for {what}\n{}", self.describe());
        }
    }

    pub fn pods(&self, app: &str) -> Vec<Arc<Pod>> {
        pods(&self.client, app)
    }

    /// What a person would look at first.
    fn describe(&self) -> String {
        let mut text = String::new();
        for pod in self.client.list::<Pod>(None) {
            let status = pod.status.clone().unwrap_or_default();
            text.push_str(&format!("pod {:?} {:?} {:?}\n", pod.metadata.name, status.phase, status.conditions));
        }
        for deployment in self.client.list::<Deployment>(None) {
            text.push_str(&format!("deployment {:?} {:?}\n", deployment.metadata.name, deployment.status));
        }
        for budget in self.client.list::<PodDisruptionBudget>(None) {
            text.push_str(&format!("budget {:?} {:?}\n", budget.metadata.name, budget.status));
        }
        let filter = DecisionFilter { kind: Some("pool".into()), ..DecisionFilter::default() };
        if let Some(last) = self.controllers.decision_source().decisions(&filter).last() {
            text.push_str(&format!("last decision on the pool {last:?}\n"));
        }
        for event in self.client.list::<k8s_openapi::api::core::v1::Event>(None) {
            text.push_str(&format!("event {:?} {:?} {:?}\n", event.involved_object.name, event.reason, event.message));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kubelet.abort();
    }
}

pub async fn create<K: kube_server::Object + DeserializeOwned>(client: &Client, object: Value) -> K {
    let mut object = object;
    object["apiVersion"] = json!(K::API_VERSION);
    object["kind"] = json!(K::KIND);
    let typed: K = serde_json::from_value(object).expect("a well-formed object");
    client.create(typed.metadata().namespace.as_deref(), &typed).await.expect("the object is accepted")
}

pub fn pods(client: &Client, app: &str) -> Vec<Arc<Pod>> {
    let mut pods = client.list::<Pod>(Some("default"));
    pods.retain(|pod| {
        pod.metadata.labels.as_ref().and_then(|labels| labels.get("app")).is_some_and(|label| label == app)
    });
    pods
}

pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub fn now() -> Time {
    Time(k8s_openapi::jiff::Timestamp::now())
}

pub async fn add_node(client: &Client, name: &str, cpu: &str, labels: Value) {
    let node: Node = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels},
    }))
    .unwrap();
    client.create(None, &Node { spec: Some(NodeSpec::default()), ..node }).await.expect("the node is accepted");
    let amounts = json!({"cpu": cpu, "memory": "4Gi", "pods": "30"});
    let time = Timestamp::from(now().0).rfc3339();
    let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": time, "lastTransitionTime": time});
    let status = json!({"status": {"allocatable": amounts, "capacity": amounts, "conditions": [ready]}});
    client.patch_status::<Node>(None, name, &status).await.expect("the node's status is accepted");
}

/// Every bound pod runs and is ready at once, gets an address, and goes when it is deleted. A pod labelled
/// `test/exit: Succeeded` ends at once; one labelled `test/never-ready` does not become ready.
async fn run_pods(client: Client, agent: Arc<FakeAgent>) {
    let mut changes = client.subscribe();
    let addresses = Mutex::new(0_u32);
    loop {
        for pod in client.list::<Pod>(None) {
            let on_node = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            if !on_node || agent.holds(&pod) {
                continue;
            }
            if pod.metadata.deletion_timestamp.is_some() {
                let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
                let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref().unwrap());
                let _ = client.delete::<Pod>(namespace, name, &options).await;
            } else if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending") {
                start_pod(&client, &pod, &addresses).await;
            }
        }
        tokio::select! {
            change = changes.recv() => if change.is_err_and(|error| error == RecvError::Closed) {
                return;
            },
            () = agent.woken.notified() => {}
        }
    }
}

async fn start_pod(client: &Client, pod: &Pod, addresses: &Mutex<u32>) {
    let label = |name: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
    let address = {
        let mut next = addresses.lock();
        *next += 1;
        format!("10.244.{}.{}", *next / 250, *next % 250 + 1)
    };
    let time = Timestamp::from(now().0).rfc3339();
    let ready = if label("test/never-ready").is_some() { "False" } else { "True" };
    let mut conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.retain(|condition| condition.type_ != "Ready");
    let mut conditions = serde_json::to_value(conditions).unwrap();
    conditions.as_array_mut().unwrap().push(json!({"type": "Ready", "status": ready, "lastTransitionTime": time}));
    let phase = label("test/exit").unwrap_or_else(|| "Running".to_owned());
    let status = json!({"status": {
        "phase": phase, "podIP": address, "podIPs": [{"ip": address}], "startTime": time, "conditions": conditions,
    }});
    let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref().unwrap());
    let _ = client.patch_status::<Pod>(namespace, name, &status).await;
}

pub fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.into()), namespace: Some("default".into()), ..ObjectMeta::default() }
}

pub fn deployment(name: &str, replicas: i32, image: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name, image, cpu)},
    })
}

pub fn template(app: &str, image: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": image, "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]},
    })
}
