"""Line 6 of `depth`: where secrets are, and above all where they are not."""

import json
import os
import pathlib
import secrets
import stat
import tarfile
import urllib.request

from .core import Failed, need
from .recovery import processes_of

STACKS = ("base", "db", "deploy")


def line(platform):
    """canary secrets are found nowhere outside the encrypted files, the 0700 data directory and Secret objects"""
    canaries = plant(platform)
    seen = {}

    def look(where, text):
        data = text.encode() if isinstance(text, str) else text
        for name, value in canaries.items():
            need(value.encode() not in data, f"the {name} is in {where}")
        seen[where.split(":")[0]] = seen.get(where.split(":")[0], 0) + 1

    for where, text in outputs(platform):
        look(where, text)
    for where, text in history(platform):
        look(where, text)
    for pid in processes_of(platform):
        try:
            look(f"process list: {pid}", pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            continue
    for path in logs(platform):
        look(f"logs: {path}", path.read_bytes())
    for path in stores(platform):
        look(f"encrypted stores: {path.relative_to(platform.data)}", path.read_bytes())
    for name, data in backup(platform):
        look(f"backup: {name}", data)
    check_permissions(platform)
    # The search itself must be able to find something.
    secret = platform.api().get("/api/v1/namespaces/default/secrets/canary")
    need(secret["data"]["value"] == encoded(canaries["Secret object"]), "the Secret object does not hold its canary")
    return f"{len(canaries)} canaries; looked through " + ", ".join(f"{count} {where}" for where, count in sorted(seen.items()))


def plant(platform):
    password = "Canary-" + secrets.token_hex(16)
    # From standard input: an argument would be in the process list.
    platform.marea("secret", "rotate")
    canaries = {"database password": platform.marea("secret", "get", "databasePassword").stdout.strip(), "Secret object": password}
    need(len(canaries["database password"]) >= 12, "there is no database password to look for")
    path = platform.folder / "canary.json"
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary", "namespace": "default"}, "data": {"value": encoded(password)}}))
    platform.kubectl("apply", "--server-side", "-f", str(path))
    path.unlink()
    return canaries


def encoded(text):
    import base64

    return base64.b64encode(text.encode()).decode()


def outputs(platform):
    """What the commands print, errors included."""
    for stack in STACKS:
        for verb in ("preview", "drift", "outputs", "history"):
            for options in ([], ["--json"]):
                done = platform.marea(verb, stack, *options, check=False)
                yield f"command output: marea {verb} {stack}", done.stdout + done.stderr
    for arguments in (["status"], ["status", "--json"], ["up"], ["explain", "hpa/backend"], ["local", "status", "--json"], ["local", "logs"], ["local", "fault", "list"]):
        done = platform.marea(*arguments, check=False)
        yield f"command output: marea {' '.join(arguments)}", done.stdout + done.stderr
    for stack, arguments in (("db", ["destroy", "db"]), ("no stack", ["secret", "get", "there-is-none"])):
        done = platform.marea(*arguments, check=False)
        need(done.returncode != 0, f"marea {' '.join(arguments)} was to fail")
        yield f"errors: {stack}", done.stdout + done.stderr
    # An error of PostgreSQL and one of the API that are about the secret itself.
    copy = platform.copy_of_repository()
    path = copy / "infrastructure-k8s-db/stack.local.yaml"
    path.write_text(path.read_text() + "\n  nonsense: true\n")
    done = platform.marea("up", "db", cwd=copy, check=False)
    need(done.returncode == 2, f"a stack file with nonsense: exit {done.returncode}")
    yield "errors: a wrong stack file", done.stdout + done.stderr
    described = platform.kubectl("describe", "secrets,pods,deployments,events", "-A", check=False)
    yield "command output: kubectl describe", described.stdout + described.stderr


def history(platform):
    """Everything that ARM tells of what was deployed."""
    arm = platform.arm()
    subscription = f"/subscriptions/{arm.subscription}"
    groups = [group["id"] for group in arm.list(f"{subscription}/resourcegroups")]
    for scope in [subscription, *groups]:
        for kind in ("deployments", "deploymentStacks"):
            try:
                found = arm.call("GET", f"{scope}/providers/Microsoft.Resources/{kind}")
            except Failed:
                continue
            yield f"ARM history: {kind} of {scope}", json.dumps(found)
            for one in found.get("value", []):
                if kind == "deployments":
                    yield f"ARM history: operations of {one['id']}", json.dumps(arm.call("GET", f"{one['id']}/operations"))
    for group in groups:
        yield f"ARM history: resources of {group}", json.dumps(arm.call("GET", f"{group}/resources"))


def logs(platform):
    """Of the cloud, the databases and every container."""
    found = [platform.data / "cloud.log", *platform.data.glob("postgres/*/postgresql.log")]
    found += platform.data.glob("clusters/*/kubelet/pods/*/containers/*/*/log")
    found += platform.data.glob("clusters/*/journal/*")
    need(len(found) > 6, f"only {found} were found to look through")
    return found


def stores(platform):
    found = [platform.data / "arm/arm.redb", *platform.data.glob("clusters/*/api/*.redb"), *platform.data.glob("secrets/*")]
    need(len(found) >= 3, f"only {found} were found to look through")
    return found


def backup(platform):
    """Name and content of every file of a snapshot."""
    path = platform.folder / "canary.tar.gz"
    platform.marea("local", "snapshot", str(path))
    need(stat.S_IMODE(path.stat().st_mode) == 0o600, f"{path} is not its user's alone")
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, archive.extractfile(member).read()
    path.unlink()


def check_permissions(platform):
    mode = stat.S_IMODE(platform.data.stat().st_mode)
    need(mode == 0o700, f"the data directory has mode {mode:o}")
