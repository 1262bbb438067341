"""Line 4: what `up` leaves alone, what it repairs and what it removes."""

import json
import time

from . import wave
from .core import need


def generations(platform):
    api = platform.api()
    items = [item for kind, path in (("deployments", "/apis/apps/v1"), ("services", "/api/v1"), ("configmaps", "/api/v1"))
             for item in api.get(f"{path}/namespaces/platform/{kind}")["items"]]
    # A status may change by itself; what was asked for may not, nor may an object be written without need.
    return {item["metadata"]["uid"]: (item["metadata"]["name"], item["metadata"].get("generation"), json.dumps(item.get("spec", item.get("data")), sort_keys=True))
            for item in items}


def line(platform):
    """a second up changes nothing; drift is named and repaired; what is gone from the manifests is pruned"""
    before = generations(platform)
    started = time.monotonic()
    again = platform.marea("up").stdout
    seconds = time.monotonic() - started
    need(again.count("unchanged") >= 3, f"a second up says: {again}")
    need(before == generations(platform), "a second up changed something")
    edit = ["edit", "service", "backend", "-n", "platform"]
    # Port 80 of the Service leads to a port that nothing listens on.
    editor = {**platform.env, "EDITOR": "sed -i 's/targetPort: .*/targetPort: 81/'"}
    edited = platform.kubectl(*edit, env=editor)
    need("edited" in edited.stdout, f"kubectl edit: {edited.stdout}{edited.stderr}")
    platform.kubectl("delete", "poddisruptionbudget", "backend", "-n", "platform")
    drift = platform.marea("drift", check=False)
    named = all(words in drift.stdout for words in ("Service platform/backend", "PodDisruptionBudget platform/backend"))
    need(drift.returncode == 3 and named, f"drift: exit {drift.returncode}: {drift.stdout}{drift.stderr}")
    platform.marea("up")
    need(platform.marea("drift", check=False).returncode == 0, "after up there is still drift")
    platform.kubectl("get", "poddisruptionbudget", "backend", "-n", "platform")
    copy = platform.copy_of_repository()
    (copy / "k8s/backend/disruptionbudget.yaml").unlink()
    platform.marea("up", "--yes", cwd=copy)
    gone = platform.kubectl("get", "poddisruptionbudget", "backend", "-n", "platform", check=False)
    need("NotFound" in gone.stderr, "a manifest that was removed was not pruned")
    platform.marea("up")
    return f"unchanged up {seconds * 1000:.0f} ms; {wave.in_the_middle(platform)}"
