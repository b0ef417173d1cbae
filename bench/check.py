"""What one Check costs, asked directly. Usage: python -m bench.check [--json] [--quick] [--anyway].

Runs alternate between the servers and the medians are compared, so that a busy moment of
the machine hits all alike. Figures are ratios; the microseconds are of this machine.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench import direct, flood, memory
from bench.machine import require_quiet
from bench.material import Material
from bench.targets import CHECK_TARGETS, lines


class Size(NamedTuple):
    """How much is run."""

    direct: direct.Size
    flood: flood.Size
    memory: memory.Size


QUICK = Size(direct.QUICK, flood.QUICK, memory.QUICK)
FULL = Size(direct.FULL, flood.FULL, memory.FULL)


def constant_answer(material: Material) -> bytes:
    """Take the very answer that the sidecar gives, for the floor to give."""
    from bench.servers import service

    async def answer() -> bytes:
        return await memory.answered(service(material.folder).handle(material.request(0)))

    return asyncio.run(answer())


def measure(size: Size) -> dict[str, Any]:
    """Run everything and return the figures: those of the targets, then each part's own."""
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as name:
        material = Material(Path(name))
        (material.folder / "answer").write_bytes(constant_answer(material))
        asked = direct.measure(material, size.direct)
        flooded = flood.measure(material, size.flood)
        kept = memory.measure(material, size.memory)
    return {**ratios(asked, flooded, kept), "direct": asked, "flood": flooded, "memory": kept}


def ratios(asked: dict[str, Any], flooded: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """Compare: the figures that have a target."""
    warm, cold = asked["warm_us"], asked["cold_us"]
    return {
        "warm_vs_naive": round(warm["ours-h2"] / warm["naive"], 4),
        "warm_vs_floor": round(warm["ours-h2"] / warm["floor"], 3),
        "cold_vs_verify": round(cold["ours-h2"] / asked["verify_us"], 3),
        "flood_p99": flooded["flood_p99"],
        "rss_idle_mb": kept["rss_idle_mb"],
        "rss_worker_mb": kept["rss_worker_mb"],
        "bytes_per_token": kept["bytes_per_token"],
    }


def main() -> int:
    """Run, print, return 0: a target that is not met is reported, not hidden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="under 45 seconds")
    parser.add_argument("--anyway", action="store_true", help="on a busy machine too")
    options = parser.parse_args()
    load = require_quiet(anyway=options.anyway)
    result = {"load_before": load, **measure(QUICK if options.quick else FULL)}
    if options.json:
        print(json.dumps(result))
    else:
        print("\n".join(lines(result, CHECK_TARGETS)))
        print(json.dumps({name: result[name] for name in ("direct", "flood", "memory")}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
