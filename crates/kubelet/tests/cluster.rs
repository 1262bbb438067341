//! Pods as programs on the nodes of a real API server.

mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube_server::DeleteOptions;
use kube_server::node_agent::{ContainerRef, ExecRequest, LogOptions};
use serde_json::{Value, json};
use support::Cluster;
use tokio::io::AsyncReadExt;

fn state<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let statuses = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    statuses.iter().find(|status| status["name"] == name).map_or(&Value::Null, |status| &status["state"])
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
        .and_then(|condition| condition["status"].as_str())
        .unwrap_or("")
}

fn reference(container: &str) -> ContainerRef {
    ContainerRef { namespace: "default".into(), pod: "web".into(), container: container.into() }
}

async fn log_of(cluster: &Cluster, container: &str, options: LogOptions) -> String {
    let mut reader = cluster.kubelet().node_agent().logs(&reference(container), &options).await.unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_become_ready_nodes_and_leave() {
    let cluster = Cluster::start(None, "").await;
    let names = cluster.add_nodes(2).await;
    let node = cluster.client().get::<Node>(None, &names[0]).unwrap();
    assert_eq!(node.status.as_ref().unwrap().allocatable.as_ref().unwrap()["cpu"].0, "1900m");
    assert!(node.spec.as_ref().unwrap().provider_id.as_deref().unwrap().starts_with("azure:///"));
    cluster.kubelet().machines().delete("backend", &names[..1]).await.unwrap();
    assert!(cluster.client().get::<Node>(None, &names[0]).is_none());
    assert_eq!(cluster.kubelet().machines().pool("backend").unwrap().machines.len(), 1);
}

/// Differs (Isolation `none`): Pods have loopback addresses of this machine; one on which a foreign program listens is
/// left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_gets_no_address_that_a_left_over_program_holds() {
    let cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    // The first address that a pod would get. Another test's pod may have it by now, but nobody else listens there.
    let first = std::net::Ipv4Addr::new(127, 17, 0, 2);
    let _left_over = std::net::TcpListener::bind((first, 0)).unwrap();
    cluster.create_pod(json!({"containers": [{"name": "main", "image": "shell", "args": ["sleep 60"]}]})).await;
    let pod = cluster.wait_for("web", |pod| pod["status"]["podIP"].is_string()).await;
    let given = pod["status"]["podIP"].as_str().unwrap();
    assert!(given.starts_with("127.17.0.") && given != first.to_string(), "{given}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_with_its_environment_files_and_logs_and_ends_cleanly() {
    let cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    let settings = json!({"metadata": {"name": "settings"}, "data": {"greeting": "hello", "file.txt": "first"}});
    cluster.client().create_raw("configmaps", Some("default"), settings).await.unwrap();
    let script = "echo $GREETING from $POD_IP; cat /etc/app/file.txt; echo; echo kubeconfig $(test -f $SA/kubeconfig && echo yes); trap 'echo bye; exit 0' TERM; while true; do sleep 0.05; done";
    cluster
        .create_pod(json!({
            "terminationGracePeriodSeconds": 10,
            "initContainers": [{"name": "first", "image": "shell", "args": ["echo init"]}],
            "containers": [{
                "name": "main", "image": "shell", "args": [script],
                "env": [
                    {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "greeting"}}},
                    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "SA", "value": "/var/run/secrets/kubernetes.io/serviceaccount"},
                ],
                "volumeMounts": [{"name": "files", "mountPath": "/etc/app"}],
                "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo stopping > $TMPDIR/hook"]}}},
            }],
            "volumes": [{"name": "files", "configMap": {"name": "settings", "items": [{"key": "file.txt", "path": "file.txt"}]}}],
        }))
        .await;
    let pod = cluster.wait_for("web", |pod| condition(pod, "Ready") == "True").await;
    let ip = pod["status"]["podIP"].as_str().unwrap().to_owned();
    assert!(ip.starts_with("127."), "{ip}");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(log_of(&cluster, "first", LogOptions::default()).await, "init\n");
    let text = cluster.wait_for_log("web", "main", "kubeconfig").await;
    assert_eq!(text, format!("hello from {ip}\nfirst\nkubeconfig yes\n"));

    let request = ExecRequest {
        container: reference("main"),
        command: vec!["sh".into(), "-c".into(), "echo $GREETING; exit 4".into()],
        stdin: false,
        tty: false,
    };
    let mut session = cluster.kubelet().node_agent().exec(request).await.unwrap();
    let mut output = String::new();
    session.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!((output.as_str(), session.exit.await.unwrap()), ("hello\n", Ok(4)));

    let pid = cluster.main_pid("web", "main");
    cluster.client().delete::<Pod>(Some("default"), "web", &DeleteOptions::default()).await.unwrap();
    cluster.wait_until("the pod is gone", || cluster.client().get::<Pod>(Some("default"), "web").is_none()).await;
    cluster.wait_until("the process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_a_terminal() {
    let cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    cluster.create_pod(json!({"containers": [{"name": "main", "image": "shell", "args": ["sleep 600"]}]})).await;
    cluster.wait_for("web", |pod| condition(pod, "Ready") == "True").await;
    let request = ExecRequest {
        container: reference("main"),
        command: vec!["sh".into(), "-c".into(), "test -t 0 && stty size < /dev/tty; exit 5".into()],
        stdin: true,
        tty: true,
    };
    let mut session = cluster.kubelet().node_agent().exec(request).await.unwrap();
    let mut output = String::new();
    session.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!((output.trim(), session.exit.await.unwrap()), ("0 0", Ok(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_is_restarted_and_then_held_back() {
    let cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    cluster.create_pod(json!({"containers": [{"name": "main", "image": "shell", "args": ["echo run; exit 7"]}]})).await;
    let pod = cluster.wait_for("web", |pod| state(pod, "main")["waiting"]["reason"] == "CrashLoopBackOff").await;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 7);
    assert_eq!(status["restartCount"], 1);
    let previous = log_of(&cluster, "main", LogOptions { previous: true, ..LogOptions::default() }).await;
    assert_eq!(previous, "run\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_image_waits_and_says_what_to_do() {
    let cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    cluster.create_pod(json!({"containers": [{"name": "main", "image": "example.org/unknown:1"}]})).await;
    let pod = cluster.wait_for("web", |pod| !state(pod, "main")["waiting"]["message"].is_null()).await;
    let waiting = &state(&pod, "main")["waiting"];
    assert!(matches!(waiting["reason"].as_str(), Some("ErrImagePull" | "ImagePullBackOff")), "{waiting}");
    for part in ["local/images.yaml", "--isolation sandbox"] {
        assert!(waiting["message"].as_str().unwrap().contains(part), "{waiting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn liveness_restarts_and_a_new_kubelet_adopts() {
    let mut cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    cluster
        .create_pod(json!({"containers": [{
            "name": "main", "image": "shell", "args": ["sleep 600"],
            // Healthy from its first instant: a file that the program makes could be asked for before it is there.
            "livenessProbe": {"exec": {"command": ["sh", "-c", "test ! -f $TMPDIR/broken"]},
                "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 20},
        }]}))
        .await;
    cluster.wait_for("web", |pod| condition(pod, "Ready") == "True").await;
    let pid = cluster.main_pid("web", "main");

    cluster.restart_kubelet().await;
    let pod = cluster.wait_for("web", |pod| condition(pod, "Ready") == "True").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(cluster.main_pid("web", "main"), pid, "nothing was started again");

    let hook = vec!["sh".to_owned(), "-c".to_owned(), "touch $TMPDIR/broken".to_owned()];
    let request = ExecRequest { container: reference("main"), command: hook, stdin: false, tty: false };
    cluster.kubelet().node_agent().exec(request).await.unwrap().exit.await.unwrap().unwrap();
    let pod = cluster.wait_for("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 143);
    tokio::time::timeout(Duration::from_secs(30), cluster.stop()).await.expect("the containers end");
}

/// A container that wants more than its limit is ended by the kernel, and its status says so as upstream's does. Where the
/// host lets no cgroup be made there is nothing to see.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_outgrows_its_memory_limit_is_killed() {
    let name = format!("marea-test-{}", std::process::id());
    match kubelet::Cgroups::find(std::path::Path::new("/sys/fs/cgroup"), &name) {
        Ok(found) => found.remove(),
        Err(_) => return,
    }
    let cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    let grow = "exec python3 -c 'kept = bytearray(256 << 20); print(len(kept))'";
    cluster
        .create_pod(json!({
            "restartPolicy": "Never",
            "containers": [
                {"name": "large", "image": "shell", "args": [grow], "resources": {"limits": {"memory": "64Mi"}}},
                {"name": "small", "image": "shell", "args": ["echo fits"], "resources": {"limits": {"memory": "64Mi"}}},
            ],
        }))
        .await;
    let pod = cluster.wait_for("web", |pod| pod["status"]["phase"] == "Failed").await;
    let ended = &state(&pod, "large")["terminated"];
    assert_eq!((ended["reason"].as_str(), ended["exitCode"].as_i64()), (Some("OOMKilled"), Some(137)), "{pod:#}");
    assert_eq!(state(&pod, "small")["terminated"]["reason"], "Completed");
    cluster.stop().await;
}

/// A pod that writes more into a volume than it may is ended by its node, and not started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_outgrows_a_volume_is_evicted() {
    let cluster = Cluster::start(None, "").await;
    cluster.add_nodes(1).await;
    let write = "head -c 3000000 /dev/zero > /cache/file; sync /cache/file; sleep 600";
    cluster
        .create_pod(json!({
            "terminationGracePeriodSeconds": 600,
            "containers": [{"name": "main", "image": "shell", "args": [write], "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}],
            "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}}],
        }))
        .await;
    let pod = cluster.wait_for("web", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["reason"], "Evicted");
    assert_eq!(pod["status"]["message"], "Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ");
    assert_eq!(condition(&pod, "DisruptionTarget"), "True");
    assert_eq!(state(&pod, "main")["terminated"]["exitCode"], 137);
    cluster.stop().await;
}
