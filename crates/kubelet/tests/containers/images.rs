//! Pods from images of their own: out of a layout, and pulled from a registry that the test starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube_server::DeleteOptions;
use oci::{Contents, Credential, Digest, Image, Layer, Layout, Program, Reference, Registry};
use serde_json::{Value, json};

use crate::ready;
use crate::registry::{Access, Server};
use crate::support::Cluster;

/// Says what it sees, then waits for one signal; another one is ignored.
const SOURCE: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    char folder[64], line[64] = "nothing\n";
    sigset_t quit;
    sigemptyset(&quit);
    sigaddset(&quit, SIGQUIT);
    sigprocmask(SIG_BLOCK, &quit, NULL);
    signal(SIGTERM, SIG_IGN);
    printf("words");
    for (int at = 1; at < count; at++) printf(" %s", words[at]);
    printf("\nuser %d:%d\nin %s\n", getuid(), getgid(), getcwd(folder, sizeof folder));
    printf("color %s, host %s\n", getenv("COLOR"), getenv("HOSTNAME"));
    printf("root %s\n", fopen("/written", "w") ? "writable" : "read-only");
    FILE *file = fopen("/etc/motd", "r");
    if (file) fgets(line, sizeof line, file);
    printf("motd %sready\n", line);
    fflush(stdout);
    int signal;
    return sigwait(&quit, &signal);
}
"#;

/// A built image and where it is.
struct Built {
    layout: PathBuf,
    digest: Digest,
    size: u64,
}

/// The same program in two images.
pub struct Tool {
    local: Built,
    remote: Built,
}

impl Tool {
    pub fn entries(&self) -> String {
        format!("  - {{image: images.example/tool, layout: {}}}\n", self.local.layout.display())
    }
}

/// None where there is no compiler that links statically.
pub fn build(folder: &Path) -> Option<Tool> {
    let (source, program) = (folder.join("tool.c"), folder.join("tool"));
    std::fs::write(&source, SOURCE).unwrap();
    let compiled = Command::new("cc").args(["-static", "-o"]).arg(&program).arg(&source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        return None;
    }
    let program = Program::read(&program).unwrap();
    let image = |name: &str| image(&folder.join(name), &program, name);
    Some(Tool { local: image("local"), remote: image("remote") })
}

fn image(layout: &Path, program: &Program, motd: &str) -> Built {
    let mut layer = Layer::default();
    layer.file("tool", true, program.bytes.clone()).file("etc/motd", false, format!("{motd}\n"));
    let contents = Contents {
        layer,
        architecture: program.architecture,
        created: Timestamp::UNIX_EPOCH,
        created_by: "a test".into(),
        user: "10001:10002".into(),
        entrypoint: vec!["/tool".into()],
        env: vec![("COLOR".into(), "green".into())],
        port: 80,
        stop_signal: "SIGQUIT".into(),
        labels: BTreeMap::new(),
    };
    let image = Image::build(&contents, None, "tool", &Layout::create(layout).unwrap()).unwrap();
    Built { layout: layout.to_owned(), digest: image.manifest.digest, size: image.size - image.manifest.size }
}

pub async fn everything(cluster: &mut Cluster, tool: &Tool) {
    from_a_layout(cluster, &tool.local).await;
    let server = Server::start(Access::Bearer).await;
    let reference = Reference::parse(&format!("{}/team/tool:1", server.address)).unwrap();
    let me = Credential::Password { username: "me".into(), password: "secret".into() };
    let layout = Layout::open(&tool.remote.layout).unwrap();
    Registry::new(&reference, Some(me)).unwrap().push(&layout, &reference, None, |_, _| {}).await.unwrap();
    from_a_registry(cluster, &tool.remote, &server).await;
    not_to_be_had(cluster, tool, &server).await;
}

fn waiting(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]["waiting"]
}

/// Deletes the pod; one that ignores its stop signal would outlive every deadline.
async fn delete(cluster: &Cluster) {
    cluster.client().delete::<Pod>(Some("default"), "web", &DeleteOptions::default()).await.unwrap();
    cluster.wait_until("the pod is gone", || cluster.client().get::<Pod>(Some("default"), "web").is_none()).await;
}

async fn wait_for_event(cluster: &Cluster, reason: &str, part: &str) {
    let there = || {
        let events = cluster.client().list::<Event>(Some("default"));
        let fits = |event: &Event| {
            event.reason.as_deref() == Some(reason) && event.message.as_deref().is_some_and(|text| text.contains(part))
        };
        events.iter().any(|event| fits(event))
    };
    cluster.wait_until(&format!("event {reason}: {part}"), there).await;
}

async fn from_a_layout(cluster: &mut Cluster, tool: &Built) {
    delete(cluster).await;
    cluster
        .create_pod(json!({
            "terminationGracePeriodSeconds": 600,
            "containers": [{"name": "main", "image": "images.example/tool:1", "args": ["$(POD)", "two"], "imagePullPolicy": "Never",
                            "env": [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
        }))
        .await;
    let pod = cluster.wait_for("web", ready).await;
    let seen = "words web two\nuser 10001:10002\nin /\ncolor green, host web\nroot writable\nmotd local\nready\n";
    assert_eq!(cluster.wait_for_log("web", "main", "ready").await, seen);
    let id = format!("images.example/tool@{}", tool.digest);
    assert_eq!(pod["status"]["containerStatuses"][0]["imageID"], id);
    wait_for_event(cluster, "Pulled", "\"images.example/tool:1\" already present on machine").await;

    let pid = cluster.main_pid("web", "main");
    cluster.restart_kubelet().await;
    let pod = cluster.wait_for("web", ready).await;
    assert_eq!((cluster.main_pid("web", "main"), &pod["status"]["containerStatuses"][0]["imageID"]), (pid, &json!(id)));
    delete(cluster).await;

    // What the first container wrote is not the image's, and the manifest wins over the image.
    cluster
        .create_pod(json!({
            "terminationGracePeriodSeconds": 600,
            "containers": [{
                "name": "main", "image": format!("images.example/tool@{}", tool.digest), "command": ["/tool"], "workingDir": "/etc",
                "env": [{"name": "COLOR", "value": "red"}],
                "volumeMounts": [{"name": "own", "mountPath": "/data"}],
                "securityContext": {"runAsUser": 7, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}},
            }],
            "volumes": [{"name": "own", "emptyDir": {}}],
        }))
        .await;
    let seen = "words\nuser 7:0\nin /etc\ncolor red, host web\nroot read-only\nmotd local\nready\n";
    cluster.wait_for("web", ready).await;
    assert_eq!(cluster.wait_for_log("web", "main", "ready").await, seen);
    delete(cluster).await;
}

fn pod(server: &Server, image: &str, policy: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 600,
        "imagePullSecrets": [{"name": "registry"}],
        "containers": [{"name": "main", "image": format!("{}/{image}", server.address), "imagePullPolicy": policy}],
    })
}

async fn from_a_registry(cluster: &Cluster, tool: &Built, server: &Server) {
    cluster.create_pod(pod(server, "team/tool:1", "IfNotPresent")).await;
    // Nobody is signed in.
    let seen = cluster.wait_for("web", |pod| waiting(pod)["reason"] == "ImagePullBackOff").await;
    let message = waiting(&seen)["message"].as_str().unwrap();
    for part in ["Back-off pulling image", "/team/tool:1\": ErrImagePull: ", "401"] {
        assert!(message.contains(part), "{message}");
    }
    wait_for_event(cluster, "Failed", "Error: ErrImagePull").await;
    wait_for_event(cluster, "BackOff", "Back-off pulling image").await;
    delete(cluster).await;

    let auth = BASE64.encode("me:secret");
    let document = json!({"auths": {&server.address: {"auth": auth}}}).to_string();
    let secret = json!({"metadata": {"name": "registry"}, "type": "kubernetes.io/dockerconfigjson",
                        "data": {".dockerconfigjson": BASE64.encode(document)}});
    cluster.client().create_raw("secrets", Some("default"), secret).await.unwrap();
    for (policy, manifests) in [("IfNotPresent", true), ("IfNotPresent", false), ("Never", false), ("Always", true)] {
        let asked = server.count("GET manifest");
        cluster.create_pod(pod(server, "team/tool:1", policy)).await;
        let seen = cluster.wait_for("web", ready).await;
        let id = format!("{}/team/tool@{}", server.address, tool.digest);
        assert_eq!(seen["status"]["containerStatuses"][0]["imageID"], id);
        assert_eq!(server.count("GET manifest") > asked, manifests, "{policy}");
        delete(cluster).await;
    }
    assert_eq!(server.count("GET blob"), 2, "layer and configuration, once");
    wait_for_event(cluster, "Pulled", &format!("including waiting). Image size: {} bytes.", tool.size)).await;
    wait_for_event(cluster, "Pulled", "/team/tool:1\" already present on machine").await;
}

async fn not_to_be_had(cluster: &Cluster, tool: &Tool, server: &Server) {
    server.corrupt_manifests("team/tool");
    let pinned = format!("team/tool@{}", tool.remote.digest);
    let malformed = json!({"containers": [{"name": "main", "image": "images.example/UPPER:1"}]});
    let other = format!("images.example/tool@{}", Digest::of(b"another"));
    let cases = [
        (pod(server, "team/other:1", "Never"), "ErrImageNeverPull", "is not present with pull policy of Never"),
        (pod(server, &pinned, "Always"), "ErrImagePull", "should be sha256:"),
        (pod(server, "nothing/there:1", "Always"), "ErrImagePull", "404"),
        (malformed, "InvalidImageName", "invalid reference format"),
        (json!({"containers": [{"name": "main", "image": other}]}), "ErrImagePull", "the image in "),
    ];
    for (spec, reason, part) in cases {
        cluster.create_pod(spec).await;
        let seen = cluster.wait_for("web", |pod| waiting(pod)["reason"] == reason).await;
        let message = waiting(&seen)["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
        delete(cluster).await;
    }
    wait_for_event(cluster, "ErrImageNeverPull", "is not present").await;
    wait_for_event(cluster, "InspectFailed", "couldn't parse image name").await;
    // The last pod is for whoever comes next.
    cluster.create_pod(json!({"containers": [{"name": "main", "image": "shell", "args": ["sleep 600"]}]})).await;
}
