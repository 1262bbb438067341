"""Lines 3 and 6: a wave of load, every step it causes, and the page that shows it."""

import json
import re
import shutil
import subprocess
import threading

from .core import REPO, Failed, Skipped, need
from .platform import Watch, is_ready

# Requests a second, a row every ten seconds: quiet, the wave, and quiet until everything has shrunk again. Few requests that
# are work, rather than many that are not, so that two busy cores carry it.
WAVE = [20] * 1 + [500] * 23 + [20] * 27
LOAD_PATH = "/api/v1/work?units=8"
# Everything that was decided during the wave and around it.
ALL_DECISIONS = "100000"


class Steps:
    """Every change of the backend's wanted replicas and of its pool's nodes, as the API tells of them."""

    def __init__(self, platform):
        self.lock = threading.Lock()
        self.wanted, self.ready, self.most_ready, self.most_nodes = None, 0, 0, 0
        self.scalings, self.nodes, self.added, self.removed = [], {}, [], []
        self.busy = threading.Event()
        self.watches = [
            Watch(platform, "/apis/apps/v1/namespaces/platform/deployments?fieldSelector=metadata.name%3Dbackend", self.deployment),
            Watch(platform, "/api/v1/nodes?labelSelector=marea.dev%2Fpool%3Dbackend", self.node),
        ]
        # What was there before is no step.
        self.added.clear()

    def deployment(self, _, item):
        with self.lock:
            wanted = item["spec"]["replicas"]
            if self.wanted not in (None, wanted):
                self.scalings.append((self.wanted, wanted))
            self.wanted, self.ready = wanted, item["status"].get("readyReplicas", 0)
            self.most_ready = max(self.most_ready, self.ready)
            self.look()

    def node(self, kind, item):
        with self.lock:
            name = item["metadata"]["name"]
            if kind == "DELETED":
                self.nodes.pop(name, None)
                self.removed.append(name)
            else:
                if name not in self.nodes:
                    self.added.append(name)
                self.nodes[name] = is_ready(item)
            self.most_nodes = max(self.most_nodes, self.ready_nodes())
            self.look()

    def ready_nodes(self):
        return sum(self.nodes.values())

    def look(self):
        if self.ready >= 7 and self.ready_nodes() >= 4:
            self.busy.set()

    def settled(self, replicas, nodes):
        with self.lock:
            return self.wanted == self.ready == replicas and len(self.nodes) == self.ready_nodes() == nodes

    def stop(self):
        for watch in self.watches:
            watch.done.set()


class UpInTheMiddle(threading.Thread):
    """`marea up` once there are seven replicas and four nodes: it must take neither away."""

    def __init__(self, platform, steps):
        super().__init__(daemon=True)
        self.platform, self.steps, self.result = platform, steps, None
        self.start()

    def run(self):
        if not self.steps.busy.wait(600):
            return
        before = (self.steps.ready, self.steps.ready_nodes())
        # Only the autoscaler may go further up meanwhile; whatever goes down is up's doing.
        scalings, removed = len(self.steps.scalings), len(self.steps.removed)
        up = self.platform.marea("up", check=False)
        shrunk = [step for step in self.steps.scalings[scalings:] if step[1] < step[0]] + self.steps.removed[removed:]
        self.result = (before, shrunk, up.returncode, up.stderr)


def line(platform):
    """under load the backend goes from 2 to 10 replicas and its pool from 1 to at least 4 nodes and back, no request fails, and marea explain has the reason of every step"""
    steps = Steps(platform)
    platform.until("two replicas on one node before the load", lambda: steps.settled(2, 1), 180)
    trace = platform.folder / "wave.csv"
    trace.write_text("rate\n" + "\n".join(map(str, WAVE)) + "\n")
    seconds = 10 * len(WAVE)
    platform.middle = UpInTheMiddle(platform, steps)
    platform.browser = start_browser(platform, seconds)
    load = platform.marea("load", "--trace", str(trace), "--for", f"{seconds}s", "--path", LOAD_PATH, "--json", check=False, timeout=seconds + 120)
    need(load.stdout, f"marea load printed nothing: exit {load.returncode}: {load.stderr[-400:]}")
    summary = json.loads(load.stdout)
    platform.until("two replicas on one node after the load", lambda: steps.settled(2, 1), 300)
    steps.stop()
    figure = (f"{summary['requests']} requests, {summary['failed']} failed, p99 {summary['latency_ms']['p99']:.0f} ms, "
              f"2 to {steps.most_ready} to 2 replicas, 1 to {steps.most_nodes} to 1 nodes")
    need(summary["failed"] == 0, f"{figure}: {summary['failures']} {summary['statuses']}")
    need(summary["requests"] >= 100_000, f"{figure}: fewer than 100,000")
    need(steps.most_ready == 10 and steps.most_nodes >= 4, figure)
    explained = check_scalings(platform, steps) + check_nodes(platform, steps)
    return f"{figure}; {explained} steps, each in marea explain with its reason"


def decisions(platform, thing):
    """Those that changed something."""
    all_of_them = json.loads(platform.marea("explain", thing, "--last", ALL_DECISIONS, "--json").stdout)["decisions"]
    acted = [one for one in all_of_them if one["acted"]]
    for one in acted:
        need(one["report"]["reasons"], f"{thing}: a decision without a reason: {one}")
    return acted


def check_scalings(platform, steps):
    """The API's changes of the replicas are the autoscaler's decisions, one by one and in order."""
    pattern = re.compile(r"scales from (\d+) to (\d+) replicas: \S+")
    told = [pattern.search(one["summary"]) for one in decisions(platform, "hpa/backend")]
    told = [(int(match[1]), int(match[2])) for match in told if match]
    # Earlier decisions are of the time before the wave.
    need(told[-len(steps.scalings):] == steps.scalings, f"replicas went {steps.scalings}, marea explain hpa/backend says {told}")
    return len(steps.scalings)


def check_nodes(platform, steps):
    """Every new node is in a growth of the pool, and every node that went is named."""
    summaries = [one["summary"] for one in decisions(platform, "pool/backend")]
    grown = [re.findall(r"grows from (\d+) to (\d+) nodes", text) for text in summaries]
    grown = sum(int(after) - int(before) for changes in grown for before, after in changes)
    need(grown >= len(steps.added) > 0, f"{len(steps.added)} nodes came, marea explain pool/backend tells of {grown}")
    gone = {name for text in summaries for name in re.findall(r"nodes: (\S+) goes", text)}
    unnamed = [name for name in steps.removed if name not in gone]
    need(not unnamed, f"marea explain pool/backend does not say why {unnamed} went")
    return len(steps.added) + len(steps.removed)


def start_browser(platform, seconds):
    if not shutil.which("chromium") or not (REPO / "frontend/node_modules").exists():
        return None
    command = ["node", "frontend/e2e/console.mjs", "--url", platform.console(), "--replicas", "10", "--nodes", "4", "--for", str(seconds)]
    return subprocess.Popen(command, cwd=REPO, env=platform.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def in_the_middle(platform):
    """What line 4 says of `up` at seven replicas and four nodes."""
    middle = getattr(platform, "middle", None)
    if middle is None:
        return "under load: not tried (line 3 did not run)"
    if middle.result is None:
        raise Failed("there never were seven replicas and four nodes to run `marea up` at")
    (replicas, nodes), shrunk, code, words = middle.result
    need(code == 0, f"up at {replicas} replicas and {nodes} nodes: exit {code}: {words[-400:]}")
    need(not shrunk, f"up at {replicas} replicas and {nodes} nodes took away {shrunk}")
    return f"at {replicas} replicas and {nodes} nodes it changed neither"


def line_browser(platform):
    """the console in Chromium shows line 3 as it happens"""
    browser = getattr(platform, "browser", None)
    if browser is None:
        raise Skipped("needs line 3, chromium and frontend/node_modules")
    out, _ = browser.communicate(timeout=120)
    need(browser.returncode == 0, out[-800:])
    return out.strip().splitlines()[-1]
