"""What happens when something breaks or is interrupted: nothing is lost, and the next `up` carries on."""

import itertools
import json
import os
import pathlib
import signal
import subprocess
import time

from .core import REPO, need, until
from .platform import MAREA, Asker, Platform

# Nobody listens there: what is tried is tried on this machine alone.
BROKEN = "127.0.0.1:9/there-is-no-such-image:1"
OWN = "marea.azurecr.io/backend:0.1.0"


def backend_pods(platform):
    """Name → restarts of the backend's containers."""
    pods = platform.pods_of("platform", "backend")
    return {pod["metadata"]["name"]: sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])) for pod in pods}


def backend_image(platform):
    deployment = platform.api().get("/apis/apps/v1/namespaces/platform/deployments/backend")
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


def line_atomic(platform):
    """up --atomic with an image that does not exist says so, returns to the last release, and no request fails meanwhile"""
    copy = platform.copy_of_repository()
    path = copy / "infrastructure-k8s-deploy/stack.local.yaml"
    path.write_text(path.read_text().replace(OWN, BROKEN).replace("config:\n", "config:\n  rolloutSeconds: 15\n", 1))
    asker = Asker(platform)
    started = time.monotonic()
    failed = platform.marea("up", "--atomic", cwd=copy, check=False)
    seconds = time.monotonic() - started
    need(failed.returncode == 1, f"up --atomic with a broken image: exit {failed.returncode}: {failed.stdout}{failed.stderr}")
    for words in ("platform/backend", BROKEN, "release"):
        need(words in failed.stderr, f"up --atomic does not say {words!r}: {failed.stderr}")
    need(backend_image(platform) == OWN, f"the backend is left at {backend_image(platform)}")
    platform.until("two ready replicas after the rollback", lambda: platform.replicas() == 2, 60)
    asked, lost = asker.stop()
    need(not lost, f"{len(lost)} of {asked} requests failed meanwhile: {lost[:3]}")
    need("unchanged" in platform.marea("up").stdout, "up after the rollback changes something")
    return f"back after {seconds:.1f} s, {asked} requests, none failed"


def line_rotate(platform):
    """marea secret rotate: a new database password, pods roll over to it, rows stay, no request fails"""
    old = platform.marea("secret", "get", "databasePassword").stdout
    rows = platform.visits()
    pods = backend_pods(platform)
    asker = Asker(platform)
    rotated = platform.marea("secret", "rotate")
    asked, lost = asker.stop()
    new = platform.marea("secret", "get", "databasePassword").stdout
    need(new != old, "the password is the same as before")
    need(old.strip() not in rotated.stdout + rotated.stderr and new.strip() not in rotated.stdout + rotated.stderr, "a password was printed")
    need(not lost, f"{len(lost)} of {asked} requests failed meanwhile: {lost[:3]}")
    need(platform.visits() > rows, "rows of the database are gone")
    platform.until("every pod is new", lambda: not pods.keys() & backend_pods(platform).keys(), 60)
    need("unchanged" in platform.marea("up").stdout, "up after the rotation changes something")
    return f"{asked} requests meanwhile, none failed"


def line_order(platform):
    """every order of destroying and rebuilding base, db and deploy ends in the same platform with its rows"""
    refused = platform.marea("destroy", "db", check=False)
    need(refused.returncode == 5 and "--delete-data" in refused.stderr, f"destroy db: exit {refused.returncode}: {refused.stderr}")
    rows = platform.visits()
    tried = 0
    for destroyed in (("deploy", "base"), ("base", "deploy"), ("base",), ("deploy",)):
        for rebuilt in itertools.permutations(("base", "db", "deploy")):
            words = f"destroy {', '.join(destroyed)}; up {', '.join(rebuilt)}"
            for stack in destroyed:
                platform.marea("destroy", stack)
            for stack in rebuilt:
                rebuild(platform, stack, words)
            platform.marea("up")
            need(platform.answers(), f"{words}: the platform does not answer")
            now = platform.visits()
            need(now > rows, f"{words}: {rows} rows before, {now} after")
            need(platform.marea("up").stdout.count("unchanged") >= 3, f"{words}: up is not finished")
            rows, tried = now, tried + 1
    platform.marea("destroy", "--delete-data")
    platform.marea("up")
    need(platform.visits() < rows, "destroy --delete-data kept the rows")
    return f"{tried} orders, rows kept in each; gone with --delete-data"


def rebuild(platform, stack, words):
    """One stack of its own. What it needs may not be there yet; then it says which stack to run first and changes nothing."""
    up = platform.marea("up", stack, check=False)
    early = up.returncode == 1 and "Run `marea up base` first" in up.stderr
    need(up.returncode == 0 or early, f"{words}: up {stack}: exit {up.returncode}: {up.stderr[-400:]}")


def line_interrupt(_):
    """up, interrupted at every line that it prints (Ctrl-C, kill -9), continues when it is run again"""
    counts = {"SIGINT": 0, "SIGKILL": 0}
    for number in (signal.SIGINT, signal.SIGKILL):
        for after in itertools.count():
            platform = Platform(prefix="marea-interrupt-")
            try:
                if not interrupted(platform, number, after):
                    break
                counts[number.name] += 1
                platform.marea("up")
                need(platform.answers(), f"after {number.name} at line {after} the platform does not answer")
                need(platform.marea("up").stdout.count("unchanged") >= 3, f"after {number.name} at line {after}: up is not finished")
            finally:
                platform.close()
    need(all(counts.values()), "up was never interrupted")
    return f"Ctrl-C at {counts['SIGINT']} points, kill -9 at {counts['SIGKILL']}"


def interrupted(platform, number, after):
    """Starts `up` and sends the signal once it has printed so many lines. False when it had finished by then."""
    process = subprocess.Popen([MAREA, "up"], env=platform.env, cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = list(itertools.islice(process.stderr, after))
    if len(lines) < after or (process.poll() is not None):
        process.communicate(timeout=60)
        return False
    if after == 0:
        # Before the first line there is a moment to wait for as well: the cloud's folder.
        until("up has begun", lambda: platform.data.exists() or process.poll() is not None, 30)
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    if process.returncode == 0:
        return False
    expected = 4 if number == signal.SIGINT else -number
    need(process.returncode == expected, f"{number.name} after {lines}: exit {process.returncode}: {words}")
    need(number != signal.SIGINT or "run the same command again" in words, f"Ctrl-C is answered with: {words}")
    return True


def processes_of(platform):
    """Everything that works for this platform: its data directory is in its arguments or its environment."""
    found, mark = [], str(platform.data).encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "cmdline").read_bytes() or mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def cloud_pid(platform):
    return json.loads((platform.data / "cloud.json").read_text())["pid"]


def gone(pid):
    """A zombie has ended too: its parent just has not asked yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def line_kill(platform):
    """kill -9 of the cloud, then of the cloud with everything it runs: marea local start and marea up bring it back with its rows; nothing is left running after a stop"""
    rows, pods, console = platform.visits(), backend_pods(platform), platform.console()
    pid = cloud_pid(platform)
    kill([pid])
    until("the cloud has ended", lambda: gone(pid), 30)
    told = platform.marea("status", check=False)
    need(told.returncode == 1 and "marea local start" in told.stderr, f"status without a cloud: exit {told.returncode}: {told.stderr}")
    started = time.monotonic()
    platform.marea("local", "start")
    until("the platform answers after kill -9 of the cloud", lambda: platform.answers(console), 60)
    alone = time.monotonic() - started
    need(platform.visits() > rows, "rows are gone after kill -9 of the cloud")
    need(backend_pods(platform) == pods, f"pods were not adopted: {pods} before, {backend_pods(platform)} after")
    need(platform.marea("up").stdout.count("unchanged") >= 3, "up after kill -9 of the cloud changes something")
    rows = platform.visits()
    everything = processes_of(platform)
    need(len(everything) > 5, f"only {everything} work for this platform")
    kill(everything)
    until("everything has ended", lambda: all(gone(pid) for pid in everything), 30)
    started = time.monotonic()
    platform.marea("up")
    until("the platform answers after kill -9 of everything", platform.answers, 120)
    together = time.monotonic() - started
    need(platform.visits() > rows, "rows are gone after kill -9 of everything")
    platform.until("two ready replicas", lambda: platform.replicas() == 2, 60)
    kill([cloud_pid(platform)])
    platform.marea("local", "stop")
    left = [pid for pid in processes_of(platform) if not gone(pid)]
    need(not left, f"marea local stop after kill -9 leaves {left} running")
    platform.marea("local", "start")
    until("the platform answers after the stop", platform.answers, 60)
    return f"cloud alone: answers after {alone:.1f} s with the same pods; all {len(everything)} processes: after {together:.1f} s; rows kept"
