//! Stock kubectl against a server in this process, over TLS with a client certificate.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use kube_server::Server;
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::agent::Shouting;
use crate::support::kubectl::{Kubectl, installed};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1
        ports: [{containerPort: 80}]
";

const READER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: reader, namespace: default}]
";

const WIDGETS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, description: How large it is.}
";

/// Runs `check` with each kubectl that is installed, each against a server of its own.
#[allow(clippy::print_stdout, reason = "a failure should say which kubectl it was")]
async fn with_each(check: fn(&Kubectl, &Server)) {
    for program in installed() {
        let cluster = Cluster::start().await;
        let kubectl = Kubectl::new(&program, &cluster.kubeconfig());
        println!("{}", program.display());
        tokio::task::block_in_place(|| check(&kubectl, &cluster.server));
        cluster.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_on_either_side_and_shows_differences() {
    with_each(|kubectl, _| {
        assert_eq!(kubectl.ok_with(&["apply", "-f", "-"], DEPLOYMENT), "deployment.apps/web created\n");
        assert_eq!(kubectl.ok_with(&["apply", "-f", "-"], DEPLOYMENT), "deployment.apps/web unchanged\n");
        assert_eq!(kubectl.with_input(&["diff", "-f", "-"], DEPLOYMENT).code, Some(0));
        let changed = DEPLOYMENT.replace("nginx:1", "nginx:2");
        let diff = kubectl.with_input(&["diff", "-f", "-"], &changed);
        assert_eq!(diff.code, Some(1), "{}", diff.stderr);
        assert!(diff.stdout.contains("-      - image: nginx:1\n+      - image: nginx:2\n"), "{}", diff.stdout);
        let tried = kubectl.ok_with(&["apply", "--dry-run=server", "-f", "-"], &changed);
        assert_eq!(tried, "deployment.apps/web configured (server dry run)\n");
        let image = "jsonpath={.spec.template.spec.containers[0].image}";
        assert_eq!(kubectl.ok(&["get", "deploy", "web", "-o", image]), "nginx:1");
        assert_eq!(kubectl.ok_with(&["apply", "-f", "-"], &changed), "deployment.apps/web configured\n");
        assert_eq!(kubectl.ok(&["get", "deploy", "web", "-o", image]), "nginx:2");

        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}], selector: {app: web}}\n";
        let applied = kubectl.ok_with(&["apply", "--server-side", "-f", "-"], service);
        assert_eq!(applied, "service/web serverside-applied\n");
        let other = service.replace("app: web}", "app: other}");
        let arguments = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
        let conflict = kubectl.with_input(&arguments, &other);
        assert_ne!(conflict.code, Some(0));
        assert!(conflict.stderr.contains("conflict with \"kubectl\": .spec.selector"), "{}", conflict.stderr);
        kubectl.ok_with(&[&arguments[..], &["--force-conflicts"]].concat(), &other);
        let misspelt = kubectl.with_input(&["apply", "-f", "-"], &DEPLOYMENT.replace("replicas:", "replcas:"));
        assert!(misspelt.stderr.contains("unknown field \"spec.replcas\""), "{}", misspelt.stderr);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_scales_and_waits() {
    with_each(|kubectl, server| {
        kubectl.ok_with(&["create", "-f", "-"], DEPLOYMENT);
        let table = kubectl.ok(&["get", "deployments"]);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
        assert_eq!(lines[1][..4], ["web", "0/2", "0", "0"]);
        let described = kubectl.ok(&["describe", "deployment", "web"]);
        assert!(described.contains("Image:         nginx:1"), "{described}");
        assert_eq!(kubectl.ok(&["scale", "deployment/web", "--replicas=5"]), "deployment.apps/web scaled\n");
        assert_eq!(kubectl.ok(&["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"]), "5");

        let client = server.client();
        let available = json!({"status": {"conditions": [{"type": "Available", "status": "True"}]}});
        let patch = client.patch_status_raw("deployments.apps", Some("default"), "web", &available);
        tokio::runtime::Handle::current().block_on(patch).expect("the status is written");
        let met = kubectl.ok(&["wait", "deployment/web", "--for=condition=Available", "--timeout=30s"]);
        assert_eq!(met, "deployment.apps/web condition met\n");
        assert!(kubectl.ok(&["version"]).contains("Server Version: v1.36"));
        let all = kubectl.ok(&["api-resources", "-o", "name"]);
        for known in ["pods", "deployments.apps", "pods.metrics.k8s.io", "decisions.explain.marea.dev"] {
            assert!(all.lines().any(|line| line == known), "{known}: {all}");
        }
        kubectl.ok(&["delete", "deployment", "web"]);
        assert!(kubectl.fails(&["get", "deployment", "web"]).contains("deployments.apps \"web\" not found"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explains_built_in_and_custom_types() {
    with_each(|kubectl, _| {
        let explained = kubectl.ok(&["explain", "deployment.spec.strategy.rollingUpdate"]);
        assert!(explained.contains("maxSurge") && explained.contains("GROUP:      apps"), "{explained}");
        kubectl.ok_with(&["apply", "-f", "-"], WIDGETS);
        kubectl.ok(&["wait", "crd/widgets.example.org", "--for=condition=Established", "--timeout=30s"]);
        let explained = kubectl.ok(&["explain", "widgets.spec"]);
        assert!(explained.contains("size\t<integer>") && explained.contains("How large it is."), "{explained}");
        let index: Value = serde_json::from_str(&kubectl.ok(&["get", "--raw", "/openapi/v3"])).expect("JSON");
        for known in [
            "api/v1",
            "apis/apps/v1",
            "apis/example.org/v1",
            "apis/metrics.k8s.io/v1beta1",
            "apis/explain.marea.dev/v1",
        ] {
            let address = index["paths"][known]["serverRelativeURL"].as_str().expect(known);
            let document: Value = serde_json::from_str(&kubectl.ok(&["get", "--raw", address])).expect("JSON");
            assert_eq!(document["openapi"], "3.0.0", "{known}");
        }
        assert!(kubectl.fails(&["get", "--raw", "/openapi/v3/apis/nobody.example/v1"]).contains("NotFound"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn knows_who_may_what() {
    with_each(|kubectl, _| {
        kubectl.ok_with(&["apply", "-f", "-"], READER);
        let token = token(kubectl);
        let as_reader = |arguments: &[&str]| kubectl.run(&[arguments, &["--user=nobody", &token]].concat());
        assert_eq!(as_reader(&["get", "pods"]).code, Some(0));
        let refused = as_reader(&["delete", "configmap", "kube-root-ca.crt"]).stderr;
        let expected = "Error from server (Forbidden): configmaps \"kube-root-ca.crt\" is forbidden: User \
                        \"system:serviceaccount:default:reader\" cannot delete resource \"configmaps\" in API group \"\" in the \
                        namespace \"default\"";
        assert!(refused.contains(expected), "{refused}");
        assert!(as_reader(&["get", "secrets"]).stderr.contains("cannot list resource \"secrets\""));
        assert_eq!(as_reader(&["auth", "can-i", "list", "pods"]).stdout, "yes\n");
        assert_eq!(as_reader(&["auth", "can-i", "create", "pods", "--subresource=exec"]).stdout, "no\n");
        assert!(as_reader(&["auth", "can-i", "--list"]).stdout.contains("deployments.apps/scale"));
        assert!(as_reader(&["auth", "whoami"]).stdout.contains("system:serviceaccount:default:reader"));
        assert_eq!(as_reader(&["explain", "pods"]).code, Some(0), "every authenticated user may read the schemas");
        let nobody = kubectl.fails(&["get", "--raw", "/api/v1/pods", "--user=nobody", "--token=unknown"]);
        assert!(nobody.contains("You must be logged in to the server") || nobody.contains("Unauthorized"), "{nobody}");
        let own = kubectl.ok(&["create", "token", "reader"]);
        assert_eq!(kubectl.run(&["get", "pods", "--user=nobody", &format!("--token={}", own.trim())]).code, Some(0));
        assert_eq!(kubectl.ok(&["create", "configmap", "made", "--from-literal=a=b"]), "configmap/made created\n");
        let view = kubectl.ok(&["get", "clusterrole", "view", "-o", "yaml"]);
        assert!(view.contains("- pods/log") && view.contains("aggregationRule:"), "{view}");
    })
    .await;
}

/// The option with a token of the reader's.
fn token(kubectl: &Kubectl) -> String {
    let address = "/api/v1/namespaces/default/serviceaccounts/reader/token";
    let answer = kubectl.ok_with(
        &["create", "--raw", address, "-f", "-"],
        "{\"kind\": \"TokenRequest\", \"apiVersion\": \"authentication.k8s.io/v1\"}",
    );
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    format!("--token={}", answer["status"]["token"].as_str().expect("a token"))
}

/// Every manifest of the platform, as the operations chapter has people apply them.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_the_platforms_manifests() {
    with_each(|kubectl, _| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../k8s");
        let first = ["namespaces.yaml", "monitoring/crds.yaml"].map(|file| format!("{root}/{file}"));
        for file in &first {
            kubectl.ok(&["apply", "-f", file]);
        }
        kubectl.ok(&["wait", "crd", "--all", "--for=condition=Established", "--timeout=30s"]);
        let tried = kubectl.ok(&["apply", "--dry-run=server", "-R", "-f", root]);
        assert!(tried.lines().count() > 40, "{tried}");
        for known in [
            "prometheus.monitoring.coreos.com/marea",
            "horizontalpodautoscaler.autoscaling/backend",
            "ingress.networking.k8s.io/platform",
        ] {
            assert!(tried.contains(&format!("{known} created (server dry run)")), "{known}: {tried}");
        }
        assert!(
            kubectl.fails(&["get", "ingress", "-n", "platform", "platform"]).contains("not found"),
            "a dry run stores nothing"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reaches_into_pods() {
    with_each(|kubectl, server| {
        server.set_node_agent(Arc::new(Shouting));
        let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "nginx:1"}]}});
        let client = server.client();
        let on_node = async {
            client.create_raw("pods", Some("default"), pod).await.expect("created");
            client.bind("default", "web", "node-1").await.expect("bound");
            let running = json!({"status": {"phase": "Running"}});
            client.patch_status_raw("pods", Some("default"), "web", &running).await.expect("running");
        };
        tokio::runtime::Handle::current().block_on(on_node);
        let ran = kubectl.with_input(&["exec", "-i", "web", "--", "shout", "-x"], "hello\n");
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("HELLO\n", "shout -x\ncommand terminated with exit code 3\n")
        );
        assert_eq!(ran.code, Some(3));
        kubectl.forwarding("pod/web", 80, |address| {
            let mut socket = TcpStream::connect(address).expect("the local port is open");
            socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
            socket.write_all(b"ping").expect("sent");
            let mut answer = [0; 4];
            socket.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"PING");
        });
        assert_eq!(kubectl.ok(&["logs", "web"]), "log of web\n");
        let missing = kubectl.fails(&["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics/cadvisor"]);
        assert!(missing.contains("nodes \"node-1\" not found"), "{missing}");
        let node = "apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\n";
        kubectl.ok_with(&["apply", "-f", "-"], node);
        let metrics = kubectl.ok(&["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics/cadvisor"]);
        assert_eq!(metrics, "node node-1\n");
        assert!(
            kubectl
                .fails(&["exec", "web", "-c", "other", "--", "ls"])
                .contains("container other is not valid for pod web")
        );
        kubectl.ok_with(&["apply", "-f", "-"], READER);
        let token = token(kubectl);
        let refused = kubectl.fails(&["exec", "web", "--user=nobody", &token, "--", "ls"]);
        assert!(refused.contains("cannot create resource \"pods/exec\" in API group \"\""), "{refused}");
    })
    .await;
}
