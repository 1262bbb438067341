"""What every line needs: where things are, how a line fails, and how to wait."""

import os
import pathlib
import re
import subprocess
import time

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("MAREA_BIN", REPO / "target/release")).resolve()


class Failed(Exception):
    """The line does not hold."""


class Skipped(Exception):
    """This machine cannot try the line; the words say why."""


def need(condition, message):
    if not condition:
        raise Failed(message)


def until(what, condition, seconds):
    """What the condition gives once it holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        need(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.3)
    return found


def run(arguments, **more):
    return subprocess.run(arguments, cwd=REPO, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)


def cargo_test(package, *filters):
    """Runs tests and gives their number; zero tests are a failure, so that a renamed test is noticed."""
    done = run(["cargo", "test", "--quiet", "-p", package, *filters])
    passed = sum(int(count) for count in re.findall(r"test result: ok\. (\d+) passed", done.stdout))
    if done.returncode != 0 or passed == 0:
        raise Failed("\n".join(done.stdout.splitlines()[-15:]))
    return passed
