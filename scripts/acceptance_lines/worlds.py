"""Random worlds, and the speed of simulations."""

import os
import subprocess
import time

from .core import REPO, Failed, need

WORLDS = 10_000


def line(_):
    """10,000 seeded random worlds with faults pass the independent checker after every step"""
    started = time.monotonic()
    command = ["cargo", "test", "--release", "-q", "-p", "simulate", "--test", "it", "random_worlds"]
    done = subprocess.run(command, cwd=REPO, env={**os.environ, "WORLDS": str(WORLDS)}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout.strip()[-2000:]}")
    return f"{WORLDS:,} worlds in {time.monotonic() - started:.0f} s, every fourth also without skipping"


def speed(_):
    """the speed budgets of the simulator"""
    done = subprocess.run([REPO / "scripts/bench", "sim"], cwd=REPO, capture_output=True, text=True)
    need(done.returncode == 0, done.stdout + done.stderr)
    return " | ".join(line for line in done.stdout.splitlines() if "budget" in line)
