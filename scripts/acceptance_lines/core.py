"""What every line needs: where things are, how a line fails, and how to wait."""

import os
import pathlib
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
    deadline = time.monotonic() + seconds
    while not condition():
        need(time.monotonic() < deadline, f"not within {seconds} s: {what}")
        time.sleep(0.3)
