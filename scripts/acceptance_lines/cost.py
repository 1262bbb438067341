"""Line 5 of `decide`: the specification's cost table, reproduced and then made honest."""

import json
import os
import subprocess
from decimal import ROUND_HALF_UP, Decimal

from .core import REPO, need
from .platform import MAREA

HOURS = 730
# arquitectura-aks.md, "Costos Estimados": what each line says, least and most, and how many of what it stands for.
TABLE = [
    ((0, 0), "control-plane", "Free", (1, 1)),
    ((30, 30), "vm", "Standard_B2s", (1, 1)),
    ((30, 90), "vm", "Standard_B2s", (1, 3)),
    ((30, 150), "vm", "Standard_B2s", (1, 5)),
    ((12, 12), "database-compute", "Standard_B1ms", (1, 1)),
    ((20, 20), "load-balancer", "Standard", (1, 1)),
]
SAID_TOTAL = (92, 302)
# What the table forgets of the platform as it stands in the repository: meter, SKU, least and most.
FORGOTTEN = [
    ("os-disk", "P10", (3, 9)),
    ("public-ip", "Standard", (2, 2)),  # of the cluster's outbound rule, and of the ingress
    ("database-storage", "Premium", (32, 32)),
    ("private-dns-zone", "Private", (1, 1)),
]


def month(sheet, meter, sku, count):
    """Calculated here from the sheet, without the program."""
    entry = next(e for e in sheet if e["meter"] == meter and e["sku"] == sku and e["region"] in ("eastus", "global"))
    units = {"hour": HOURS, "month": 1, "gib-month": 1}[entry["unit"]]
    return count * units * Decimal(entry["price"])


def cents(amount):
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)


def equal(what, found, expected):
    found, expected = [cents(str(f)) for f in found], [cents(e) for e in expected]
    need(found == expected, f"{what}: {found} instead of {expected}")


def line(_):
    """marea cost reproduces the specification's table line by line, then the honest total; a bill worked out by hand agrees to the cent"""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAREA_")}
    run = lambda *arguments: subprocess.run([MAREA, "cost", "--sheet", "committed", *arguments], cwd=REPO, env=env, capture_output=True, text=True, timeout=60)
    done = run("--json", "--region", "eastus")
    need(done.returncode == 0, f"marea cost: exit {done.returncode}: {done.stderr}")
    report = json.loads(done.stdout)
    sheet = json.loads((REPO / "crates/price/sheet.json").read_text())["entries"]
    lines = report["table"]["lines"]
    need(len(lines) == len(TABLE), f"{len(lines)} lines instead of {len(TABLE)}")
    for row, (said, meter, sku, counts) in zip(lines, TABLE):
        equal(f"{row['what']}: what the table says", row["said"], said)
        equal(f"{row['what']}: at the sheet's prices", row["priced"], [month(sheet, meter, sku, count) for count in counts])
    added = [sum(said[end] for said, *_ in TABLE) for end in (0, 1)]
    equal("the table's printed total", report["table"]["saidTotal"], SAID_TOTAL)
    equal("the table's lines added", report["table"]["sumOfLines"], added)
    forgotten = [sum(month(sheet, meter, sku, counts[end]) for meter, sku, counts in FORGOTTEN) for end in (0, 1)]
    counted = [sum(month(sheet, meter, sku, counts[end]) for _, meter, sku, counts in TABLE) for end in (0, 1)]
    equal("what the table forgets", report["leftOut"], forgotten)
    honest = [a + b for a, b in zip(counted, forgotten)]
    equal("the honest total", (report["floor"]["total"], report["ceiling"]["total"]), honest)
    text = run("--region", "eastus").stdout
    need(f"${cents(honest[0])}" in text and f"${cents(honest[1])}" in text, f"the text does not print the honest total: {text}")
    unknown = run("--region", "moonbase")
    need(unknown.returncode == 2 and "moonbase" in unknown.stderr and "eastus" in unknown.stderr, f"an unknown region: exit {unknown.returncode}: {unknown.stderr}")
    by_hand = subprocess.run(["cargo", "test", "--quiet", "-p", "price", "--test", "bill"], cwd=REPO, capture_output=True, text=True, timeout=1200)
    need(by_hand.returncode == 0, f"cargo test -p price --test bill: {by_hand.stdout[-600:]}{by_hand.stderr[-600:]}")
    return (f"six lines: ${added[0]}-{added[1]} added, not ${SAID_TOTAL[0]}-{SAID_TOTAL[1]}; the same at the sheet's prices "
            f"${cents(counted[0])}-{cents(counted[1])}; with what it forgets ${cents(honest[0])}-{cents(honest[1])}")
