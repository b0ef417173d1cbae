"""What Checks of others cost, through the same Envoy as the sidecar's.

Usage: python -m bench.peer_figures [--json] [--quick] [--anyway]

Beside the sidecar, asked and repeated: ext_authz servers as one writes them with grpc-go and
golang-jwt, one that remembers tokens and one that verifies each, and one whose decision is a
policy in Rego, by the library of Open Policy Agent. Their sources are in ``bench/peers``; they
are built with Go, which nothing else of this project needs: without it this says so and ends.
They do less than the sidecar: no routes, revocations, audit lines or security headers.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import names
from bench.check import constant_answer
from bench.envoys import ext_authz
from bench.figures import spread, spread_row
from bench.filters import decision_cache
from bench.harness import serving
from bench.machine import require_quiet
from bench.material import Material
from bench.names import AUDIENCE, ISSUER, LEASES
from bench.through_envoy import costs, halves, latencies
from bench.variants import (
    Answerer,
    Plan,
    Variant,
    assert_passes,
    assert_refuses,
    request_headers,
    running,
    until_repeated,
)
from demo.envoyproxy import build_module

SOURCES = Path(__file__).parent / "peers"
PEERS = {
    "ext_authz, Go, tokens remembered": "cache",
    "ext_authz, Go, each token verified": "verify",
    "ext_authz, Open Policy Agent's library": "opa",
}
"""Servers of ``bench/peers`` by the mode that each is."""
_BUILD_SECONDS = 900
_STOP_SECONDS = 10


class Size(NamedTuple):
    """How much is run."""

    runs: int
    calls: int
    windows: int
    seconds: float


QUICK, FULL = Size(3, 1_000, 1, 0.5), Size(7, 6_000, 3, 5.0)
Start = Callable[[str, Path], Answerer]
"""Starts the server of a mode, with the keys of a folder."""


class Peer:
    """One server of somebody else's kind: a program that prints its port and serves."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if not said.isdigit():
            self.stop()
            raise SystemExit(f"the server did not start: {' '.join(command[:2])}")
        self.address: int | str = int(said)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(_STOP_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()


def build(go: str, into: Path) -> Path:
    """Build the servers; their modules come from the checksums of go.sum."""
    program = into / "peers"
    print("bench: building bench/peers (minutes, the first time) …", file=sys.stderr, flush=True)
    done = subprocess.run(
        [go, "build", "-mod=readonly", "-o", str(program), "."],
        cwd=SOURCES, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"bench/peers can't be built: {done.stderr.strip()}")
    return program


def start_built(program: Path, mode: str, folder: Path) -> Peer:
    """Start a server of ``bench/peers``."""
    return Peer([str(program), mode, str(folder / "public.pem"), ISSUER, AUDIENCE])


@contextmanager
def all_running(
    material: Material, start: Start, modes: Mapping[str, str]
) -> Iterator[dict[str, Variant]]:
    """Run an Envoy for each, and see that each lets a good token pass and a forged one not."""
    folder, headers = material.folder, request_headers(material)
    with ExitStack() as stack:
        ours, cached = (
            stack.enter_context(serving(name, folder)) for name in ("ours-h2", "cached")
        )
        repeated = decision_cache(str(folder / LEASES))
        plans = {
            names.NO_FILTER: Plan([]),
            names.REPEATED: Plan(repeated, cached, modules=build_module()),
            names.ASKED: Plan(ext_authz(), ours),
        }
        for name, mode in modes.items():
            peer = start(mode, folder)
            stack.callback(peer.stop)
            plans[name] = Plan(ext_authz(), peer)
        variants = {
            name: stack.enter_context(running(plan, folder)) for name, plan in plans.items()
        }
        for name, variant in variants.items():
            assert_passes(name, variant, headers)
            if name != names.NO_FILTER:
                assert_refuses(name, variant, headers, material.token(0, forged=True))
        until_repeated(variants[names.REPEATED], headers)
        yield variants


def measure(size: Size, start: Start, modes: Mapping[str, str] = PEERS) -> dict[str, Any]:
    """Return CPU and latency of each, and each one's CPU through the sidecar's."""
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as path:
        material = Material(Path(path))
        (material.folder / "answer").write_bytes(constant_answer(material))
        headers = request_headers(material)
        with all_running(material, start, modes) as variants:
            samples = costs(variants, headers, size.runs, size.calls)
            latency = latencies(variants, headers, size.windows, size.seconds)
    totals = {name: spread(each.total for each in taken) for name, taken in samples.items()}
    ours = totals[names.ASKED].median
    return {
        "vs_sidecar": {name: round(each.median / ours, 2) for name, each in totals.items()},
        "cpu_us": {name: halves(taken) for name, taken in samples.items()},
        "spread_us": {name: spread_row(each) for name, each in totals.items()},
        "latency": latency,
    }


def page(result: Mapping[str, Any]) -> Iterator[str]:
    """Write the figures for a terminal."""
    heads = f"{'Envoy, µs':>10} {'server':>8} {': sidecar':>10} {'p50, µs':>8} {'p99':>7}"
    yield f"{'filter':44} {heads}"
    for name, cpu in result["cpu_us"].items():
        late = result["latency"][name]
        yield (
            f"{name:44} {cpu['envoy']:>10} {cpu['server']:>8} {result['vs_sidecar'][name]:>10}"
            f" {late['p50_us']:>8} {late['p99_us']:>7}"
        )


def main() -> int:
    """Build, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--anyway", action="store_true", help="on a busy machine too")
    options = parser.parse_args()
    go = shutil.which("go")
    if go is None:
        print("Go is not here, so others' servers are not measured; install it to compare.")
        return 0
    with tempfile.TemporaryDirectory(prefix="septem-peers-") as into:
        program = build(go, Path(into))
        load = require_quiet(anyway=options.anyway)
        result = measure(QUICK if options.quick else FULL, partial(start_built, program))
    result = {"load_before": load, **result}
    print(json.dumps(result) if options.json else "\n".join(page(result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
