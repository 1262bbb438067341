"""Line 7 of `decide`: a new user's path, from the README alone and exactly as it is written there."""

import math
import os
import re
import shutil
import subprocess
import tempfile
import time

from .core import REPO, need
from .platform import MAREA

SECTION = "## Plan"
FOLDERS = ("infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "k8s")
MOST_SECONDS = 300
DAYS, PERIOD_SECONDS = 7, 300


def traffic():
    """A week of a small shop: quiet nights, a busy evening, a Saturday that is busier."""
    rows = ["time,requests_per_second"]
    for step in range(DAYS * 86_400 // PERIOD_SECONDS):
        hours = step * PERIOD_SECONDS / 3600
        day = 1.4 if int(hours / 24) == 5 else 1.0
        rate = 25 + day * 65 * max(0.0, math.sin((hours % 24 - 9) / 24 * 2 * math.pi)) + 3 * math.sin(step * 1.7)
        rows.append(f"2026-10-{5 + int(hours / 24):02}T{int(hours % 24):02}:{int(hours * 60 % 60):02}:00Z,{rate:.1f}")
    return "\n".join(rows) + "\n"


def commands():
    """What the section's consoles say after `$`, up to its first words for people, without what needs a cloud or a scenario."""
    text = (REPO / "README.md").read_text()
    need(SECTION in text, f"README.md has no section `{SECTION}`")
    section = text.split(SECTION, 1)[1].split("\n## ", 1)[0]
    lines = [line[2:].split("  #")[0].strip() for block in re.findall(r"```console\n(.*?)```", section, re.S) for line in block.splitlines() if line.startswith("$ ")]
    return [line.split(" && marea preview")[0] for line in lines if "requests.csv" in line and "gate" not in line or line.startswith("git apply")]


def line(_):
    """from a CSV to a picture and a recommendation in under five minutes, by the README's own commands"""
    with tempfile.TemporaryDirectory(prefix="marea-readme-") as folder:
        for name in FOLDERS:
            shutil.copytree(REPO / name, f"{folder}/{name}")
        with open(f"{folder}/requests.csv", "w") as file:
            file.write(traffic())
        env = {name: value for name, value in os.environ.items() if not name.startswith("MAREA_")}
        env["PATH"] = f"{MAREA.parent}:{env['PATH']}"
        started, said = time.monotonic(), []
        found = commands()
        need(any("simulate" in one for one in found) and any("tune" in one for one in found), f"the README's section says {found}")
        for command in found:
            done = subprocess.run(["bash", "-euc", command], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * MOST_SECONDS)
            need(done.returncode == 0, f"`{command}`: exit {done.returncode}: {done.stderr.strip()[-500:]}")
            said.append(done.stdout)
        seconds = time.monotonic() - started
        picture = f"{folder}/plan.html"
        need(os.path.exists(picture) and "<svg" in open(picture).read(), "there is no picture in plan.html")
        told = [row for row in "\n".join(said).splitlines() if row.startswith(("Saves", "Keeps", "Nothing"))]
        need(told and not told[0].startswith("Nothing"), f"no recommendation: {told}")
    need(seconds < MOST_SECONDS, f"it took {seconds:.0f} s")
    return f"{len(found)} commands in {seconds:.0f} s: {told[0].rstrip(':')}"
