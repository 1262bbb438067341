"""Three clients that write without pause and remember what was acknowledged to them."""

import json
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

from .core import Failed, Skipped, need, until

# Between two writes, and after one that was not answered.
PAUSE_SECONDS = 0.03


class Writer(threading.Thread):
    """Writes 0, 1, 2 … with `write`, which returns once the write was acknowledged and fails otherwise."""

    def __init__(self, write):
        super().__init__(daemon=True)
        self.write, self.acknowledged, self.refused, self.problem, self.done = write, [], 0, "", threading.Event()
        self.start()

    def run(self):
        number = 0
        while not self.done.wait(PAUSE_SECONDS):
            try:
                self.write(number)
                self.acknowledged.append(number)
            except (OSError, ValueError, Failed, subprocess.SubprocessError) as error:
                self.refused += 1
                self.problem = str(error)
            number += 1


class ApiWriter(Writer):
    """ConfigMaps in the namespace default."""

    name_of_it = "the Kubernetes API"

    def __init__(self, platform):
        self.api = platform.api()
        super().__init__(self.create)

    def create(self, number):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"durable-{number}"}, "data": {"number": str(number)}}
        request = urllib.request.Request(
            f"{self.api.server}/api/v1/namespaces/default/configmaps", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5, context=self.api.context) as answer:
            answer.read()

    def kept(self):
        names = (item["metadata"]["name"] for item in self.api.get("/api/v1/namespaces/default/configmaps")["items"])
        return {int(name[len("durable-"):]) for name in names if name.startswith("durable-")}


class ArmWriter(Writer):
    """Tags of resource groups of their own."""

    name_of_it = "Azure Resource Manager"

    def __init__(self, platform):
        self.arm = platform.arm()
        super().__init__(lambda number: self.put(number))

    def put(self, number):
        self.arm.call("PUT", self.group(number), {"location": "eastus", "tags": {"number": str(number)}})

    def group(self, number):
        return f"/subscriptions/{self.arm.subscription}/resourcegroups/durable-{number}"

    def kept(self):
        groups = self.arm.list(f"/subscriptions/{self.arm.subscription}/resourcegroups")
        return {int(group["tags"]["number"]) for group in groups if group["name"].startswith("durable-")}


class RowWriter(Writer):
    """Rows of a table of their own, each a transaction of a connection of its own: a crash ends connections."""

    name_of_it = "PostgreSQL"

    def __init__(self, platform):
        self.database = Database(platform)
        self.database.ask("create table if not exists durable (number bigint primary key)")
        super().__init__(lambda number: self.database.ask(f"insert into durable values ({number})"))

    def kept(self):
        return {int(line) for line in self.database.ask("select number from durable").split()}


class Database:
    """The flexible server as its superuser, through the socket that only the cloud's user can open."""

    def __init__(self, platform):
        self.program = shutil.which("psql")
        if not self.program:
            raise Skipped("there is no psql on PATH")
        configuration = next(platform.data.glob("postgres/*/data/marea.conf")).read_text()
        self.socket = re.search(r"unix_socket_directories = '([^']+)'", configuration)[1]

    def ask(self, statement):
        done = subprocess.run(
            [self.program, "-XAtq", "-h", self.socket, "-U", "azuresu", "-d", "marea", "-c", statement],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise Failed(f"psql: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def user_connections(self):
        return int(self.ask("select count(*) from pg_stat_activity where backend_type = 'client backend' and usename <> 'azuresu'"))


class Writers:
    """All three at once."""

    def __init__(self, platform):
        self.all = [ApiWriter(platform), ArmWriter(platform), RowWriter(platform)]

    def check(self, when):
        """Nothing that was acknowledged so far is missing."""
        for writer in self.all:
            acknowledged = list(writer.acknowledged)
            until(f"{writer.name_of_it} answers {when}", lambda: kept_by(writer) is not None, 30)
            lost = set(acknowledged) - kept_by(writer)
            need(not lost, f"{when}: {writer.name_of_it} lost {len(lost)} of {len(acknowledged)} acknowledged writes: {sorted(lost)[:5]}")

    def stop(self):
        for writer in self.all:
            writer.done.set()
        for writer in self.all:
            writer.join(60)

    def figure(self):
        return ", ".join(f"{writer.name_of_it} {len(writer.acknowledged)} ({writer.refused} not acknowledged)" for writer in self.all)


def kept_by(writer):
    try:
        return writer.kept()
    except (OSError, ValueError, Failed, subprocess.SubprocessError):
        return None
