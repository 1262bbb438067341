"""The genuine control plane beside ours: kube-apiserver with etcd on loopback, as `conformance/programs/build` makes them."""

import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 120


def program(name):
    """The newest that was built."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    folder = pathlib.Path(os.environ.get("MAREA_PROGRAMS", cache / "marea/programs"))
    found = sorted(folder.glob(f"*/{name}"))
    return found[-1] if found else None


def usage(pids):
    """CPU seconds and resident MiB together."""
    seconds, resident = 0.0, 0.0
    for pid in pids:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        seconds += (int(stat[11]) + int(stat[12])) / TICKS
        resident += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return seconds, resident


def idle(pids, seconds):
    """Resident MiB, and percent of a core over so many seconds, of these processes alone."""
    before, _ = usage(pids)
    time.sleep(seconds)
    after, resident = usage(pids)
    return resident, (after - before) / seconds * 100


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def is_ready(port):
    # The server makes a certificate of its own at each start.
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", timeout=2, context=context) as answer:
            return answer.status == 200
    except OSError:
        return False


def one_run(idle_seconds):
    """Seconds to /readyz from an empty folder, and what it takes idle. None where the programs are not there."""
    server, etcd = program("kube-apiserver"), program("etcd")
    if not (server and etcd and shutil.which("openssl")):
        return None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marea-peer-"))
    started_processes = []
    try:
        key = folder / "service-account.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        client, peer, secure = free_port(), free_port(), free_port()
        log = open(folder / "log", "wb")

        def run(*command):
            started_processes.append(subprocess.Popen(list(map(str, command)), cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

        started = time.monotonic()
        run(etcd, "--data-dir", folder / "etcd", "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}")
        run(server, "--etcd-servers", f"http://127.0.0.1:{client}", "--bind-address", "127.0.0.1", "--secure-port", secure, "--cert-dir", folder / "certificates",
            "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key, "--service-account-signing-key-file", key,
            "--service-cluster-ip-range", "10.100.0.0/16", "--authorization-mode", "RBAC")
        while not is_ready(secure):
            ended = [process for process in started_processes if process.poll() is not None]
            if ended or time.monotonic() - started > READY_SECONDS:
                tail = (folder / "log").read_text(errors="replace")[-1500:]
                raise SystemExit(f"the genuine control plane does not get ready: {tail}")
            time.sleep(0.02)
        ready = time.monotonic() - started
        time.sleep(idle_seconds)
        resident, share = idle([process.pid for process in started_processes], idle_seconds)
        return {"ready": ready, "resident": resident, "share": share}
    finally:
        # A minute of graceful shutdown is of no use to data that is thrown away.
        for process in started_processes:
            process.kill()
            process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
