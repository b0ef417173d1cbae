"""Runs the fleets and writes the figures. Usage: python -m bench.scale [--quick] [--output FILE].

``--quick`` takes three minutes, prints the tables, and changes no file. In full it takes a quarter
of an hour and writes bench/scale/results.json, or FILE, and the tables of docs/scale.md, beside
those of bench/scale/before.json.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench import machine
from bench.scale import growth, scenario
from bench.scale.fleet import raise_limits
from bench.scale.platform import Size
from bench.scale.report import page, put_between_marks
from bench.scale.scenario import Plan

_HERE = Path(__file__).parent
RESULTS, BEFORE = _HERE / "results.json", _HERE / "before.json"
DOCUMENT = _HERE.parent.parent / "docs" / "scale.md"
_SIZE = Size(revocation_entries=5, domains=200)


class Extent(NamedTuple):
    """How much is run."""

    plans: tuple[Plan, ...]
    steps: growth.Steps


QUICK = Extent(
    (Plan(20, 1, _SIZE, 20, 15, 3), Plan(60, 2, _SIZE, 20, 15, 3)),
    growth.Steps((1_000, 10_000), (200, 1_000), (200, 1_000)),
)
FULL = Extent(
    (Plan(100, 2, _SIZE, 30, 30, 3), Plan(500, 3, _SIZE, 30, 30, 3)),
    growth.Steps((1_000, 10_000, 100_000), (200, 2_000, 20_000), (200, 2_000)),
)


async def measure(extent: Extent, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run everything, one after the other; ``save`` gets what there is after each part."""
    started = time.monotonic()
    found: dict[str, Any] = {"date": machine.now(), "machine": machine.describe(), "fleets": []}
    for plan in extent.plans:
        print(f"scale: {plan.sidecars} sidecars …", file=sys.stderr, flush=True)
        found["fleets"].append(await scenario.run(plan))
        save(found)
    print("scale: domains and names …", file=sys.stderr, flush=True)
    found["growth"] = await growth.run(extent.steps)
    found["seconds"] = round(time.monotonic() - started)
    return found


def main() -> int:
    """Run and write, or run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look: no file is written")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the figures go")
    options = parser.parse_args()
    raise_limits()

    def save(found: dict[str, Any]) -> None:
        if not options.quick:
            options.output.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(measure(QUICK if options.quick else FULL, save))
    before = json.loads(BEFORE.read_text()) if BEFORE.exists() and not options.quick else None
    tables = page(results, before)
    print(tables)
    if not options.quick:
        save(results)
        if options.output == RESULTS:
            DOCUMENT.write_text(put_between_marks(DOCUMENT.read_text(), tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
