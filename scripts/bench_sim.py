"""`scripts/bench sim`: the speed of simulations, in milliseconds of CPU on one core, and of scheduling beside the genuine scheduler."""

import json
import pathlib
import shutil
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parent.parent
CONFORMANCE = REPO / "conformance"
# What is measured → the most that it may take: milliseconds, MiB.
BUDGETS = {
    "30 days of the seed's platform, one seed, summary": (50, None),
    "one day of 5000 nodes, 150000 pods": (60_000, 2048),
}
QUICK = ["month", "told", "1d", "7d", "90d", "50", "200", "pace"]
# How many times as many pods a second as the genuine scheduler.
GOAL = 20


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def speed(*arguments):
    return run(["cargo", "run", "--release", "-q", "-p", "simulate", "--example", "speed", "--", *arguments], cwd=REPO)


def genuine(row):
    """The genuine scheduler on the same cluster, or why it was not measured."""
    if shutil.which("go") is None:
        return {"not_measured": "Go is not there"}
    built = REPO / "target/pace"
    # Only what the module cache already holds: a benchmark downloads nothing.
    build = ["go", "build", "-mod=readonly", "-o", built, "./pace"]
    done = subprocess.run(build, cwd=CONFORMANCE, capture_output=True, text=True)
    if done.returncode != 0:
        return {"not_measured": f"the module `conformance` does not build: {done.stderr.strip()[-300:]}"}
    return json.loads(run([built], input=speed("cluster", str(row["nodes"]), str(row["pods"]))))


def judge(row):
    milliseconds, mebibytes = BUDGETS.get(row["what"], (None, None))
    row["budget_ms"] = milliseconds
    row["within"] = None if milliseconds is None else row["ms"] <= milliseconds and (mebibytes is None or row["peak_mib"] <= mebibytes)


def told(row):
    if "pods_per_second" in row:
        theirs = row["genuine"]
        if "not_measured" in theirs:
            return f"{row['what']}: {row['pods_per_second']:,.0f} pods placed a second; the genuine scheduler was not measured: {theirs['not_measured']}"
        return (
            f"{row['what']}: {row['pods_per_second']:,.0f} pods placed a second of one core; the genuine scheduler of Kubernetes {theirs['kubernetes']}"
            f" {theirs['pods_per_second']:,.0f} over a fake client: {row['ratio']:.0f} times (goal {GOAL})"
        )
    budget = "" if row["within"] is None else f"; budget {row['budget_ms']:,} ms, {'within' if row['within'] else 'OVER'}"
    return f"{row['what']}: {row['ms']:,.0f} ms of one core, {row['decisions']:,} decisions, up to {row['peak_mib']} MiB so far{budget}"


def main(arguments):
    rows = [json.loads(line) for line in speed(*(QUICK if "--quick" in arguments else [])).splitlines()]
    for row in rows:
        if "pods_per_second" in row:
            row["genuine"] = genuine(row)
            theirs = row["genuine"].get("pods_per_second")
            row["ratio"] = None if theirs is None else row["pods_per_second"] / theirs
        else:
            judge(row)
    if "--json" in arguments:
        print(json.dumps({"rows": rows}))
    else:
        print("\n".join(map(told, rows)))
    return 3 if any(row.get("within") is False for row in rows) else 0
