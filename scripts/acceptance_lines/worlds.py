"""Random worlds, and the speed of simulations."""

import os
import pathlib
import subprocess
import tempfile
import time

from .core import REPO, Failed, need

WORLDS = 10_000


def test(name, *options, **environment):
    command = ["cargo", "test", *options, "-q", "-p", "simulate", "--test", "it", name]
    done = subprocess.run(command, cwd=REPO, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout.strip()[-2000:]}")


def line(_):
    """10,000 seeded random worlds with faults pass the independent checker after every step; the same bytes in every build and on every number of threads"""
    started = time.monotonic()
    test("no_world_breaks_a_rule", "--release", WORLDS=str(WORLDS))
    took = time.monotonic() - started
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder, name) for name in ("debug", "release", "again")]
        for file, options in zip(files, ([], ["--release"], ["--release"])):
            test("the_bytes_do_not_depend_on_the_threads", *options, DIGEST=str(file))
        first, *others = (file.read_text() for file in files)
    need(all(other == first for other in others), "debug and release builds, or two runs, do not give the same bytes")
    return (
        f"{WORLDS:,} worlds in {took:.0f} s, every fourth also without skipping; "
        f"{len(first.split(','))} worlds byte for byte alike in debug and release builds, in two runs, on one and three threads"
    )


def speed(_):
    """the speed budgets of the simulator"""
    done = subprocess.run([REPO / "scripts/bench", "sim"], cwd=REPO, capture_output=True, text=True)
    need(done.returncode == 0, done.stdout + done.stderr)
    return " | ".join(line for line in done.stdout.splitlines() if "budget" in line or "genuine" in line)
