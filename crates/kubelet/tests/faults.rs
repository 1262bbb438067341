//! Pods and machines that are killed or stand still, and come back.

mod support;

use kube_server::node_agent::{ContainerRef, LogOptions};
use kubelet::faults::{Condition, NodeFault};
use serde_json::{Value, json};
use support::Cluster;

/// A cluster with one machine and on it the pod `web`, which runs.
async fn with_a_pod() -> (Cluster, String) {
    let cluster = Cluster::start(None, "").await;
    let node = cluster.add_nodes(1).await.remove(0);
    let script = "echo up; while true; do sleep 600; done";
    cluster.create_pod(json!({"containers": [{"name": "main", "image": "shell", "args": [script]}]})).await;
    cluster.wait_for("web", is_running).await;
    cluster.wait_for_log("web", "main", "up").await;
    (cluster, node)
}

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

fn is_running(pod: &Value) -> bool {
    container(pod)["state"]["running"].is_object()
}

fn restarted_once(pod: &Value) -> bool {
    is_running(pod) && container(pod)["restartCount"] == 1
}

fn web(cluster: &Cluster) -> Option<Condition> {
    let pods = cluster.kubelet().pod_conditions();
    pods.into_iter().find(|((_, name), _)| name == "web").map(|(_, condition)| condition)
}

fn is_alive(pid: i32) -> bool {
    kubelet::process::Identity::of(pid).is_ok_and(|identity| identity.is_alive())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pod_is_restarted() {
    let (cluster, _) = with_a_pod().await;
    cluster.kubelet().kill_pod("default", "web").unwrap();
    let pod = cluster.wait_for("web", restarted_once).await;
    assert_eq!(container(&pod)["lastState"]["terminated"]["exitCode"], 137);
    let unknown = cluster.kubelet().kill_pod("default", "there-is-none").unwrap_err().to_string();
    assert!(unknown.contains("default/there-is-none"), "{unknown}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_pod_stands_still_with_all_its_processes_until_it_is_healed() {
    let (mut cluster, _) = with_a_pod().await;
    let pid = cluster.main_pid("web", "main");
    let children = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    // Until the child has become another program the shell waits in the kernel, where it cannot be stopped (vfork).
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    cluster.wait_until("the shell has its sleep", || name(children().trim()).trim() == "sleep").await;
    let child: i32 = children().trim().parse().unwrap();
    let stopped = |pid| kubelet::process::is_stopped(pid);

    cluster.kubelet().pause_pod("default", "web").unwrap();
    cluster.wait_until("both stand still", || stopped(pid) && stopped(child)).await;
    assert_eq!(web(&cluster), Some(Condition::Paused));
    cluster.kubelet().heal_pod("default", "web").unwrap();
    cluster.wait_until("both go on", || !stopped(pid) && !stopped(child)).await;
    assert_eq!(web(&cluster), Some(Condition::Running));

    // A kubelet that starts anew knows of no fault, so there is none.
    cluster.kubelet().pause_pod("default", "web").unwrap();
    cluster.restart_kubelet().await;
    cluster.wait_until("both go on after a restart", || !stopped(pid) && !stopped(child)).await;
    cluster.stop().await;
}

/// Differs (Kubelet): A machine without power keeps its disk and its name, as a stopped virtual machine would; its pods
/// start again from their images.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_power_runs_nothing_until_it_boots_again() {
    let (cluster, node) = with_a_pod().await;
    let kubelet = cluster.kubelet();
    let pid = cluster.main_pid("web", "main");
    kubelet.break_node(&node, NodeFault::Off).unwrap();
    assert_eq!(kubelet.node_conditions(), [(node.clone(), Condition::Off)]);
    // What watches the program learns of its end a moment after it.
    cluster.wait_until("its program is known to have ended", || web(&cluster) == Some(Condition::Off)).await;
    assert!(!is_alive(pid));
    // Nobody is there to say what became of the pod, and its log cannot be read.
    let pod = cluster.client().get_raw("pods", Some("default"), "web").unwrap();
    assert!(is_running(&pod) && container(&pod)["restartCount"] == 0, "{}", pod["status"]);
    let reference = ContainerRef { namespace: "default".into(), pod: "web".into(), container: "main".into() };
    let log = kubelet.node_agent().logs(&reference, &LogOptions::default()).await;
    assert!(log.err().unwrap().to_string().contains(&node));

    kubelet.heal_node(&node).await.unwrap();
    let pod = cluster.wait_for("web", restarted_once).await;
    assert_eq!(container(&pod)["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(kubelet.node_conditions(), [(node, Condition::Running)]);
    assert!(kubelet.break_node("there-is-none", NodeFault::Off).is_err());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_machine_can_be_healed_or_deleted() {
    let (cluster, node) = with_a_pod().await;
    let kubelet = cluster.kubelet();
    let pid = cluster.main_pid("web", "main");
    kubelet.break_node(&node, NodeFault::Paused).unwrap();
    cluster.wait_until("its program stands still", || web(&cluster) == Some(Condition::Paused)).await;
    kubelet.heal_node(&node).await.unwrap();
    cluster.wait_until("its program goes on", || web(&cluster) == Some(Condition::Running)).await;
    assert_eq!(cluster.main_pid("web", "main"), pid);

    kubelet.break_node(&node, NodeFault::Paused).unwrap();
    kubelet.machines().delete("backend", std::slice::from_ref(&node)).await.unwrap();
    cluster.wait_until("what ran on the deleted machine has ended", || !is_alive(pid)).await;
    assert!(kubelet.node_conditions().is_empty());
    cluster.stop().await;
}
