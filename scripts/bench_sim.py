"""`scripts/bench sim`: the speed of simulations, in milliseconds of CPU on one core."""

import json
import pathlib
import subprocess
import sys

REPO = pathlib.Path(__file__).resolve().parent.parent
# What is measured → the most that it may take: milliseconds, MiB.
BUDGETS = {
    "30 days of the seed's platform, one seed, summary": (50, None),
    "one day of 5000 nodes, 150000 pods": (60_000, 2048),
}


def main(arguments):
    command = ["cargo", "run", "--release", "-q", "-p", "simulate", "--example", "bench", "--", *(["quick"] if "--quick" in arguments else [])]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        milliseconds, mebibytes = BUDGETS.get(row["what"], (None, None))
        row["within"] = None if milliseconds is None else row["ms"] <= milliseconds and (mebibytes is None or row["peak_mib"] <= mebibytes)
        row["budget_ms"] = milliseconds
    if "--json" in arguments:
        print(json.dumps({"rows": rows}))
    else:
        for row in rows:
            budget = "" if row["within"] is None else f"; budget {row['budget_ms']:,} ms, {'within' if row['within'] else 'OVER'}"
            print(f"{row['what']}: {row['ms']:,.0f} ms of one core, {row['decisions']:,} decisions, up to {row['peak_mib']} MiB so far{budget}")
    return 3 if any(row["within"] is False for row in rows) else 0
