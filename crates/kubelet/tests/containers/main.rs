//! Pods as containers: what a program inside sees and may do, and what a new kubelet finds. Where the kernel forbids
//! namespaces, or crun or nft is missing, the test says so and ends well.
#![expect(clippy::print_stdout, reason = "a test with a `main` of its own reports by itself")]

mod images;
#[path = "../../../oci/tests/registry/server.rs"]
#[expect(dead_code, reason = "written for the tests of the registry's client")]
mod registry;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube_server::DeleteOptions;
use kube_server::node_agent::{ContainerRef, ExecRequest};
use network::sandbox::{self, Router};
use serde_json::{Value, json};
use support::Cluster;
use tokio::io::AsyncReadExt;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        println!("containers: test");
        return ExitCode::SUCCESS;
    }
    for program in ["/usr/sbin/nft", "/usr/bin/crun"] {
        if !std::path::Path::new(program).exists() {
            println!("skipped: {program} is not installed");
            return ExitCode::SUCCESS;
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let holder = [env!("CARGO_BIN_EXE_marea-shim").into(), "hold".into()];
    let entered = match sandbox::enter(directory.path(), &holder) {
        Ok(entered) => entered,
        Err(error) => {
            println!("skipped: {error}");
            return ExitCode::SUCCESS;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let router = Router::open(entered).await.unwrap();
        let outcome = tokio::spawn(everything(Arc::clone(&router))).await;
        router.dismiss();
        outcome.unwrap();
    });
    println!("containers: ok");
    ExitCode::SUCCESS
}

async fn everything(router: Arc<Router>) {
    let folder = tempfile::tempdir().unwrap();
    let tool = images::build(folder.path());
    let entries = tool.as_ref().map_or(String::new(), images::Tool::entries);
    let mut cluster = Cluster::start(Some(Arc::clone(&router)), &entries).await;
    cluster.add_nodes(1).await;
    closed_in(&mut cluster, &router).await;
    refused(&cluster).await;
    outgrown(&cluster, &router).await;
    match tool {
        Some(tool) => images::everything(&mut cluster, &tool).await,
        None => println!("images: skipped: no static program can be compiled here"),
    }
    tokio::time::timeout(Duration::from_secs(30), cluster.stop()).await.expect("the containers end");
}

fn ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Prints one line for each thing that a container may or may not see.
const LOOK_AROUND: &str = r#"
echo user $(id -u):$(id -g)
echo root $(touch /x 2>/dev/null && echo writable || echo read-only)
echo tmp $(touch /tmp/x && echo writable)
echo file $(cat /etc/app/greeting)
echo name $(hostname)
echo servers $(grep nameserver /etc/resolv.conf)
echo address $(grep -c "$POD_IP" /etc/hosts)
echo shadow $(test -e /etc/shadow && echo there || echo absent)
echo host $(test -e "$HOST_FILE" && echo there || echo absent)
echo first $(cat /proc/1/comm)
echo capabilities $(grep CapBnd /proc/self/status)
echo namespaces $(unshare --user true 2>/dev/null && echo made || echo refused)
echo port $(python3 -c "import socket; socket.create_server(('$POD_IP', 80)); print('bound')")
trap 'echo bye; exit 0' TERM
touch /tmp/ready
while true; do sleep 0.05; done
"#;

const SEEN: &str = "user 10001:10002
root read-only
tmp writable
file hello
name web
servers nameserver 10.100.0.10
address 1
shadow absent
host absent
first sh
capabilities CapBnd: 0000000000000000
namespaces refused
port bound
";

async fn closed_in(cluster: &mut Cluster, router: &Arc<Router>) {
    let settings = json!({"metadata": {"name": "settings"}, "data": {"greeting": "hello"}});
    cluster.client().create_raw("configmaps", Some("default"), settings).await.unwrap();
    let own = std::env::current_exe().unwrap();
    cluster
        .create_pod(json!({
            "terminationGracePeriodSeconds": 10,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "runAsGroup": 10002, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "main", "image": "shell", "args": [LOOK_AROUND],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        {"name": "HOST_FILE", "value": own}],
                "volumeMounts": [{"name": "files", "mountPath": "/etc/app"}],
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
            }],
            "volumes": [{"name": "files", "configMap": {"name": "settings"}}],
        }))
        .await;
    let pod = cluster.wait_for("web", ready).await;
    let address = pod["status"]["podIP"].as_str().unwrap();
    assert!(address.starts_with("10.244."), "{address}");
    assert_eq!(cluster.wait_for_log("web", "main", "port").await, SEEN);

    check_exec(cluster, &["sh", "-c", "id -u; exit 4"], false, ("10001", 4)).await;
    check_exec(cluster, &["sh", "-c", "test -t 0 && echo terminal; exit 5"], true, ("terminal", 5)).await;
    follows_resizing(cluster).await;
    let missing = exec(cluster, &["no-such-program"], false).await;
    assert!(missing.is_err_and(|error| error.contains("executable file not found")));

    let pid = cluster.main_pid("web", "main");
    cluster.restart_kubelet().await;
    let pod = cluster.wait_for("web", ready).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(cluster.main_pid("web", "main"), pid, "nothing was started again");

    let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(router.attached(), [uid]);
    cluster.client().delete::<Pod>(Some("default"), "web", &DeleteOptions::default()).await.unwrap();
    cluster.wait_until("the pod is gone", || cluster.client().get::<Pod>(Some("default"), "web").is_none()).await;
    cluster.wait_until("its process is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    cluster.wait_until("its network is gone", || router.attached().is_empty()).await;
}

fn exec_request(command: &[&str], tty: bool) -> ExecRequest {
    ExecRequest {
        container: ContainerRef { namespace: "default".into(), pod: "web".into(), container: "main".into() },
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        stdin: false,
        tty,
    }
}

async fn exec(cluster: &Cluster, command: &[&str], tty: bool) -> Result<(String, i32), String> {
    let mut session =
        cluster.kubelet().node_agent().exec(exec_request(command, tty)).await.map_err(|error| error.to_string())?;
    let mut output = String::new();
    session.stdout.read_to_string(&mut output).await.unwrap();
    let code = session.exit.await.unwrap().unwrap();
    Ok((output.trim().to_owned(), code))
}

async fn check_exec(cluster: &Cluster, command: &[&str], tty: bool, expected: (&str, i32)) {
    let (output, code) = exec(cluster, command, tty).await.unwrap();
    assert_eq!((output.as_str(), code), expected, "{command:?}");
}

/// The command ends once its terminal has the size that was sent.
async fn follows_resizing(cluster: &Cluster) {
    let command = ["sh", "-c", r#"until [ "$(stty size)" = "40 120" ]; do sleep 0.05; done; echo "$TERM""#];
    let mut session = cluster.kubelet().node_agent().exec(exec_request(&command, true)).await.unwrap();
    session.resize.as_ref().unwrap().send((120, 40)).unwrap();
    let mut output = String::new();
    let read = session.stdout.read_to_string(&mut output);
    tokio::time::timeout(std::time::Duration::from_secs(60), read).await.expect("the size arrives").unwrap();
    assert_eq!(output.trim(), "xterm");
}

/// Root where the pod forbids it is refused before anything runs.
async fn refused(cluster: &Cluster) {
    cluster
        .create_pod(json!({
            "securityContext": {"runAsNonRoot": true},
            "containers": [{"name": "main", "image": "shell", "args": ["sleep 600"]}],
        }))
        .await;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    let pod = cluster.wait_for("web", |pod| waiting(pod)["reason"] == "CreateContainerConfigError").await;
    assert!(waiting(&pod)["message"].as_str().unwrap().contains("runAsNonRoot"), "{pod}");
}

/// As without the sandbox: the kernel keeps a container to its memory limit, where cgroups can be made.
async fn outgrown(cluster: &Cluster, router: &Router) {
    match kubelet::Cgroups::find(&router.cgroups(), &format!("marea-test-{}", std::process::id())) {
        Ok(found) => found.remove(),
        Err(reason) => return println!("memory limits: skipped: {reason}"),
    }
    cluster.client().delete::<Pod>(Some("default"), "web", &DeleteOptions::default()).await.unwrap();
    cluster.wait_until("the pod is gone", || cluster.client().get::<Pod>(Some("default"), "web").is_none()).await;
    cluster
        .create_pod(json!({
            "restartPolicy": "Never",
            "containers": [{
                "name": "main", "image": "shell", "args": ["exec python3 -c 'kept = bytearray(256 << 20)'"],
                "resources": {"limits": {"memory": "64Mi"}},
            }],
        }))
        .await;
    let pod = cluster.wait_for("web", |pod| pod["status"]["phase"] == "Failed").await;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((ended["reason"].as_str(), ended["exitCode"].as_i64()), (Some("OOMKilled"), Some(137)), "{pod:#}");
}
