"""Line 4 of `decide`: cheaper settings on real traffic, and a gate between revisions. MAREA_TRACES names the traces' folder."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from .core import REPO, Skipped, need
from .platform import MAREA

TRACES = pathlib.Path(os.environ.get("MAREA_TRACES", REPO.parent / "shared/traces"))
# File, what it is scaled to, and what a search may change; the seed is fixed, so the figures are too.
SEARCHES = (
    ("worldcup98_until_1998-06-09.csv", ["--peak", "300", "--duration", "14d", "--evaluations", "160", "--seed", "1"]),
    ("elb_request_count_8c0756.csv", ["--peak", "200", "--evaluations", "160", "--seed", "1"]),
)
FOLDERS = ("infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "k8s")


def marea(*arguments, cwd=REPO, codes=(0,)):
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAREA_")}
    done = subprocess.run([MAREA, *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True, timeout=900)
    need(done.returncode in codes, f"marea {arguments[0]}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done


def tuned(trace, arguments):
    answer = json.loads(marea("tune", "--trace", TRACES / trace, *arguments, "--json").stdout)
    today, best = answer["today"]["heldBack"], answer["recommendation"]
    need(best, f"{trace}: nothing better was found; {answer['failedOnHeldBack'][:1]}")
    new = best["scores"]["heldBack"]
    need(new["usdMonth"] < today["usdMonth"], f"{trace}: {new['usdMonth']} $ is not less than {today['usdMonth']} $")
    need(new["p99Ms"] <= today["p99Ms"], f"{trace}: p99 is {new['p99Ms']} ms instead of {today['p99Ms']} ms")
    return f"{trace}: {today['usdMonth']:.2f} → {new['usdMonth']:.2f} $ a month, p99 {today['p99Ms']:.1f} → {new['p99Ms']:.1f} ms"


def nothing(trace):
    """Where only a setting that costs nothing may be changed, there is nothing to find, and it says so."""
    path = "deploy.frontend.replicas.max"
    arguments = ["--trace", TRACES / trace, "--peak", "20", "--duration", "2d", "--only", path]
    done = marea("tune", *arguments)
    need("Nothing better was found" in done.stdout, f"tune of {path} alone says: {done.stdout[-300:]}")


def gated(trace):
    """A copy of the platform with three revisions: as it is, the maximum much lower, a comment more."""
    with tempfile.TemporaryDirectory(prefix="marea-gate-") as folder:
        root = pathlib.Path(folder)
        for name in FOLDERS:
            shutil.copytree(REPO / name, root / name, ignore=shutil.ignore_patterns("src", "tests"))

        def git(*arguments):
            identity = ["-c", "user.name=acceptance", "-c", "user.email=acceptance@localhost", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, timeout=60)

        git("init", "--quiet", "--initial-branch=main")
        git("add", ".")
        git("commit", "--quiet", "--message", "as it is")
        git("tag", "base")
        stack = root / "infrastructure-k8s-deploy/stack.production.yaml"
        text = stack.read_text()
        need("max: 10" in text, "the backend's maximum is not 10 any more")
        stack.write_text(text.replace("max: 10", "max: 2", 1))
        git("commit", "--quiet", "--all", "--message", "a maximum that is too low")
        git("tag", "low")
        stack.write_text(text + "# nothing that counts\n")
        git("commit", "--quiet", "--all", "--message", "harmless")
        load = ["--trace", TRACES / trace, "--peak", "300", "--slo", "p99<300ms,errors<0.1%", "--budget", "250", "--json"]
        low = json.loads(marea("gate", "base..low", *load, cwd=root, codes=(3,)).stdout)
        harmless = json.loads(marea("gate", "base..", *load, cwd=root).stdout)
        need(not low["holds"] and harmless["holds"], f"low: {low['checks']}, harmless: {harmless['checks']}")
        broken = [check["name"] for check in low["checks"] if not check["holds"]]
        return f"gate stops a maximum of 2 ({', '.join(broken)}) and passes a comment"


def line(_):
    """marea tune finds cheaper settings at no worse p99 on held-back traffic, or says that there are none; marea gate stops what breaks"""
    if not TRACES.is_dir():
        raise Skipped(f"{TRACES} is not there (MAREA_TRACES)")
    found = [tuned(trace, arguments) for trace, arguments in SEARCHES]
    nothing(SEARCHES[1][0])
    return "; ".join([*found, gated(SEARCHES[1][0])])
