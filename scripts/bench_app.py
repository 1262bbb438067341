"""`scripts/bench app`: the backend beside Flask + gunicorn + SQLAlchemy, and the ingress beside nginx, in one run.

Both backends answer the same request with the same query of the same PostgreSQL; both proxies carry the same request to the same
pod. The load is open (`marea load`), on loopback. A figure is of one core: requests answered by second of CPU time of the
server's own processes, so that a busy machine spoils it less: of the backends each at six tenths of the highest rate that it keeps
up with, of the proxies both at six tenths of the lower one. Memory is proportional (PSS), after a load that both carry.
"""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv

from acceptance_lines.core import BIN, REPO, Failed, until
from acceptance_lines.peers import free_port, usage
from acceptance_lines.platform import Platform

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "marea/flask-peer"
PACKAGES = ["flask", "gunicorn", "sqlalchemy", "psycopg[binary]"]
CONNECTIONS = 4
WORK = "/api/v1/work?units=0"
# Figure, unit, which way is better, the ratio that is wanted.
BACKEND_RATE = ("backend, requests a second of one core, one query each", "/s", "more", 8.0)
BACKEND_MEMORY = ("backend, memory after the same load", "MiB", "less", 5.0)
INGRESS_RATE = ("ingress, requests a second of one core", "/s", "more", 0.7)
TOO_SLOW_MS = 250
WARM_SECONDS, PROBE_SECONDS, MEASURE_SECONDS = 1, 2, 6
# Of the two proxies, each after the other.
TURNS = 5
HIGHEST_RATE = 12_800

FLASK = '''
import os
import uuid

from flask import Flask, jsonify, request
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["DATABASE"], pool_size=int(os.environ["POOL"]), max_overflow=0)
app = Flask(__name__)
VISITS = text("SELECT coalesce(sum(count), 0)::bigint AS visits FROM visits")


@app.after_request
def identify(response):
    response.headers["x-request-id"] = request.headers.get("x-request-id") or uuid.uuid4().hex
    return response


@app.get("/health")
def health():
    return "ok"


@app.get("/api/v1/work")
def work():
    units = request.args.get("units", 1, type=int)
    with engine.connect() as connection:
        visits = connection.execute(VISITS).scalar_one()
    return jsonify(units=units, checksum="9e3779b97f4a7c15", visits=visits, pod="peer")
'''

NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream pod {{ server {upstream}; keepalive 256; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://pod;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Real-Ip $remote_addr;
        }}
    }}
}}
"""


class Postgres:
    """Of this run's own, in a temporary folder; PostgreSQL refuses to run as root."""

    def __init__(self, folder):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        if not found:
            raise SystemExit("no PostgreSQL server under /usr/lib/postgresql; install postgresql-15")
        self.bin, self.port, self.data = found[-1].parent, free_port(), folder / "postgres"
        self.data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.data, "postgres")
            folder.chmod(0o755)
        self.run("initdb", "--pgdata", self.data, "--auth", "trust", "--username", "marea", "--encoding", "UTF8", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories='' -c fsync=off"
        self.run("pg_ctl", "--pgdata", self.data, "--wait", "--silent", "--log", self.data / "log", "--options", options, "start")

    def run(self, name, *arguments, check=True):
        owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        done = subprocess.run([*owner, self.bin / name, *map(str, arguments)], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=120)
        if check and done.returncode != 0:
            raise SystemExit(f"{name}: {done.stderr.strip()[-600:]}")

    def close(self):
        self.run("pg_ctl", "--pgdata", self.data, "--mode", "immediate", "--silent", "stop", check=False)


class Server:
    """A server of this run with everything that it starts."""

    def __init__(self, command, url, env, cwd):
        self.url = url
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(list(map(str, command)), env={**os.environ, **env}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)

    def wait(self, path):
        def answers():
            if self.process.poll() is not None:
                self.log.seek(0)
                raise SystemExit(f"{self.process.args[0]} ended: {self.log.read()[-800:].decode(errors='replace')}")
            try:
                with urllib.request.urlopen(self.url + path, timeout=2) as answer:
                    return answer.status == 200
            except OSError:
                return False

        until(f"{self.url}{path} answers", answers, 60)
        return self

    def pids(self):
        return descendants(self.process.pid)

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Running:
    """A process that somebody else started."""

    def __init__(self, pid, url):
        self.pid, self.url = pid, url

    def pids(self):
        return descendants(self.pid)


def descendants(pid):
    found = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += descendants(int(child))
    return found


def proportional(pids):
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1024
    return total


def load(server, path, rate, seconds):
    command = [BIN / "marea", "load", "--url", server.url, "--path", path, "--rate", str(rate), "--for", f"{seconds}s", "--timeout", "5s", "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 60)
    if not done.stdout:
        raise SystemExit(f"marea load: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)


def keeps_up(summary, rate, seconds):
    return summary["failed"] == 0 and summary["latency_ms"]["p99"] < TOO_SLOW_MS and summary["requests"] >= 0.95 * rate * seconds


def highest_rate(server, path):
    """In steps of a factor √2, from 100 requests a second on."""
    load(server, path, 100, WARM_SECONDS)
    rate, kept = 100.0, 70.0
    while rate <= HIGHEST_RATE:
        if not keeps_up(load(server, path, rate, PROBE_SECONDS), rate, PROBE_SECONDS):
            break
        kept, rate = rate, rate * 2**0.5
    return kept


def cost_at(server, path, rate):
    """Requests by second of CPU time, and the p99."""
    before, _ = usage(server.pids())
    summary = load(server, path, rate, MEASURE_SECONDS)
    after, _ = usage(server.pids())
    if summary["failed"]:
        raise SystemExit(f"{server.url}: {summary['failed']} of {summary['requests']} requests failed: {summary['failures']} {summary['statuses']}")
    return summary["requests"] / (after - before), summary["latency_ms"]["p99"]


def measure(server, path):
    """Requests by second of CPU time, MiB, and the rate that it kept up with."""
    kept = highest_rate(server, path)
    rate, p99 = cost_at(server, path, 0.6 * kept)
    return {"rate": rate, "memory": proportional(server.pids()), "kept": kept, "p99": p99}


def measure_alike(servers, path):
    """The same of each, at one rate that all carry, in turns: a request costs less CPU the more of them come at once, and a busy
    machine spoils neighbouring seconds alike."""
    kept = [highest_rate(server, path) for server in servers]
    costs = [[cost_at(server, path, 0.6 * min(kept)) for server in servers] for _ in range(TURNS)]
    middle = lambda server, figure: statistics.median(turn[server][figure] for turn in costs)
    return [
        {"rate": middle(index, 0), "memory": proportional(server.pids()), "kept": kept[index], "p99": middle(index, 1)}
        for index, server in enumerate(servers)
    ]


def flask_python():
    """An interpreter with the peer's packages, made once; `None` where the package index cannot be reached."""
    python = CACHE / "bin/python"
    works = [python, "-c", "import flask, gunicorn, sqlalchemy, psycopg"]
    if python.exists() and subprocess.run(works, capture_output=True).returncode == 0:
        return python
    print(f"installing {', '.join(PACKAGES)} into {CACHE}", file=sys.stderr, flush=True)
    venv.create(CACHE, with_pip=True, clear=True)
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        print(f"the peer cannot be installed: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}", file=sys.stderr)
        return None
    return python


def ours_of(postgres, folder):
    port = free_port()
    env = {"BIND_ADDRESS": f"127.0.0.1:{port}", "POD_NAME": "bench", "PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "marea", "PGDATABASE": "postgres",
           "PGSSLMODE": "disable", "DATABASE_POOL_SIZE": str(CONNECTIONS), "KUBECONFIG": str(folder / "none")}
    # Its migrations make the table that both read.
    return Server([BIN / "marea-backend"], f"http://127.0.0.1:{port}", env, folder).wait("/ready")


def peer_of(postgres, folder, python):
    (folder / "peer.py").write_text(FLASK)
    port = free_port()
    env = {"DATABASE": f"postgresql+psycopg://marea@127.0.0.1:{postgres.port}/postgres", "POOL": str(CONNECTIONS)}
    command = [python, "-m", "gunicorn", "--workers", 2 * os.cpu_count() + 1, "--worker-class", "gthread", "--threads", CONNECTIONS, "--keep-alive", "30",
               "--bind", f"127.0.0.1:{port}", "peer:app"]
    return Server(command, f"http://127.0.0.1:{port}", env, folder).wait(WORK)


def measured(server):
    try:
        return measure(server, WORK)
    finally:
        server.close()


def memory_at(server, rate):
    """MiB of a fresh server after a load that both can carry: what an overload leaves behind is not what it needs."""
    try:
        load(server, WORK, rate, MEASURE_SECONDS)
        return proportional(server.pids())
    finally:
        server.close()


def backends(folder):
    """Our figures and the peer's, `None` where it cannot be had."""
    postgres, python = Postgres(folder), flask_python()
    try:
        ours = measured(ours_of(postgres, folder))
        theirs = measured(peer_of(postgres, folder, python)) if python else None
        rate = 0.6 * min(one["kept"] for one in (ours, theirs) if one)
        ours["memory"] = memory_at(ours_of(postgres, folder), rate)
        if theirs:
            theirs["memory"] = memory_at(peer_of(postgres, folder, python), rate)
        return ours, theirs
    finally:
        postgres.close()


def process_of(address):
    """The ingress program that answers at a pod's address."""
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if b"marea-ingress" in (path / "cmdline").read_bytes().split(b"\0")[0] and f"POD_IP={address}".encode() in (path / "environ").read_bytes().split(b"\0"):
                return int(path.name)
        except OSError:
            continue
    raise Failed(f"no marea-ingress runs as the pod at {address}")


def ingresses(folder):
    """The ingress of a running platform and nginx, both in front of the same pod of the frontend."""
    platform, nginx = Platform(prefix="marea-bench-app-"), None
    try:
        platform.marea("up", "--isolation", "none")
        pod = lambda namespace, name: next(
            pod["status"]["podIP"] for pod in platform.api().get(f"/api/v1/namespaces/{namespace}/pods")["items"]
            if pod["metadata"]["labels"].get("app.kubernetes.io/name") == name and pod["status"].get("phase") == "Running")
        address, upstream = pod("ingress", "traefik"), pod("platform", "frontend")
        ours = Running(process_of(address), f"http://{address}:8000")
        work = folder / "nginx"
        work.mkdir()
        work.chmod(0o755)
        port = free_port()
        user = "user www-data;" if os.geteuid() == 0 else ""
        (work / "nginx.conf").write_text(NGINX.format(folder=work, user=user, upstream=f"{upstream}:8080", port=port))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        nginx = Server([program, "-e", "stderr", "-c", work / "nginx.conf", "-p", work], f"http://127.0.0.1:{port}", {}, work).wait("/favicon.svg")
        return measure_alike([ours, nginx], "/favicon.svg")
    finally:
        if nginx:
            nginx.close()
        platform.close()


def row(definition, figure, pairs):
    name, unit, better, budget = definition
    ours = statistics.median(mine[figure] for mine, _ in pairs)
    others = [theirs[figure] for _, theirs in pairs if theirs]
    theirs = statistics.median(others) if others else None
    ratio = None if theirs is None else ours / theirs if better == "more" else theirs / ours
    return {"name": name, "unit": unit, "ours": ours, "peer": theirs, "ratio": ratio, "budget": budget, "within": None if ratio is None else ratio >= budget}


def words(one):
    text = f"{one['name']}: {one['ours']:,.1f} {one['unit']}"
    if one["ratio"] is None:
        return f"{text}; the peer was not measured"
    return f"{text}; peer {one['peer']:,.1f}; {one['ratio']:.2f} x; budget {one['budget']:g} x, {'within' if one['within'] else 'MISSED'}"


def told(what, pair):
    for name, figures in zip(("ours", "peer"), pair):
        if figures:
            print(f"{what}, {name}: kept up with {figures['kept']:,.0f}/s; at six tenths of it {figures['rate']:,.0f}/s of one core, p99 {figures['p99']:.1f} ms, {figures['memory']:.1f} MiB",
                  file=sys.stderr, flush=True)
    return pair


def main(arguments):
    runs = int(arguments[arguments.index("--runs") + 1]) if "--runs" in arguments else 1
    for name in ("marea", "marea-backend"):
        if not (BIN / name).exists():
            sys.exit(f"{BIN / name} is missing: run scripts/up once, or set MAREA_BIN to where the programs are")
    apps, proxies = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="marea-bench-app-") as folder:
            apps.append(told("backend", backends(pathlib.Path(folder))))
            proxies.append(told("ingress", ingresses(pathlib.Path(folder))))
    rows = [row(BACKEND_RATE, "rate", apps), row(BACKEND_MEMORY, "memory", apps), row(INGRESS_RATE, "rate", proxies)]
    print(json.dumps({"rows": rows}) if "--json" in arguments else "\n".join(map(words, rows)))
    return 3 if any(one["within"] is False for one in rows) else 0
