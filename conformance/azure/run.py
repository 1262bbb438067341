"""Runs every life cycle, then asks every method that none of them called, and writes the table of docs/fidelity.md.

A method passes, or is answered with 501. Anything else is a failure. `--table FILE` compares the table between the
markers in that file with the run's, `--write` with it replaces it.
"""

import argparse
import importlib
import inspect
import sys
import time
import traceback

import harness
from azure.core.exceptions import AzureError, HttpResponseError

MODULES = ["groups", "network", "clusters", "postgres", "deployments", "access"]
BEGIN, END = "<!-- azure methods: begin -->", "<!-- azure methods: end -->"


def run_lifecycles(only):
    failures = 0
    for module in MODULES:
        for lifecycle in importlib.import_module(f"lifecycles.{module}").LIFECYCLES:
            name = f"{module}.{lifecycle.__name__}"
            if only and not any(name.startswith(prefix) for prefix in only):
                continue
            started = time.monotonic()
            try:
                lifecycle()
                print(f"ok    {name}  {time.monotonic() - started:.1f} s", flush=True)
            except Exception:
                failures += 1
                print(f"FAIL  {name}", flush=True)
                traceback.print_exc(limit=-4)
    return failures


def argument_for(parameter):
    """Something of the right shape: names for texts, an empty body otherwise. The answer is 501 before it matters."""
    name = parameter.name
    if name in ("location", "location_name"):
        return harness.LOCATION
    if name.endswith("scope") or name == "scope":
        return harness.SCOPE
    if name == "subscription_id":
        return harness.SUBSCRIPTION
    if name in ("parameters", "resource", "properties", "body", "deployment", "virtual_endpoint", "machines", "profile"):
        return {}
    return "x"


def probe(name):
    """Methods that no life cycle called: each must say that it is not offered."""
    problems = []
    for group, method, function in harness.methods(name):
        key = (name, group, method)
        if harness.RECORD.outcomes.get(key) in ("passed", "501"):
            continue
        signature = inspect.signature(function)
        required = [p for p in signature.parameters.values() if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        positional = [argument_for(p) for p in required if p.kind is not p.KEYWORD_ONLY]
        keywords = {p.name: argument_for(p) for p in required if p.kind is p.KEYWORD_ONLY}
        for attempt in (positional, [{} if isinstance(a, str) and i == len(positional) - 1 else a for i, a in enumerate(positional)]):
            try:
                getattr(getattr(harness.connect(name), group), method)(*attempt, **keywords)
                break
            except HttpResponseError as error:
                if error.status_code == 501:
                    break
            except (AzureError, TypeError, ValueError, AttributeError, LookupError) as error:
                harness.RECORD.outcomes.setdefault(key, f"{type(error).__name__}: {error}"[:80])
        outcome = harness.RECORD.outcomes.get(key)
        if outcome not in ("passed", "501"):
            problems.append((key, outcome))
    return problems


def table():
    lines = [BEGIN, "", "| client | group | passes | answered with 501 |", "| --- | --- | --- | --- |"]
    for name in harness.CLIENTS:
        groups = {}
        for group, method, _ in harness.methods(name):
            groups.setdefault(group, {"passed": [], "501": []})
            groups[group].setdefault(harness.RECORD.outcomes.get((name, group, method), "?"), []).append(method)
        for group, found in groups.items():
            lines.append(f"| {name} | {group} | {', '.join(found['passed']) or '–'} | {', '.join(found['501']) or '–'} |")
    return "\n".join(lines + ["", END])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of life cycles, such as `network` or `clusters.agent_pools`")
    parser.add_argument("--table", help="a Markdown file with the markers")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    failures = run_lifecycles(options.only)
    if options.only:
        return min(failures, 1)
    problems = [problem for name in harness.CLIENTS for problem in probe(name)]
    for key, outcome in problems:
        print(f"FAIL  {'.'.join(key)}: {outcome}")
    counts = list(harness.RECORD.outcomes.values())
    print(f"{counts.count('passed')} methods pass, {counts.count('501')} are answered with 501, {len(problems)} with something else, "
          f"{failures} life cycles fail, {time.monotonic() - started:.0f} s")
    if options.table and not failures and not problems:
        text = open(options.table, encoding="utf-8").read()
        before, rest = text.split(BEGIN, 1)
        old, after = rest.split(END, 1)
        if BEGIN + old + END != table():
            if options.write:
                open(options.table, "w", encoding="utf-8").write(before + table() + after)
            else:
                print(f"FAIL  the table in {options.table} differs from this run; write it with --write")
                return 1
    return 1 if failures or problems else 0


if __name__ == "__main__":
    sys.exit(main())
