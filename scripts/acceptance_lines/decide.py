"""scripts/acceptance decide: decisions, simulation, price and checks. Only parity needs a cloud, which it starts.

  scripts/acceptance decide            every line but two: mutants, which takes more than an hour, and parity, a quarter of one
  scripts/acceptance decide --only 5   one line
"""

import argparse
import sys

from . import check, cost, mutants, parity, readme, tune, vectors, worlds
from .platform import MAREA

# In the order in which they run; a line takes one argument, which is None here.
LINES = {
    "1": vectors.line,
    "2": worlds.line,
    "3": worlds.speed,
    "4": tune.line,
    "5": cost.line,
    "6": check.line,
    "7": readme.line,
    "parity": parity.line,
    "mutants": mutants.line,
}
# Only when they are asked for.
LONG = {"parity", "mutants"}


def main(argv, attempt, show, finish):
    parser = argparse.ArgumentParser(prog="acceptance decide", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(LINES), help="this line; may be repeated")
    chosen = parser.parse_args(argv).only or LINES.keys() - LONG
    if not MAREA.exists():
        sys.exit(f"{MAREA} is missing: run scripts/up once, or set MAREA_BIN to where the programs are")
    return finish([show(name, line, *attempt(line, None)) for name, line in LINES.items() if name in chosen])
