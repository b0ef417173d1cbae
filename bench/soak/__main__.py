"""Usage: python -m bench.soak [--seed N] [--minutes M] [--sidecars 1|2] [--output FILE] [--write].

Runs two acts, three fifths of the time with two sidecars and two fifths with one. Prints the table
and, for each wrong answer, what happened around it; writes everything to a file as JSON. Exit
status 1 if anything was wrong. The same seed gives the same requests, and the same disturbances in
the same order. ``--write`` puts the table into docs/soak.md.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import machine
from bench.scale.fleet import raise_limits
from bench.soak.act import Outcome, play
from bench.soak.plan import Plan
from bench.soak.report import as_json, is_clean, put_between_marks, story, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "soak.md"
SHORT_SECONDS = 300.0
"""An act that is shorter has its disturbances closer together, so that it meets each kind."""


def plans(seed: int, seconds: float, sidecars: Sequence[int]) -> list[Plan]:
    """Return the acts of so many seconds together."""
    shares = {2: 0.6, 1: 0.4} if len(sidecars) > 1 else dict.fromkeys(sidecars, 1.0)
    names = {2: "two sidecars", 1: "one sidecar"}
    return [
        Plan(names[count], seed, part, count, pace=max(1.0, SHORT_SECONDS / part))
        for count in sidecars
        for part in [shares[count] * seconds]
    ]


async def run(acts: Sequence[Plan]) -> list[Outcome]:
    """Play one act after the other."""
    return [
        await play(each, lambda said: print(f"soak: {said}", file=sys.stderr, flush=True))
        for each in acts
    ]


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--sidecars", type=int, choices=(1, 2), help="one act alone")
    parser.add_argument(
        "--output", type=Path, default=Path("build/soak.json"), help="where everything goes as JSON"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/soak.md")
    options = parser.parse_args()
    raise_limits()
    # gRPC's own client tries a handshake again, and would say so on our standard error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sidecars = (2, 1) if options.sidecars is None else (options.sidecars,)
    acts = plans(options.seed, options.minutes * 60, sidecars)
    outcomes = asyncio.run(run(acts))
    described = machine.describe()
    where = f"{described['cores']} cores of {described['cpu']}, {described['system']}"
    text = f"Seed {options.seed}, on {where}, {machine.now()[:10]}.\n\n{table(outcomes)}"
    for outcome in outcomes:
        for wrong in outcome.judge.wrong:
            print(story(wrong), end="\n\n")
    print(text)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(as_json(outcomes), indent=2) + "\n")
    if options.write:
        DOCUMENT.write_text(put_between_marks(DOCUMENT.read_text(), text))
    return 0 if is_clean(outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main())
