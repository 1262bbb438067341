"""Our API server against kube-apiserver with etcd: the same requests of the same client, in the same run."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from acceptance_lines import peers

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")).resolve() / "release/examples"
BUILD = "cargo build --release -p kube-server --example serve --example bench"
# Figure, unit, what makes it a ratio (theirs over ours for what should be small), budget.
ROWS = [
    ("creates_per_second", "/s", "more", 3.0),
    ("watch_events_per_second", "/s", "more", 3.0),
    ("listed_per_second", "objects/s", "more", 3.0),
    ("memory", "MiB", "less", 5.0),
    ("create_ms_p50", "ms", "less", None),
    ("create_ms_p99", "ms", "less", None),
]


def proportional(pid):
    """MiB that would be free without this process."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Ours:
    """Serves until it is closed; its folder holds the certificates for both servers."""

    def __init__(self):
        self.process = subprocess.Popen([EXAMPLES / "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        kubeconfig = pathlib.Path(self.process.stdout.readline().strip())
        self.folder = kubeconfig.parent
        line = next(line for line in kubeconfig.read_text().splitlines() if "server:" in line)
        self.address = line.rsplit("https://", 1)[1]

    def pids(self):
        return [self.process.pid]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class Theirs:
    def __init__(self, certificates):
        self.folder, self.processes = pathlib.Path(tempfile.mkdtemp(prefix="marea-peer-")), []
        client, peer, secure = peers.free_port(), peers.free_port(), peers.free_port()
        self.address = f"127.0.0.1:{secure}"
        self.log = open(self.folder / "log", "wb")
        store = f"http://127.0.0.1:{client}"
        self.start("etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", store, "--advertise-client-urls", store,
                   "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                   "--initial-cluster", f"default=http://127.0.0.1:{peer}")
        accounts, public = certificates / "accounts.key", self.folder / "accounts.pub"
        subprocess.run(["openssl", "pkey", "-in", accounts, "-pubout", "-out", public], check=True, capture_output=True)
        self.start("kube-apiserver", "--etcd-servers", store, "--bind-address", "127.0.0.1", "--secure-port", secure,
                   "--tls-cert-file", certificates / "server.pem", "--tls-private-key-file", certificates / "server.key",
                   "--client-ca-file", certificates / "ca.pem", "--cert-dir", self.folder / "certificates",
                   "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", public,
                   "--service-account-signing-key-file", accounts, "--service-cluster-ip-range", "10.100.0.0/16", "--authorization-mode", "RBAC")
        self.wait(secure)

    def start(self, name, *arguments):
        command = [str(part) for part in (peers.program(name), *arguments)]
        self.processes.append(subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log))

    def wait(self, port):
        started = time.monotonic()
        while not peers.is_ready(port):
            if any(process.poll() is not None for process in self.processes) or time.monotonic() - started > peers.READY_SECONDS:
                tail = (self.folder / "log").read_text(errors="replace")[-600:]
                self.close()
                sys.exit(f"the genuine control plane does not get ready: {tail}")
            time.sleep(0.05)

    def pids(self):
        return [process.pid for process in self.processes]

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                # It waits for open watches longer than anybody here wants to.
                process.kill()
                process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def load(server, certificates, pods):
    command = [EXAMPLES / "bench", server.address, certificates, str(pods)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        sys.exit(f"bench: {done.stderr.strip()}")
    return {**json.loads(done.stdout), "memory": sum(map(proportional, server.pids()))}


def one_run(pods):
    """Figures of ours and of the peer, None where its programs are not built."""
    ours = Ours()
    theirs = None
    try:
        mine = load(ours, ours.folder, pods)
        if peers.program("kube-apiserver") and peers.program("etcd") and shutil.which("openssl"):
            theirs = Theirs(ours.folder)
            return mine, load(theirs, ours.folder, pods)
        return mine, None
    finally:
        if theirs:
            theirs.close()
        ours.close()


def measure(runs, pods):
    """Rows of medians and ratios."""
    if not (EXAMPLES / "bench").exists():
        sys.exit(f"{EXAMPLES / 'bench'} is missing: {BUILD}")
    pairs = []
    for number in range(1, runs + 1):
        pairs.append(one_run(pods))
        print(f"run {number}: {pairs[-1][0]['creates_per_second']:.0f} creates/s", file=sys.stderr, flush=True)
    for name, unit, better, budget in ROWS:
        ours = statistics.median(mine[name] for mine, _ in pairs)
        others = [theirs[name] for _, theirs in pairs if theirs]
        theirs = statistics.median(others) if others else None
        ratio = None if theirs is None else (ours / theirs if better == "more" else theirs / ours)
        within = None if budget is None or ratio is None else ratio >= budget
        yield {"name": name, "unit": unit, "ours": ours, "peer": theirs, "ratio": ratio, "budget": budget, "within": within}


def words(row):
    text = f"{row['name'].replace('_', ' ')}: {row['ours']:.1f} {row['unit']}"
    if row["ratio"] is None:
        return f"{text}; peer not measured"
    budget = "" if row["budget"] is None else f"; budget {row['budget']:g} x, {'within' if row['within'] else 'OVER'}"
    return f"{text}; genuine {row['peer']:.1f}, {row['ratio']:.1f} x better{budget}"
