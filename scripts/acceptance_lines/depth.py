"""What operators need in depth, tried on a platform of its own: `scripts/acceptance depth`.

Lines 1 and matrix need the sandbox; the others run in either kind of isolation (--isolation). MAREA_SEED and MAREA_KILLS set
the dice and the number of kills of line 2.
"""

import argparse
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from . import canary, console, observability, survival
from .core import REPO, Failed, Skipped, cargo_test, need, run, until
from .platform import Platform

API_VERSION = "2024-05-01"
REFUSED = "refused"
ANSWERS = "answers"
# Connects and says what came of it. Within a pod python3 is the host's, as every program is.
DIAL = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    socket.create_connection((host, port), timeout=5).close()
    print("answers")
except ConnectionRefusedError:
    print("refused")
except OSError as error:
    print(type(error).__name__, error)
"""


class Isolated(Platform):
    def __init__(self, isolation):
        super().__init__(prefix="marea-depth-")
        self.env["MAREA_ISOLATION"] = isolation

    def pods(self):
        found = {}
        for namespace in ("platform", "ingress", "monitoring"):
            for pod in self.api().get(f"/api/v1/namespaces/{namespace}/pods")["items"]:
                name = pod["metadata"]["labels"].get("app.kubernetes.io/name")
                if pod["status"].get("phase") == "Running" and name != "grafana":
                    found.setdefault(name, pod)
        return found

    def dial(self, pod, host, port):
        metadata = pod["metadata"]
        container = pod["spec"]["containers"][0]["name"]
        done = self.kubectl(
            "exec", "-n", metadata["namespace"], metadata["name"], "-c", container, "--", "python3", "-c", DIAL, host, str(port), check=False)
        return done.stdout.strip() or done.stderr.strip()[-200:]

    def arm(self):
        text = self.marea("local", "azure-env").stdout
        return Arm(dict(re.findall(r"export (\w+)='([^']*)'", text)))


class Arm:
    """Azure Resource Manager as its service principal."""

    def __init__(self, env):
        self.base = env["MAREA_ARM_ENDPOINT"].rstrip("/")
        self.subscription = env["AZURE_SUBSCRIPTION_ID"]
        self.context = ssl.create_default_context(cafile=env["SSL_CERT_FILE"])
        form = urllib.parse.urlencode({
            "grant_type": "client_credentials", "client_id": env["AZURE_CLIENT_ID"], "client_secret": env["AZURE_CLIENT_SECRET"],
            "scope": "https://management.azure.com/.default"}).encode()
        address = f"{env['AZURE_AUTHORITY_HOST'].rstrip('/')}/{env['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        with urllib.request.urlopen(address, form, timeout=30, context=self.context) as answer:
            self.token = json.load(answer)["access_token"]

    def list(self, path):
        """Every page of a list."""
        page = self.call("GET", path)
        found = list(page["value"])
        while page.get("nextLink"):
            page = self.call("GET", page["nextLink"])
            found += page["value"]
        return found

    def call(self, method, path, body=None):
        address = path if path.startswith("https://") else f"{self.base}{path}?api-version={API_VERSION}"
        request = urllib.request.Request(
            address, method=method, data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.context) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read()[-300:]}") from error


def database_group(arm):
    groups = arm.call("GET", f"/subscriptions/{arm.subscription}/providers/Microsoft.Network/networkSecurityGroups")["value"]
    return next(group for group in groups if group["name"] == "marea-db")


def database(platform):
    config = platform.api().get("/api/v1/namespaces/platform/configmaps/backend-config")["data"]
    return config["PGHOST"], int(config["PGPORT"])


def line_fences(platform):
    """the database answers backend pods alone, and each fence alone keeps the frontend out"""
    host, port = database(platform)
    # By its address too: a pod that may not ask the name server has not been refused by the database yet.
    record = next(platform.data.glob("postgres/*/server.json"))
    address = json.loads(record.read_text())["address"]

    def expect(case, frontend):
        def holds():
            return platform.dial(platform.pods()["backend"], host, port) == ANSWERS and platform.dial(platform.pods()["frontend"], address, port) == frontend

        until(f"{case}: backend {ANSWERS}, frontend {frontend}", holds, 20)

    expect("both fences", REFUSED)
    here = platform.run("python3", "-c", DIAL, "127.0.0.1", str(port), check=False).stdout.strip()
    host_sees = platform.run("python3", "-c", POSTGRES, address, str(port), check=False).stdout.strip()
    need(host_sees != "postgres", "PostgreSQL answers the host")
    arm = platform.arm()
    group = database_group(arm)
    everybody = f"{group['id']}/securityRules/everybody"
    rule = {"properties": {
        "priority": 200, "direction": "Inbound", "access": "Allow", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "*"}}
    # Before the rule that denies everybody else: as good as no group.
    arm.call("PUT", everybody, rule)
    expect("without the security group", REFUSED)
    arm.call("DELETE", everybody)
    platform.kubectl("delete", "networkpolicy", "--all", "-n", "platform")
    expect("without network policies", REFUSED)
    arm.call("PUT", everybody, rule)
    expect("with neither", ANSWERS)
    arm.call("DELETE", everybody)
    platform.kubectl("apply", "-f", str(REPO / "k8s/network-policies.yaml"))
    expect("both again", REFUSED)
    return f"{address}:{port} as asked in all four combinations; from this machine it is not there (127.0.0.1:{port} {here})"


# Whether a PostgreSQL answers: its one-byte reply to a request for TLS.
POSTGRES = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3) as s:
        s.settimeout(3)
        s.sendall(bytes([0, 0, 0, 8, 4, 210, 22, 47]))
        print("postgres" if s.recv(1) in (b"S", b"N") else "something else")
except OSError as error:
    print(error)
"""

# What k8s/network-policies.yaml lets through: from, to, port.
ALLOWED = {
    ("traefik", "backend", 8080), ("traefik", "frontend", 8080),
    ("prometheus", "backend", 8080), ("prometheus", "frontend", 8080), ("prometheus", "traefik", 9100),
    ("prometheus", "prometheus-operator", 8080), ("prometheus", "kube-state-metrics", 8080), ("prometheus", "prometheus", 9090), ("backend", "prometheus", 9090),
}
PORTS = {"backend": [8080], "frontend": [8080], "traefik": [8000, 9100], "prometheus": [9090], "prometheus-operator": [8080], "kube-state-metrics": [8080]}


def line_matrix(platform):
    """every workload to every other one, by real sockets, is let through or refused as the policies say"""
    platform.until("Prometheus runs", lambda: "prometheus" in platform.pods(), 60)
    pods, wrong, tried = platform.pods(), [], 0
    for source, pod in sorted(pods.items()):
        for target, ports in PORTS.items():
            for port in ports:
                # A pod reaches itself without leaving its network.
                allowed = (source, target, port) in ALLOWED or source == target
                heard = platform.dial(pod, pods[target]["status"]["podIP"], port)
                tried += 1
                if heard != (ANSWERS if allowed else REFUSED):
                    wrong.append(f"{source} to {target}:{port} {heard}, not {ANSWERS if allowed else REFUSED}")
    need(not wrong, "; ".join(wrong))
    return f"{tried} pairs"


def line_power(_):
    """power cut at random points under both stores, torn and failing writes, full disks: nothing acknowledged is missing"""
    tests = cargo_test("kube-server", "--lib", "persistence") + cargo_test("arm-server", "--lib", "storage")
    return f"{tests} tests, 1,000 seeds for each store"


def line_access(_):
    """every route of the backend, ARM and the Kubernetes API is in a table of who may use it, by enumeration"""
    tests = cargo_test("marea-backend", "--test", "it", "access") + cargo_test("arm-engine", "--test", "engine", "access")
    return f"{tests + cargo_test('kube-server', '--test', 'api', 'authorisation')} tests"


def line_application(_):
    """the backend beside Flask, gunicorn and SQLAlchemy, the ingress beside nginx (scripts/bench app)"""
    done = run([str(REPO / "scripts/bench"), "app", "--json"], timeout=1800)
    need(done.returncode in (0, 3), done.stdout[-800:])
    rows = json.loads(done.stdout.strip().splitlines()[-1])["rows"]
    told = [f"{row['name']}: {row['ours']:,.1f} {row['unit']}" + (f", {row['ratio']:.2f} x of {row['budget']:g} x asked" if row["ratio"] else ", no peer here") for row in rows]
    need(all(row["within"] is not False for row in rows), "; ".join(told))
    return "; ".join(told)


LINES = {
    "1": line_fences, "matrix": line_matrix, "2": survival.line_kills, "power": line_power, "3": survival.line_blast, "4": survival.line_motion,
    "5": observability.line, "alert": observability.line_alert, "6": canary.line, "7": line_access, "8": console.line_depth,
    "9": line_application,
}
NEED_SANDBOX = {"1", "matrix"}
# They start what they need themselves, and want the machine for it.
ON_THEIR_OWN = {"power", "7", "9"}


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="scripts/acceptance depth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isolation", choices=["sandbox", "none"], default="sandbox", help="how pods are kept apart (default: sandbox)")
    parser.add_argument("--only", action="append", choices=sorted(LINES), metavar="LINE", help=f"one of {', '.join(LINES)}")
    options = parser.parse_args(arguments)
    chosen = options.only or list(LINES)
    alone, together = ([name for name in LINES if name in chosen and (name in ON_THEIR_OWN) is one] for one in (True, False))
    outcomes = [attempt(name, None, options.isolation) for name in alone]
    if together:
        outcomes.append(on_a_platform(together, options.isolation))
    return 0 if all(outcomes) else 1


def on_a_platform(names, isolation):
    platform = Isolated(isolation)
    try:
        done = platform.marea("up", check=False)
        if "allows no sandbox" in done.stderr:
            print(f"skipped: {done.stderr.strip()[-300:]}")
            return True
        need(done.returncode == 0, f"marea up: {(done.stderr or done.stdout).strip()[-800:]}")
        return all([attempt(name, platform, isolation) for name in names])
    except Failed as error:
        print(f"failed: {error}")
        return False
    finally:
        platform.close()


def attempt(name, platform, isolation):
    outcome = "ok"
    try:
        if name in NEED_SANDBOX and isolation != "sandbox":
            raise Skipped("needs --isolation sandbox")
        figure = LINES[name](platform)
    except Skipped as skipped:
        outcome, figure = "skipped", skipped
    except (Failed, subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
        outcome, figure = "failed", error if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
    print(f"{name}. {outcome}: {LINES[name].__doc__}: {figure}", flush=True)
    return outcome != "failed"
