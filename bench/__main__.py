"""Runs the whole bench. Usage: python -m bench [--quick] [--only PART] [--anyway].

Writes bench/results.json, bench/RESULTS.md, bench/results.svg and the README's section.
``--quick`` and ``--only`` print instead, and change no file. A busy machine is refused before
each part, except with ``--anyway``: the load is then in the results for all to see.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import check, machine, sds, through_envoy
from bench.load_tools import find_tool
from bench.report import RESULTS, write_all
from bench.targets import TARGETS, lines


def parts(*, quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """Name the parts, in order."""
    return {
        "check": lambda: check.measure(check.QUICK if quick else check.FULL),
        "envoy": lambda: through_envoy.measure(
            through_envoy.QUICK if quick else through_envoy.FULL
        ),
        "sds": lambda: sds.measure(sds.QUICK if quick else sds.FULL),
    }


def run(*, quick: bool, anyway: bool) -> dict[str, Any]:
    """Measure everything."""
    loads = {"check": machine.require_quiet(anyway=anyway)}
    started, results = time.monotonic(), {"date": machine.now(), "machine": machine.describe()}
    found: dict[str, dict[str, Any]] = {}
    for name, measure in parts(quick=quick).items():
        if name not in loads:
            print("bench: waiting until the load of the last part has faded …", file=sys.stderr)
            loads[name] = machine.require_quiet(
                anyway=anyway, patience_seconds=machine.FADE_SECONDS
            )
        print(f"bench: {name} …", file=sys.stderr, flush=True)
        found[name] = measure()
    asked = found["check"]
    figures = {**asked, **found["envoy"]}
    return {
        **results,
        "seconds": round(time.monotonic() - started),
        "load_before": loads,
        "versions": machine.versions(),
        "targets": {target.key: figures[target.key] for target in TARGETS},
        **{name: asked[name] for name in ("direct", "flood", "memory")},
        "envoy": found["envoy"],
        "sds": found["sds"],
    }


def main() -> int:
    """Run and write, or run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look: no file is written")
    parser.add_argument("--only", choices=sorted(parts(quick=True)), help="one part, printed")
    parser.add_argument("--anyway", action="store_true", help="on a busy machine too")
    options = parser.parse_args()
    for tool in ("h2load", "wrk"):
        if find_tool(tool) is None:
            print(f"{tool} is missing; tools/get-load-tools .venv brings it", file=sys.stderr)
    if options.only:
        machine.require_quiet(anyway=options.anyway)
        print(json.dumps(parts(quick=options.quick)[options.only](), indent=2))
        return 0
    results = run(quick=options.quick, anyway=options.anyway)
    if options.quick:
        print(json.dumps(results, indent=2))
    else:
        RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
        write_all(results)
    print("\n".join(lines(results["targets"], TARGETS)), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
