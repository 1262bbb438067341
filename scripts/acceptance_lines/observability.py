"""Lines 5 and alert of `depth`: what Prometheus sees, and whether rules, alerts and dashboards have something to show."""

import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from .core import REPO, Skipped, need
from .survival import Load

# Within a pod python3 is the host's, as every program is.
ASK = """
import sys, urllib.parse, urllib.request
url, query = sys.argv[1], sys.argv[2:]
if query:
    url += "?" + urllib.parse.urlencode({"query": query[0]})
print(urllib.request.urlopen(url, timeout=10).read().decode())
"""
# What must be scraped, by the job's name.
JOBS = {"backend", "frontend", "traefik-metrics", "prometheus", "kube-state-metrics", "kubelet"}


class Prometheus:
    def __init__(self, platform):
        self.platform = platform

    def ask(self, path, *query):
        pod = self.platform.ready_pod("monitoring", "prometheus")
        address = f"http://{pod['status']['podIP']}:9090/api/v1/{path}"
        done = self.platform.kubectl(
            "exec", "-n", "monitoring", pod["metadata"]["name"], "-c", "prometheus", "--", "python3", "-c", ASK, address, *query)
        return json.loads(done.stdout)["data"]

    def targets(self):
        return self.ask("targets")["activeTargets"]

    def has_data(self, query):
        return bool(self.ask("query", query)["result"])


def documents(path):
    """The YAML documents of a file as kubectl reads them, so that no YAML library is needed."""
    return (REPO / path).read_text().split("\n---\n")


def panels():
    """Title and query of every panel of every provisioned dashboard."""
    text = next(one for one in documents("k8s/monitoring/grafana.yaml") if "name: grafana-dashboards" in one)
    found = []
    for name, body in re.findall(r"^  (\S+\.json): \|\n((?:    .*\n|\n)+)", text + "\n", re.M):
        for panel in json.loads(body)["panels"]:
            found += [(f"{name}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


def promtool(prometheus):
    program = shutil.which("promtool")
    if not program:
        raise Skipped("there is no promtool on PATH")
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "prometheus.yaml"
        config.write_text(prometheus.ask("status/config")["yaml"])
        # The rule files are beside the configuration in the pod, and judged by themselves below.
        text = re.sub(r"^rule_files:\n(- .*\n)+", "", config.read_text(), flags=re.M)
        config.write_text(text)
        done = subprocess.run([program, "check", "config", "--syntax-only", config], capture_output=True, text=True, timeout=30)
        need(done.returncode == 0, f"promtool check config: {done.stdout}{done.stderr}")
        groups = [{"name": group["name"], "rules": [rule_of(rule) for rule in group["rules"]]} for group in prometheus.ask("rules")["groups"]]
        rules = pathlib.Path(folder) / "rules.json"
        rules.write_text(json.dumps({"groups": groups}))
        done = subprocess.run([program, "check", "rules", rules], capture_output=True, text=True, timeout=30)
        need(done.returncode == 0, f"promtool check rules: {done.stdout}{done.stderr}")
    return sum(len(group["rules"]) for group in groups)


def rule_of(rule):
    name = "alert" if rule["type"] == "alerting" else "record"
    return {name: rule["name"], "expr": rule["query"], "labels": rule.get("labels", {})}


def line(platform):
    """every Prometheus target is up, every dashboard panel's query has data, promtool accepts rules and configuration"""
    prometheus = Prometheus(platform)

    def up():
        targets = prometheus.targets()
        jobs = {one["labels"]["job"] for one in targets}
        return JOBS <= jobs and all(one["health"] == "up" for one in targets)

    platform.until("every job has targets and all are up", up, 120)
    for _ in range(20):
        platform.overview()
    # Rates need two scrapes, and what is recorded from them one evaluation more.
    queries = panels()
    need(len(queries) >= 10, f"only {len(queries)} panels were read")
    missing = lambda: [title for title, query in queries if not prometheus.has_data(query)]
    platform.until("every panel has data", lambda: not missing(), 180)
    rules = promtool(prometheus)
    return f"{len(prometheus.targets())} targets up, {len(queries)} panel queries with data, {rules} rules accepted"


# More work than one replica carries at its CPU target.
WORK_PATH, WORK_RATE, WORK_SECONDS = "/api/v1/work?units=8", 150, 600


def line_alert(platform):
    """the alert for an HPA at its maximum fires under load and clears after it"""
    prometheus = Prometheus(platform)
    bounds = '{"spec": {"minReplicas": 1, "maxReplicas": %d}}'
    platform.kubectl("patch", "hpa", "backend", "-n", "platform", "--type=merge", "-p", bounds % 2)

    def states():
        alerts = prometheus.ask("alerts")["alerts"]
        return {one["state"] for one in alerts if one["labels"]["alertname"] == "HpaAtMaximum" and one["labels"].get("horizontalpodautoscaler") == "backend"}

    platform.until("the alert is quiet before the load", lambda: not states(), 240)
    load = Load(platform, WORK_RATE, WORK_SECONDS, WORK_PATH)
    started = time.monotonic()
    try:
        platform.until("the alert fires under load", lambda: "firing" in states(), WORK_SECONDS - 20)
        fired = time.monotonic() - started
    finally:
        load.end()
    started = time.monotonic()
    platform.until("the alert clears after the load", lambda: not states(), 300)
    cleared = time.monotonic() - started
    platform.marea("up")
    return f"fires {fired:.0f} s after the load begins (two minutes of them at the maximum), clears {cleared:.0f} s after it ends"
