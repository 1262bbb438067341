"""Line 6 of `decide`: faults put into copies of the platform."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from .core import REPO, need
from .platform import MAREA

FAULTS = REPO / "cli/src/commands/check/faults.json"
# Stack files and manifests; `marea check` reads nothing else.
FOLDERS = ("infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "k8s")


def findings(root):
    """`rule subject file` of each finding."""
    env = {**{name: value for name, value in os.environ.items() if not name.startswith("MAREA_")}, "MAREA_ROOT": str(root)}
    done = subprocess.run([MAREA, "check", "--env", "production", "--json"], env=env, capture_output=True, text=True, timeout=60)
    need(done.returncode in (0, 3), f"marea check: exit {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)["findings"]
    need((done.returncode == 3) == bool(found), f"exit {done.returncode} with {len(found)} findings")
    return sorted(f"{one['rule']} {one['subject']} {one.get('file')}" for one in found)


def line(_):
    """marea check finds each fault put into a copy of the platform, and nothing else"""
    known, faults = findings(REPO), json.loads(FAULTS.read_text())
    need(len(faults) >= 10, f"only {len(faults)} faults")
    for fault in faults:
        with tempfile.TemporaryDirectory(prefix="marea-check-") as folder:
            root = pathlib.Path(folder)
            for name in FOLDERS:
                shutil.copytree(REPO / name, root / name, ignore=shutil.ignore_patterns("src", "tests"))
            path = root / fault["file"]
            text = path.read_text()
            need(fault["find"] in text, f"{fault['file']} has no {fault['find']!r}")
            path.write_text(text.replace(fault["find"], fault["replace"], 1))
            # A fault may hide one of the known ones, e.g. when a pool is not asked for any more.
            found = [one for one in findings(root) if one not in known]
            expected = f"{fault['rule']} {fault['subject']} {fault.get('foundIn', fault['file'])}"
            need(found == [expected], f"{expected}: found {found}")
    return f"{len(faults)} of {len(faults)} faults found, nothing beside them but the specification's own {len(known)}"
