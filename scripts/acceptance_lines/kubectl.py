"""Line 2: the stock kubectl."""

import json
import re
import subprocess
import urllib.request

from .core import REPO, need

READER = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: platform}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: platform}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: reader, namespace: platform}]
"""


def line(platform):
    """kubectl works with the printed kubeconfig"""
    k = platform.kubectl
    version = json.loads(k("version", "-o", "json").stdout)["clientVersion"]["gitVersion"]
    tried = 0

    def works(*arguments, contains="", **options):
        nonlocal tried
        tried += 1
        out = k(*arguments, **options)
        need(contains in out.stdout, f"kubectl {' '.join(arguments)} does not print {contains!r}: {out.stdout[-300:]}")
        return out

    works("get", "pods", "-A", contains="backend")
    works("describe", "deployment", "backend", "-n", "platform", contains="RollingUpdate")
    works("rollout", "status", "deployment/backend", "-n", "platform", "--timeout=60s", contains="successfully rolled out")
    works("logs", "deployment/backend", "-n", "platform", "--tail=5")
    works("wait", "--for=condition=Available", "deployment/frontend", "-n", "platform", "--timeout=30s", contains="condition met")
    works("explain", "deployment.spec.strategy", contains="rollingUpdate")
    works("auth", "can-i", "list", "pods", contains="yes")
    platform.until("metrics of the nodes", lambda: k("top", "nodes", check=False).returncode == 0, 60)
    # A pod that started after the first reading has metrics one reading later.
    platform.until("metrics of the backend", lambda: "backend" in k("top", "pods", "-n", "platform", check=False).stdout, 60)
    works("top", "nodes", contains="aks-backend")
    works("top", "pods", "-A", contains="backend")
    probe = platform.folder / "probe.yaml"
    probe.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: probe, namespace: platform}\ndata: {a: '1'}\n")
    works("apply", "-f", str(probe), contains="created")
    probe.write_text(probe.read_text().replace("'1'", "'2'"))
    need(k("diff", "-f", str(probe), check=False).returncode == 1, "kubectl diff does not see the change")
    tried += 1
    works("apply", "-f", str(probe), contains="configured")
    editor = {**platform.env, "EDITOR": "sed -i s/\\\"2\\\"/\\\"3\\\"/"}
    edited = platform.kubectl("edit", "configmap", "probe", "-n", "platform", env=editor, check=False)
    need("edited" in edited.stdout, f"kubectl edit: {edited.stdout}{edited.stderr}")
    tried += 1
    works("scale", "deployment/traefik", "-n", "ingress", "--replicas=1", contains="scaled")
    works("scale", "deployment/traefik", "-n", "ingress", "--replicas=2", contains="scaled")
    works("delete", "-f", str(probe), contains="deleted")
    pod = f"pod/{platform.ready_pod('platform', 'backend')['metadata']['name']}"
    works("exec", "-n", "platform", pod, "--", "sh", "-c", "echo out of $POD_NAME", contains="out of backend")
    port_forward(platform, pod)
    files = sorted(str(path) for path in (REPO / "k8s").rglob("*.yaml"))
    for path in files:
        k("apply", "--dry-run=server", "-f", path)
    refused(platform)
    return f"{version}: {tried + 1} commands, {len(files)} manifests in a dry run, 401 and 403"


def port_forward(platform, pod):
    process = subprocess.Popen(
        [platform.kubectl_program(), "--kubeconfig", platform.kubeconfig(), "port-forward", "-n", "platform", pod, ":8080"],
        env=platform.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = process.stdout.readline()
        port = re.search(r"127\.0\.0\.1:(\d+)", line)
        need(port, f"kubectl port-forward says: {line}")
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/health", timeout=10) as answer:
            need(answer.status == 200, "the forwarded port does not answer")
    finally:
        process.terminate()
        process.wait(10)


def refused(platform):
    server = platform.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").stdout
    curl = platform.run("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", f"{server}/api/v1/pods").stdout
    need(curl == "401", f"without credentials the API answers {curl}")
    k = platform.kubectl
    reader = platform.folder / "reader.yaml"
    reader.write_text(READER)
    k("apply", "-f", str(reader))
    token = k("create", "token", "reader", "-n", "platform").stdout.strip()
    as_reader = ("--token", token, "--server", server, "--insecure-skip-tls-verify", "--kubeconfig", "/dev/null")
    kubectl = platform.kubectl_program()
    platform.run(kubectl, *as_reader, "get", "pods", "-n", "platform")
    denied = platform.run(kubectl, *as_reader, "delete", "pod", "none", "-n", "platform", check=False)
    need("Forbidden" in denied.stderr, f"a reader's delete is answered with: {denied.stderr}")
    k("delete", "-f", str(reader))
