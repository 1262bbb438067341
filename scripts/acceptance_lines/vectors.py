"""The genuine programs' vectors."""

import re
import subprocess

from .core import REPO, Failed

SETS = {"hpa_vectors": "HPA timelines", "schedule_vectors": "scheduling decisions", "nodes_vectors": "node timelines"}


def line(_):
    """every committed vector of the genuine controller, scheduler and cluster autoscaler passes"""
    command = ["cargo", "test", "-q", "-p", "decide", *[option for name in SETS for option in ("--test", name)]]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout.strip()[-2000:]}")
    passed = sum(int(count) for count in re.findall(r"(\d+) passed", done.stdout))
    return f"{passed} tests over {', '.join(SETS.values())}"
