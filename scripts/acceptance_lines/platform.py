"""One platform in a data directory of its own, and the Kubernetes API of its cluster without kubectl."""

import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

from . import peers
from .core import BIN, REPO, Failed, Skipped, until

MAREA = BIN / "marea"


class Platform:
    """Gone when closed."""

    def __init__(self, prefix="marea-acceptance-", data=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
        self.data = pathlib.Path(data or self.folder / "data")
        # A key of its own: what is encrypted here must not need the user's.
        self.env = {**os.environ, "MAREA_DATA_DIR": str(self.data), "XDG_CONFIG_HOME": str(self.folder / "config"), "NO_COLOR": "1"}

    def run(self, *command, check=True, timeout=180, cwd=REPO, env=None, **options):
        done = subprocess.run(
            command, env=env or self.env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **options)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")
        return done

    def marea(self, *arguments, **options):
        return self.run(MAREA, *arguments, **options)

    def kubectl(self, *arguments, **options):
        return self.run(self.kubectl_program(), "--kubeconfig", self.kubeconfig(), *arguments, **options)

    def kubectl_program(self):
        program = os.environ.get("KUBECTL") or peers.program("kubectl") or shutil.which("kubectl")
        if not program:
            raise Skipped("there is no kubectl on PATH; conformance/programs/build kubectl makes one")
        return program

    def kubeconfig(self):
        return self.marea("local", "kubeconfig", "--path").stdout.strip()

    def api(self):
        return Api(pathlib.Path(self.kubeconfig()).read_text())

    def status(self):
        return json.loads(self.marea("status", "--json").stdout)

    def console(self):
        return self.status()["console"]

    def get(self, path, console=None):
        with urllib.request.urlopen((console or self.console()) + path, timeout=10) as answer:
            return answer.status, answer.read()

    def overview(self, console=None):
        return json.loads(self.get("/api/v1/overview", console)[1])

    def answers(self, console=None):
        """Whether the page and the data are there at this moment."""
        try:
            return self.get("/", console)[0] == 200 and bool(self.overview(console).get("database"))
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def visits(self):
        """Rows of the database, as the platform itself counts them."""
        return self.overview()["database"]["visits"]

    def until(self, what, condition, seconds):
        return until(what, condition, seconds)

    def replicas(self, name="backend"):
        deployment = self.api().get(f"/apis/apps/v1/namespaces/platform/deployments/{name}")
        return deployment["status"].get("readyReplicas", 0)

    def pods_of(self, namespace, name):
        """All pods of the workload: also those that the autoscaler has just asked for, whose containers do not run yet,
        and those on their way out."""
        selector = urllib.parse.quote(f"app.kubernetes.io/name={name}")
        return self.api().get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")["items"]

    def ready_pods(self, namespace, name):
        return [pod for pod in self.pods_of(namespace, name) if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]

    def ready_pod(self, namespace, name):
        return self.until(f"a pod of {name} in {namespace} is ready", lambda: self.ready_pods(namespace, name), 60)[0]

    def nodes(self, pool="backend"):
        selector = urllib.parse.quote(f"marea.dev/pool={pool}")
        nodes = self.api().get(f"/api/v1/nodes?labelSelector={selector}")["items"]
        return sum(is_ready(node) for node in nodes)

    def copy_of_repository(self):
        """A repository to change files in. Its programs are this one's."""
        copy = pathlib.Path(tempfile.mkdtemp(prefix="repository-", dir=self.folder))
        for name in ("infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "k8s", "local"):
            shutil.copytree(REPO / name, copy / name)
        # What the frontend's pod runs and serves.
        for name in ("frontend/container", "frontend/dist"):
            shutil.copytree(REPO / name, copy / name)
        return copy

    def close(self):
        self.marea("local", "reset", "--yes", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def is_ready(thing):
    """Of a node or a pod: both have the condition."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in thing["status"].get("conditions", []))


class Api:
    """The cluster's API as its administrator, by the kubeconfig that marea prints."""

    def __init__(self, kubeconfig):
        def value(key):
            found = re.search(rf"{key}: *\"?([^\s\"]+)", kubeconfig)
            return found and found[1]

        self.server = value("server")
        self.context = ssl.create_default_context(cadata=base64.b64decode(value("certificate-authority-data")).decode())
        self.token = value("token")
        if not self.token:
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(base64.b64decode(value("client-certificate-data")) + b"\n" + base64.b64decode(value("client-key-data")))
                pair.flush()
                self.context.load_cert_chain(pair.name)

    def open(self, path, timeout):
        request = urllib.request.Request(self.server + path, headers={"Accept": "application/json"})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        return urllib.request.urlopen(request, timeout=timeout, context=self.context)

    def get(self, path):
        try:
            with self.open(path, 30) as answer:
                return json.load(answer)
        except urllib.error.URLError as error:
            raise Failed(f"GET {path}: {error}") from error


class Watch(threading.Thread):
    """Hands every change of a list to `see`, from the list itself on; watches again where a watch ends."""

    def __init__(self, platform, path, see):
        super().__init__(daemon=True)
        self.api, self.path, self.see, self.done = platform.api(), path, see, threading.Event()
        first = self.api.get(path)
        self.version = first["metadata"]["resourceVersion"]
        for item in first["items"]:
            see("ADDED", item)
        self.start()

    def run(self):
        separator = "&" if "?" in self.path else "?"
        while not self.done.is_set():
            try:
                address = f"{self.path}{separator}watch=1&allowWatchBookmarks=true&resourceVersion={self.version}"
                with self.api.open(address, 120) as answer:
                    for line in answer:
                        event = json.loads(line)
                        self.version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            self.see(event["type"], event["object"])
                        if self.done.is_set():
                            return
            except (OSError, ValueError, http.client.HTTPException):
                self.done.wait(0.2)


class Asker(threading.Thread):
    """Asks the platform over and over, as a person at the page would, and remembers what was not an answer."""

    def __init__(self, platform, path="/api/v1/overview"):
        super().__init__(daemon=True)
        self.url, self.asked, self.failed, self.done = platform.console() + path, 0, [], threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.05):
            self.asked += 1
            try:
                with urllib.request.urlopen(self.url, timeout=30) as answer:
                    answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(str(error))

    def stop(self):
        self.done.set()
        self.join(60)
        return self.asked, self.failed
