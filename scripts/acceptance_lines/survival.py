"""Lines 2, 3 and 4 of `depth`: what may die, and what nobody may notice."""

import json
import math
import os
import random
import signal
import subprocess
import threading
import time

from .core import REPO, Failed, need, until
from .platform import MAREA
from .recovery import backend_pods, cloud_pid, gone
from .writers import Database, Writers

SEED = int(os.environ.get("MAREA_SEED", "20261126"))
# Of each kind of process.
KILLS = int(os.environ.get("MAREA_KILLS", "10"))
BACK_SECONDS = 5
# An answer from PostgreSQL, through load balancer, ingress and backend.
LOAD_PATH = "/api/v1/overview"
RATE = 200
# B1ms leaves so many connections to users.
MOST_CONNECTIONS = 35


class Load:
    """`marea load` in the background."""

    def __init__(self, platform, rate, seconds, path=LOAD_PATH):
        self.rate, self.seconds = rate, seconds
        command = [MAREA, "load", "--rate", str(rate), "--for", f"{seconds}s", "--path", path, "--json"]
        self.process = subprocess.Popen(
            command, env=platform.env, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def running(self):
        return self.process.poll() is None

    def end(self):
        """Ctrl-C: it prints what it has measured so far."""
        if self.running():
            self.process.send_signal(signal.SIGINT)
        return self.summary()

    def summary(self):
        out, words = self.process.communicate(timeout=self.seconds + 60)
        need(out.strip(), f"marea load printed nothing: exit {self.process.returncode}: {words[-400:]}")
        return json.loads(out)


def failed_of(summary):
    """Requests without a good answer, and what became of them."""
    return summary["failed"], f"{summary['failures']} {summary['statuses']}"


def programs(platform):
    """Workload → process ids of the programs and shims of its pods, from the records on disk."""
    found = {}
    for record in platform.data.glob("clusters/*/kubelet/pods/*/containers/*/*/started.json"):
        if (record.parent / "exit.json").exists():
            continue
        started = json.loads(record.read_text())
        name = record.parent.parent.name
        found.setdefault(name, []).append(started["main"]["pid"])
        found.setdefault(f"{name}'s shim", []).append(started["shim"]["pid"])
    return {name: [pid for pid in pids if not gone(pid)] for name, pids in found.items()}


def postmaster(platform):
    return int(next(platform.data.glob("postgres/*/data/postmaster.pid")).read_text().split()[0])


def line_kills(platform):
    """kill -9 of the cloud, its database and its pods at ten random moments each, while three clients write: back within 5 s, and no acknowledged write is lost"""
    dice = random.Random(SEED)
    writers, console = Writers(platform), platform.console()
    back = {"the cloud": [], "the database": []}
    kills = [name for name in ("the cloud", "the database", "a pod") for _ in range(KILLS)]
    dice.shuffle(kills)
    killed_pods = []
    try:
        for number, name in enumerate(kills):
            when = f"seed {SEED}, kill {number}, {name}"
            time.sleep(dice.uniform(0.2, 1.5))
            if name == "a pod":
                choice = programs(platform)
                program = dice.choice(sorted(choice))
                killed_pods.append(program)
                for pid in choice[program][:1]:
                    end(pid)
            else:
                # A page whose only pod still waits out the back-off of two kills in a row is late by that, not by this one.
                is_whole = platform.answers(console)
                kill = kill_database if name == "the database" else kill_cloud
                seconds = kill(platform, console, when)
                if is_whole:
                    back[name].append(seconds)
            writers.check(when)
    finally:
        writers.stop()
    writers.check(f"seed {SEED}, at the end")
    until("the platform answers at the end", lambda: platform.answers(console), 60)
    need(all(len(writer.acknowledged) > len(kills) for writer in writers.all), f"too few writes to prove anything: {writers.figure()}")
    need(all(len(seconds) >= KILLS / 2 for seconds in back.values()), f"too few kills of a whole platform: {back}")
    times = ", ".join(f"{name} at most {max(seconds):.1f} s" for name, seconds in back.items())
    need(all(max(seconds) <= BACK_SECONDS for seconds in back.values()), f"back: {times}; none lost")
    return f"seed {SEED}: {len(kills)} kills, back after {times}; pods: {', '.join(sorted(set(killed_pods)))}; acknowledged and kept: {writers.figure()}"


def end(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_cloud(platform, console, when):
    pid = cloud_pid(platform)
    end(pid)
    until(f"{when}: it has ended", lambda: gone(pid), 30)
    started = time.monotonic()
    platform.marea("local", "start")
    until(f"{when}: the platform answers", lambda: platform.answers(console), 60)
    return time.monotonic() - started


def kill_database(platform, console, when):
    pid = postmaster(platform)
    started = time.monotonic()
    end(pid)
    until(f"{when}: another one runs", lambda: running_postmaster(platform) not in (None, pid), 60)
    until(f"{when}: the platform answers", lambda: platform.answers(console), 60)
    return time.monotonic() - started


def running_postmaster(platform):
    try:
        pid = postmaster(platform)
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return None if gone(pid) else pid


def with_replicas(platform, least, most):
    """Brings the backend between two bounds, as a user would: in a stack file."""
    copy = platform.copy_of_repository()
    path = copy / "infrastructure-k8s-deploy/stack.local.yaml"
    text = path.read_text()
    need("      min: 2\n      max: 10\n" in text, f"{path} has other bounds than this line knows")
    path.write_text(text.replace("      min: 2\n      max: 10\n", f"      min: {least}\n      max: {most}\n", 1))
    platform.marea("up", cwd=copy)
    platform.until(f"{least} ready replicas", lambda: least <= platform.replicas() <= most, 180)


def backend_nodes(platform):
    """Node → names of the ready backend pods on it."""
    found = {}
    for pod in platform.ready_pods("platform", "backend"):
        found.setdefault(pod["spec"]["nodeName"], []).append(pod["metadata"]["name"])
    return found


def line_blast(platform):
    """destroy base and up keep the rows; a pod, then a node killed under load lose no request beyond those they were serving"""
    rows = platform.visits()
    platform.marea("destroy", "base")
    platform.marea("up")
    until("the platform answers after rebuilding base", platform.answers, 60)
    kept = platform.visits()
    need(kept > rows, f"{rows} rows before destroying base, {kept} after")
    with_replicas(platform, 6, 10)
    figures = []
    for kind in ("pod", "node"):
        platform.until("the backend is on two nodes", lambda: len(backend_nodes(platform)) >= 2, 120)
        nodes = backend_nodes(platform)
        node, pods = sorted(nodes.items())[0]
        load = Load(platform, RATE // 2, 25)
        time.sleep(8)
        target = f"node/{node}" if kind == "node" else f"pod/platform/{pods[0]}"
        platform.marea("local", "fault", "kill", target)
        summary = load.summary()
        failed, words = failed_of(summary)
        # Those under way at one moment, by Little's law with the time of a slow request.
        share = (len(pods) if kind == "node" else 1) / sum(map(len, nodes.values()))
        serving = 1 + math.ceil(RATE / 2 * share * summary["latency_ms"]["p95"] / 1000)
        need(failed <= serving, f"{target} killed at {RATE // 2} requests/s: {failed} of {summary['requests']} failed, at most {serving} were being served: {words}")
        figures.append(f"{kind}: {failed} of {summary['requests']} failed (at most {serving} were being served)")
    platform.marea("local", "fault", "heal")
    platform.marea("up")
    return f"rows {rows} to {kept}; " + "; ".join(figures)


class Connections(threading.Thread):
    """The most user connections that PostgreSQL ever had."""

    def __init__(self, platform):
        super().__init__(daemon=True)
        self.database, self.most, self.samples, self.done = Database(platform), 0, 0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.1):
            try:
                self.most = max(self.most, self.database.user_connections())
                self.samples += 1
            except (Failed, OSError, subprocess.SubprocessError):
                continue


def line_motion(platform):
    """rolling out at ten replicas, draining a node and scaling in lose no request at 200 requests/s; connections stay within B1ms's 35"""
    with_replicas(platform, 10, 10)
    platform.until("ten ready replicas", lambda: platform.replicas() == 10, 180)
    connections, load = Connections(platform), Load(platform, RATE, 600)
    steps = []
    try:
        for name, step in (("rollout", roll_out), ("drain", drain), ("scale-in", scale_in)):
            started = time.monotonic()
            step(platform)
            steps.append(f"{name} {time.monotonic() - started:.0f} s")
            need(load.running(), f"the load ended before {name} did")
    finally:
        connections.done.set()
        summary = load.end()
    failed, words = failed_of(summary)
    figure = (f"{summary['requests']} requests, {failed} failed, p99 {summary['latency_ms']['p99']:.0f} ms; {', '.join(steps)}; "
              f"at most {connections.most} connections ({connections.samples} samples)")
    need(failed == 0, f"{figure}: {words}")
    need(connections.samples > 20 and 10 <= connections.most <= MOST_CONNECTIONS, figure)
    platform.marea("up")
    return figure


def roll_out(platform):
    before = backend_pods(platform)
    platform.kubectl("rollout", "restart", "deployment/backend", "-n", "platform")
    platform.kubectl("rollout", "status", "deployment/backend", "-n", "platform", "--timeout=240s", timeout=260)
    platform.until("no old pod is left", lambda: not before.keys() & backend_pods(platform).keys(), 120)


def drain(platform):
    node = sorted(backend_nodes(platform))[0]
    platform.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s", timeout=260)
    platform.until("ten ready replicas after the drain", lambda: platform.replicas() == 10, 180)
    platform.kubectl("uncordon", node, check=False)


def scale_in(platform):
    platform.kubectl("patch", "hpa", "backend", "-n", "platform", "--type=merge", "-p", '{"spec": {"minReplicas": 2, "maxReplicas": 2}}')
    platform.until("two backend pods", lambda: len(backend_pods(platform)) == 2, 180)
