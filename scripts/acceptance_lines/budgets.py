"""Lines 5 and 7: figures against their budgets."""

import json
import subprocess
import sys
import tempfile
import time

from .core import REPO, need

SCRIPTS_TEST_SECONDS = 45 * 60


def line_bench(_):
    """scripts/bench up: cold and unchanged `marea up`, the idle cloud, each within its budget"""
    done = subprocess.run([sys.executable, REPO / "scripts/bench", "up", "--runs", "3", "--json"], cwd=REPO, capture_output=True, text=True, timeout=1200)
    need(done.returncode in (0, 3), f"scripts/bench: exit {done.returncode}: {done.stderr[-600:]}")
    rows = json.loads(done.stdout)["rows"]
    figures = "; ".join(f"{row['name']}: {row['median']:.2f} {row['unit']}" for row in rows)
    over = [row["name"] for row in rows if row["within"] is False]
    need(not over, f"over budget: {', '.join(over)} ({figures})")
    return figures


def line_test(_):
    """scripts/test in a clean clone within 45 minutes"""
    with tempfile.TemporaryDirectory(prefix="marea-clone-") as folder:
        subprocess.run(["git", "clone", "--quiet", str(REPO), folder], check=True)
        started = time.monotonic()
        done = subprocess.run(["scripts/test"], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=2 * SCRIPTS_TEST_SECONDS)
        seconds = time.monotonic() - started
    need(done.returncode == 0, f"scripts/test: exit {done.returncode}: {(done.stdout + done.stderr)[-1200:]}")
    need(seconds <= SCRIPTS_TEST_SECONDS, f"scripts/test took {seconds / 60:.1f} minutes")
    return f"{seconds / 60:.1f} minutes"
