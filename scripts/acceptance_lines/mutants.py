"""Mutants of the decisions: what a random sample of small faults in the code goes unnoticed by the crate's own tests.

  MAREA_MUTANTS=300    how many, drawn from all of decide's hpa, scheduling and nodes
  MAREA_SEED=1         which ones; a fresh draw by default, whose number is printed
  MAREA_MUTANTS_IN=…   a folder for cargo-mutants' report, kept; a temporary one by default
"""

import collections
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile

from .core import REPO, Failed, need

MODULES = ("hpa", "scheduling", "nodes")
WANTED_SHARE = 0.9
# Of one mutant's tests, which take a few seconds: a mutant that loops for ever is caught by it.
TIMEOUT_SECONDS = 120
# Half of a mutant's time is linking. Optimised tests would take a quarter of the time, but now and then a change has everything
# optimised anew, which takes longer than that saves.
FAST = {"CARGO_PROFILE_DEV_DEBUG": "0"}
# What became of a mutant → whether the tests noticed it. Those that do not compile say nothing about the tests.
NOTICED = {"CaughtMutant": True, "Timeout": True, "MissedMutant": False}


def mutants(*arguments):
    files = [option for module in MODULES for option in ("--file", f"crates/decide/src/{module}/**", "--exclude", f"crates/decide/src/{module}/**/tests*")]
    return subprocess.run(["cargo", "mutants", "--package", "decide", *files, *arguments], cwd=REPO, env={**os.environ, **FAST}, capture_output=True, text=True)


def listed():
    done = mutants("--list")
    if done.returncode != 0:
        raise Failed(f"cargo mutants: {done.stderr.strip()[-800:]}\nInstall it with: cargo install cargo-mutants --locked")
    return done.stdout.splitlines()


def exactly(names):
    return "^(" + "|".join(map(re.escape, names)) + ")$"


def outcomes(every, names, folder):
    # `--re` of cargo-mutants 27.1 does not hold back those that delete a field; `--exclude-re` does.
    others = [name for name in every if "delete field" in name and name not in names]
    done = mutants("--re", exactly(names), *(["--exclude-re", exactly(others)] if others else []), "--output", folder, "--timeout", str(TIMEOUT_SECONDS))
    report = pathlib.Path(folder, "mutants.out/outcomes.json")
    need(report.exists(), f"cargo mutants left no report in {folder}: {done.stderr.strip()[-800:]}")
    found = json.loads(report.read_text())["outcomes"]
    tests = [one for one in found if one["scenario"] != "Baseline"]
    need(tests, f"the tests fail without any mutant: {done.stdout.strip()[-800:]}")
    return tests


def line(_):
    """of a random sample of mutants of hpa, scheduling and nodes at least nine in ten are caught (MAREA_MUTANTS, MAREA_SEED)"""
    seed = int(os.environ.get("MAREA_SEED") or random.SystemRandom().randrange(1_000_000))
    every = listed()
    sample = random.Random(seed).sample(every, min(int(os.environ.get("MAREA_MUTANTS", "300")), len(every)))
    with tempfile.TemporaryDirectory(prefix="marea-mutants-") as folder:
        tests = outcomes(every, sample, os.environ.get("MAREA_MUTANTS_IN", folder))
    need(len(tests) == len(sample), f"{len(sample)} were drawn, {len(tests)} tested")
    by_module, missed = collections.defaultdict(collections.Counter), []
    for test in tests:
        mutant = test["scenario"]["Mutant"]
        noticed = NOTICED.get(test["summary"])
        by_module[mutant["file"].split("/")[3]][noticed] += 1
        if noticed is False:
            missed.append(mutant["name"])
    told = "; ".join(f"{module} {counts[True]} of {counts[True] + counts[False]}" for module, counts in sorted(by_module.items()))
    caught = sum(counts[True] for counts in by_module.values())
    judged = caught + len(missed)
    summary = f"{caught} of {judged} mutants caught ({100 * caught / max(judged, 1):.1f} %; {len(tests) - judged} of {len(tests)} do not compile), of {len(every)}, seed {seed}: {told}"
    need(caught >= WANTED_SHARE * judged, "\n".join([summary, *sorted(missed)]))
    return summary
