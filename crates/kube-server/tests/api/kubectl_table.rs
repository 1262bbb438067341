//! Stock kubectl's commands in a table, as a user would type them, one after the other on one server.

use std::sync::Arc;

use kube_server::{Client, Server};
use serde_json::json;

use crate::support::Cluster;
use crate::support::agent::Shouting;
use crate::support::kubectl::{Kubectl, installed};

/// A command and what it prints. `!` in front: it must fail, and prints this on standard error. `_` stands for a space
/// within an argument.
type Row = (&'static str, &'static str);

const CREATES: &[Row] = &[
    ("create namespace team", "namespace/team created"),
    ("create deployment web --image=nginx:1 --replicas=2 --port=80", "deployment.apps/web created"),
    (
        "create role pods --verb=get,list --resource=pods,deployments.apps/scale",
        "role.rbac.authorization.k8s.io/pods created",
    ),
    (
        "create rolebinding pods --role=pods --serviceaccount=default:robot --user=jane",
        "rolebinding.rbac.authorization.k8s.io/pods created",
    ),
    (
        "create clusterrole metrics --verb=get --non-resource-url=/metrics",
        "clusterrole.rbac.authorization.k8s.io/metrics created",
    ),
    ("create clusterrole all --aggregation-rule=a=b", "clusterrole.rbac.authorization.k8s.io/all created"),
    (
        "create clusterrolebinding metrics --clusterrole=metrics --group=devs",
        "clusterrolebinding.rbac.authorization.k8s.io/metrics created",
    ),
    ("create service clusterip web --tcp=80:8080", "service/web created"),
    ("create service nodeport node --tcp=80", "service/node created"),
    ("create service loadbalancer balancer --tcp=80", "service/balancer created"),
    ("create service externalname outside --external-name=example.org", "service/outside created"),
    ("create configmap settings --from-literal=a=b", "configmap/settings created"),
    ("create secret generic password --from-literal=p=q", "secret/password created"),
    (
        "create secret docker-registry pull --docker-server=x --docker-username=u --docker-password=p",
        "secret/pull created",
    ),
    ("create cronjob tick --image=busybox --schedule=*/5_*_*_*_* -- echo hi", "cronjob.batch/tick created"),
    ("create job once --image=busybox -- echo hi", "job.batch/once created"),
    ("create job tock --from=cronjob/tick", "job.batch/tock created"),
    ("create token default --duration=20m", "eyJ"),
    ("create quota few --hard=pods=10,cpu=2", "resourcequota/few created"),
    ("create pdb web --selector=app=web --min-available=1", "poddisruptionbudget.policy/web created"),
    ("create pdb half --selector=app=half --max-unavailable=50%", "poddisruptionbudget.policy/half created"),
    ("create ingress web --rule=example.org/*=web:80 --class=traefik", "ingress.networking.k8s.io/web created"),
    ("create serviceaccount robot", "serviceaccount/robot created"),
    (
        "create priorityclass high --value=1000 --description=x --preemption-policy=Never",
        "priorityclass.scheduling.k8s.io/high created",
    ),
    ("autoscale deployment web --min=2 --max=5 --cpu=70%", "horizontalpodautoscaler.autoscaling/web autoscaled"),
    ("expose deployment web --name=again --port=80", "service/again exposed"),
    ("run one --image=nginx:1 --labels=app=one", "pod/one created"),
    ("run two --image=busybox --restart=Never -- sleep 1d", "pod/two created"),
    ("!create namespace team", "namespaces \"team\" already exists"),
    ("!create deployment Bad_Name --image=x", "metadata.name: Invalid value: \"Bad Name\""),
    ("!create role r --verb=get --resource=nothings", "the server doesn't have a resource type \"nothings\""),
];

const READS: &[Row] = &[
    ("get all", "deployment.apps/web"),
    ("get deploy,svc,cm -l app=web", "service/web"),
    ("get deploy web -o wide", "SELECTOR"),
    ("get deploy web -o yaml", "  replicas: 2"),
    ("get deploy web -o json", "\"replicas\": 2"),
    ("get deploy web -o jsonpath={.spec.template.spec.containers[0].ports[0].containerPort}", "80"),
    ("get deploy web -o custom-columns=N:.metadata.name,R:.spec.replicas", "N     R\nweb   2"),
    ("get deploy web -o go-template={{.metadata.name}}", "web"),
    ("get deploy web --show-managed-fields -o yaml", "manager: kubectl-create"),
    ("get pods -A --field-selector=metadata.name=one", "default     one"),
    ("get pods --field-selector=spec.nodeName=", "two"),
    ("!get pods --field-selector=spec.nothing=x", "field label not supported: spec.nothing"),
    ("get pods --show-labels -L app --sort-by=.metadata.name --chunk-size=1", "app=one"),
    ("get pods -w --request-timeout=1s", "Pending"),
    ("get pods --watch --output-watch-events --request-timeout=1s", "ADDED"),
    ("get po/one svc/web -o name", "pod/one\nservice/web"),
    ("get quota,limits,pdb,ing,netpol,hpa,sa,pc,cj,job,rc,ep,endpointslices,leases,crd,sc,pv,pvc", "cpu: 0/2"),
    ("!get nothings", "the server doesn't have a resource type \"nothings\""),
    ("!get pod three", "pods \"three\" not found"),
    ("get --raw /livez", "ok"),
    ("api-resources --namespaced=false", "priorityclasses"),
    ("api-resources --api-group=apps -o wide", "create,delete,deletecollection,get,list,patch,update,watch"),
    ("api-versions", "autoscaling/v2"),
    ("cluster-info", "is running at"),
    ("version", "Server Version: v1.36.3"),
    ("events", "No events found"),
    ("explain deploy.spec.replicas", "Number of desired pods"),
    ("explain hpa.spec.metrics --recursive", "averageUtilization"),
    ("explain pod.spec.containers.resources.limits", "map[string]Quantity"),
    ("explain hpa --api-version=autoscaling/v1", "VERSION:    v1"),
    ("!explain pod.nothing", "field \"nothing\" does not exist"),
    ("wait --for=create pod/one --timeout=2s", "pod/one condition met"),
    ("wait --for=delete pod/three --timeout=2s", ""),
    ("wait --for=jsonpath={.spec.replicas}=2 deploy/web --timeout=2s", "condition met"),
    ("!wait --for=condition=Available deploy/web --timeout=1s", "timed out waiting for the condition"),
];

const DESCRIBES: &[Row] = &[
    ("describe deploy web", "2 desired"),
    ("describe pod one", "Service Account:  default"),
    ("describe svc web", "TargetPort:               8080/TCP"),
    ("describe hpa web", "resource cpu on pods  (as a percentage of request):  <unknown> / 70%"),
    ("describe ingress web", "example.org"),
    ("describe pdb web", "Min available:  1"),
    ("describe quota few", "Resource"),
    ("describe job once", "Backoff Limit:    6"),
    ("describe cronjob tick", "*/5 * * * *"),
    ("describe secret password", "p:  1 bytes"),
    ("describe configmap settings", "a:\n----\nb"),
    ("describe role pods", "deployments.apps/scale"),
    ("describe rolebinding pods", "jane"),
    ("describe sa robot", "robot"),
    ("describe ns team", "Active"),
    ("describe pc high", "Value:             1000"),
    ("describe node n1", "Non-terminated Pods:"),
    ("describe clusterrole metrics", "[/metrics]"),
];

const CHANGES: &[Row] = &[
    ("set image deploy/web nginx=nginx:2", "image updated"),
    ("set env deploy/web A=b", "env updated"),
    ("set resources deploy/web --requests=cpu=100m,memory=64Mi", "resource requirements updated"),
    ("set serviceaccount deploy/web robot", "serviceaccount updated"),
    ("set selector svc/web app=x", "selector updated"),
    ("set subject rolebinding/pods --user=joe", "subjects updated"),
    ("label pod one a=b", "labeled"),
    ("!label pod one a=c", "--overwrite is false"),
    ("label pods --all q=1 --overwrite", "pod/two labeled"),
    ("annotate pod one n=m", "annotated"),
    ("annotate pod one n-", "annotated"),
    ("patch deploy web --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":3}]", "patched"),
    ("patch deploy web --type=merge -p {\"spec\":{\"replicas\":4}}", "patched"),
    (
        "patch deploy web -p {\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"nginx\",\"image\":\"nginx:3\"}]}}}}",
        "patched",
    ),
    (
        "get deploy web -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].image}/{.spec.template.spec.containers[0].env[0].value}",
        "4/nginx:3/b",
    ),
    (
        "!patch deploy web --type=json -p [{\"op\":\"test\",\"path\":\"/spec/replicas\",\"value\":9}]",
        "testing value /spec/replicas failed",
    ),
    ("patch deploy web --subresource=scale --type=merge -p {\"spec\":{\"replicas\":6}}", "patched"),
    (
        "patch pod one --subresource=status --type=merge -p {\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
        "patched",
    ),
    ("wait pod/one --for=condition=Ready --timeout=5s", "condition met"),
    ("scale deploy web --replicas=2 --current-replicas=6", "scaled"),
    ("!scale deploy web --replicas=2 --current-replicas=6", "Expected replicas to be 6, was 2"),
    ("rollout restart deploy/web", "restarted"),
    ("rollout pause deploy/web", "paused"),
    ("!rollout restart deploy/web", "can't restart paused deployment"),
    ("rollout resume deploy/web", "resumed"),
    ("rollout history deploy/web", "deployment.apps/web"),
    ("rollout undo deploy/history --to-revision=1", "deployment.apps/history rolled back"),
    ("get deploy history -o jsonpath={.spec.template.spec.containers[0].image}", "nginx:old"),
    ("rollout history deploy/history --revision=1", "nginx:old"),
    ("taint node n1 a=b:NoSchedule", "tainted"),
    ("taint node n1 a-", "untainted"),
    ("cordon n1", "cordoned"),
    ("get nodes", "Ready,SchedulingDisabled"),
    ("uncordon n1", "uncordoned"),
];

const IDENTITIES: &[Row] = &[
    ("auth can-i --list", "*.*"),
    ("auth can-i get pods --as=joe", "yes"),
    ("!auth can-i create pods --as=joe", ""),
    ("auth can-i get pods --as=system:serviceaccount:default:robot", "yes"),
    ("!get secrets --as=joe", "User \"joe\" cannot list resource \"secrets\""),
    ("auth whoami", "system:masters"),
    ("auth whoami --as=joe --as-group=devs", "[devs system:authenticated]"),
    ("auth whoami --as=system:serviceaccount:default:robot", "system:serviceaccounts:default"),
];

const PODS: &[Row] = &[
    ("logs bound", "log of main"),
    ("logs bound -c main --tail=5 --since=1h --timestamps", "log of main"),
    ("logs -l app=bound --prefix", "[pod/bound/main] log of main"),
    ("!logs bound -c other", "container other is not valid for pod bound"),
    ("!exec bound -- shout -x", "command terminated with exit code 3"),
    ("!attach bound", "this server does not serve pods/attach"),
    ("!debug bound --image=busybox -- sh", "this server does not serve pods/ephemeralcontainers"),
    ("!certificate approve x", "the server doesn't have a resource type \"certificatesigningrequests\""),
    ("!top nodes", "metrics not available yet"),
];

const DELETES: &[Row] = &[
    ("drain n1 --ignore-daemonsets --force --timeout=20s --grace-period=0 --disable-eviction", "node/n1 drained"),
    ("delete pod one two --now", "pod \"two\""),
    ("delete deploy history --cascade=orphan --wait=false", "deleted"),
    ("get deploy history -o jsonpath={.metadata.finalizers}", "[\"orphan\"]"),
    ("delete deploy web --cascade=foreground --wait=false", "deleted"),
    ("get deploy web -o jsonpath={.metadata.finalizers}", "[\"foregroundDeletion\"]"),
    ("delete svc again balancer node outside web", "service \"balancer\" deleted"),
    ("delete cm,secret --all", "secret \"password\" deleted"),
    ("delete job --all --dry-run=server", "(server dry run)"),
    ("delete job --all --cascade=background", "job.batch \"once\" deleted"),
    ("!delete job once", "jobs.batch \"once\" not found"),
    ("delete job once --ignore-not-found", ""),
    ("delete ns team --wait=false", "namespace \"team\" deleted"),
];

fn arguments(command: &str) -> Vec<String> {
    command.split(' ').map(|argument| argument.replace('_', " ")).collect()
}

#[track_caller]
fn check(kubectl: &Kubectl, (command, expected): Row) {
    let fails = command.starts_with('!');
    let arguments = arguments(command.trim_start_matches('!'));
    let ran = kubectl.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ran.code == Some(0), !fails, "kubectl {command}\n{}\n{}", ran.stdout, ran.stderr);
    // Some commands say that there is nothing on standard error.
    let shown = if fails { ran.stderr.clone() } else { format!("{}{}", ran.stdout, ran.stderr) };
    assert!(shown.contains(expected), "kubectl {command} does not show {expected:?}:\n{}\n{}", ran.stdout, ran.stderr);
}

/// What controllers and nodes would have made.
async fn prepare(client: &Client) {
    let node = json!({"metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "capacity": {"cpu": "2"}}});
    client.create_raw("nodes", None, node).await.expect("created");
    let pod = json!({"metadata": {"name": "bound", "labels": {"app": "bound"}}, "spec": {"containers": [{"name": "main", "image": "i"}]}});
    client.create_raw("pods", Some("default"), pod).await.expect("created");
    client.bind("default", "bound", "n1").await.expect("bound");
    let running = json!({"status": {"phase": "Running", "containerStatuses": [
        {"name": "main", "ready": true, "restartCount": 0, "image": "i", "imageID": "", "state": {"running": {}}}]}});
    client.patch_status_raw("pods", Some("default"), "bound", &running).await.expect("running");
    let template = |image: &str| json!({"metadata": {"labels": {"app": "history"}}, "spec": {"containers": [{"name": "c", "image": image}]}});
    let selector = json!({"matchLabels": {"app": "history"}});
    let annotations = |revision: &str| json!({"deployment.kubernetes.io/revision": revision});
    let deployment = json!({"metadata": {"name": "history", "labels": {"app": "history"}, "annotations": annotations("2")},
        "spec": {"selector": selector, "template": template("nginx:new")}});
    let made = client.create_raw("deployments.apps", Some("default"), deployment).await.expect("created");
    for (revision, image) in [("1", "nginx:old"), ("2", "nginx:new")] {
        let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "history", "uid": made["metadata"]["uid"], "controller": true});
        let set = json!({"metadata": {"name": format!("history-{revision}"), "labels": {"app": "history"}, "annotations": annotations(revision),
            "ownerReferences": [owner]}, "spec": {"selector": selector, "template": template(image)}});
        client.create_raw("replicasets.apps", Some("default"), set).await.expect("created");
    }
}

fn try_all(kubectl: &Kubectl, server: &Server) {
    server.set_node_agent(Arc::new(Shouting));
    tokio::runtime::Handle::current().block_on(prepare(&server.client()));
    for table in [CREATES, READS, DESCRIBES, CHANGES, IDENTITIES, PODS, DELETES] {
        table.iter().for_each(|row| check(kubectl, *row));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stdout, reason = "a failure should say which kubectl it was")]
async fn every_command_of_the_table() {
    for program in installed() {
        let cluster = Cluster::start().await;
        let kubectl = Kubectl::new(&program, &cluster.kubeconfig());
        // Older ones word some messages and spell some flags otherwise.
        if !kubectl.ok(&["version", "--client"]).contains("v1.36.") {
            println!("skipped: {} is not of version 1.36", program.display());
            continue;
        }
        tokio::task::block_in_place(|| try_all(&kubectl, &cluster.server));
        cluster.server.shutdown().await;
    }
}
