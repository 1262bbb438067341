"""What goes wrong on people's machines: one clear message, a documented exit code, nothing half done."""

import os
import signal
import socket
import subprocess

from .core import Skipped, need
from .platform import Platform
from .recovery import cloud_pid

SMALL_DISK = "size=12m"


def check(done, code, *words):
    """The exit code, and what each message must name: what, where, what to do."""
    text = done.stdout + done.stderr
    command = " ".join(map(str, done.args[1:]))
    need(done.returncode == code, f"marea {command}: exit {done.returncode} instead of {code}: {text[-500:]}")
    for word in words:
        need(word in text, f"marea {command} does not say {word!r}: {text[-500:]}")
    for noise in ("panicked", "RUST_BACKTRACE", "Error {"):
        need(noise not in text, f"marea {command} prints {noise!r}: {text[-500:]}")


def edited(platform, file, old, new):
    copy = platform.copy_of_repository()
    path = copy / file
    text = path.read_text()
    need(old in text, f"{file} has no `{old}`")
    path.write_text(text.replace(old, new, 1))
    return copy


# Name, file, what is written instead of what, exit code, words.
FILES = [
    ("an unknown key", "infrastructure-k8s-deploy/stack.local.yaml", "max: 10", "maximum: 10", 2, ("stack.local.yaml:", "maximum")),
    ("a mistyped value", "infrastructure-k8s-base/stack.local.yaml", "count: 1", "count: one", 2, ("stack.local.yaml:", "count")),
    ("a mistyped key", "infrastructure-k8s-base/stack.local.yaml", "vmSize: Standard_B2s, min", "vmsize: Standard_B2s, min", 2, ("stack.local.yaml:", "vmsize", "vmSize")),
    ("bounds upside down", "infrastructure-k8s-base/stack.local.yaml", "min: 1, max: 3", "min: 4, max: 3", 2, ("stack.local.yaml", "frontend")),
    ("more replicas than connections", "infrastructure-k8s-deploy/stack.local.yaml", "max: 10", "max: 40", 2, ("config.backend.replicas.max", "connections")),
    ("a manifest that does not parse", "k8s/backend/hpa.yaml", "kind: HorizontalPodAutoscaler", "kind: [", 2, ("k8s/backend/hpa.yaml:",)),
    ("an unknown pool", "k8s/backend/deployment.yaml", "values: [backend]", "values: [bakend]", 2, ("bakend", "backend")),
    ("a kind that nobody serves", "k8s/backend/hpa.yaml", "kind: HorizontalPodAutoscaler", "kind: HorizontalPodAutoscalr", 2, ("hpa.yaml", "HorizontalPodAutoscalr")),
]


def files(platform):
    """Refused before anything starts: there is no data directory afterwards."""
    for name, file, old, new, code, words in FILES:
        copy = edited(platform, file, old, new)
        for verb in ("up", "preview"):
            done = platform.marea(verb, cwd=copy, check=False)
            try:
                check(done, code, "error: ", *words)
            except Exception as error:
                raise type(error)(f"{name}: {error}") from error
        need(not platform.data.exists(), f"{name}: a cloud was begun")
    return len(FILES)


def missing_programs(platform):
    """Without Prometheus on PATH (nginx is looked for in /usr/sbin too), `up` names the Debian package and starts nothing."""
    done = platform.marea("up", env={**platform.env, "PATH": "/nonexistent"}, check=False)
    check(done, 1, "error: ", "prometheus is not installed", "apt-get install --no-install-recommends prometheus")
    need(not (platform.data / "cloud.json").exists(), "a cloud was started although programs are missing")


def taken_port(platform):
    """With 8080 in use, `up` says which port it took."""
    try:
        holder = socket.create_server(("127.0.0.1", 8080))
    except OSError:
        holder = None
    try:
        up = platform.marea("up")
    finally:
        if holder:
            holder.close()
    check(up, 0, "Console: http://127.0.0.1:", "8080 is in use")


def stopped_cloud(platform):
    """A cloud that stands still is named with its process and with what lets it go on, and nobody waits for ever."""
    pid = cloud_pid(platform)
    os.kill(pid, signal.SIGSTOP)
    try:
        for verb in ("status", "up"):
            done = platform.marea(verb, check=False, timeout=150)
            check(done, 1, "error: ", f"process {pid}) is paused", "marea local fault heal")
        check(platform.marea("local", "fault", "heal", check=False), 0)
    finally:
        os.kill(pid, signal.SIGCONT)
    platform.until("the cloud answers again", platform.answers, 60)


def wrong_key(platform):
    """A lost key: what it opened is named, and the way out."""
    key = platform.folder / "config/marea/key.txt"
    kept = key.read_text()
    key.unlink()
    done = platform.marea("up", check=False)
    check(done, 5, "error: ", "databasePassword", "cannot be decrypted")
    key.write_text("not a key\n")
    done = platform.marea("up", check=False)
    check(done, 1, "error: ", "key.txt")
    key.write_text(kept)
    check(platform.marea("up"), 0, "unchanged")


def unreachable(platform):
    """No cloud: every command says how to start one."""
    platform.marea("local", "stop")
    for arguments in (["status"], ["outputs"], ["drift"], ["history"], ["explain", "hpa/backend"], ["local", "kubeconfig"], ["load", "--for", "1s"]):
        check(platform.marea(*arguments, check=False), 1, "error: ", "no local cloud runs", "marea local start")
    pid_before = (platform.data / "cloud.json").exists()
    check(platform.marea("local", "stop", check=False), 0)
    return pid_before


def full_disk():
    """A disk that is full: what, where, how much; and the next `up` on a larger one is as ever."""
    if os.geteuid() != 0:
        raise Skipped("a small disk needs root")
    platform = Platform(prefix="marea-full-")
    disk = platform.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode != 0:
        platform.close()
        raise Skipped(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
    platform.data = disk / "data"
    platform.env["MAREA_DATA_DIR"] = str(platform.data)
    try:
        check(platform.marea("up", check=False), 1, "error: ", "No space left on device")
        grown = subprocess.run(["mount", "-o", "remount,size=2g", disk], capture_output=True, text=True)
        need(grown.returncode == 0, grown.stderr)
        platform.marea("up")
        need(platform.answers(), "with room again the platform does not answer")
    finally:
        platform.marea("local", "reset", "--yes", check=False)
        subprocess.run(["umount", "--lazy", disk], capture_output=True)
        platform.close()


def line(_):
    """bad input: each gets one clear message (what, where, what to do) and its exit code, and nothing is half done"""
    platform = Platform(prefix="marea-bad-input-")
    try:
        count = files(platform)
        for part in (missing_programs, taken_port, wrong_key, stopped_cloud, unreachable):
            part(platform)
            count += 1
    finally:
        platform.close()
    try:
        full_disk()
        disk = "a full disk"
        count += 1
    except Skipped as skipped:
        disk = f"a full disk was not tried: {skipped}"
    return f"{count} cases, {disk}"
