"""What a check costs through the real Envoy.

Usage: python -m bench.through_envoy [--json] [--quick].

One Envoy a variant, with one worker thread and a direct response behind the filter: no
filter; Envoy's own jwt_authn without and with its token cache; ext_authz to a server with
a constant reply; ext_authz to the sidecar's Check. Runs alternate, medians are compared,
CPU is by the kernel's account, of Envoy and of the server apart.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench.check import constant_answer
from bench.clients import EdgeClient, Headers
from bench.envoys import Config, ext_authz, jwt_authn, plain_edge, running_envoy
from bench.figures import Spread, alternate, latency_row, percentile, within
from bench.harness import Server, serving, settled
from bench.kernel import cpu_of, cpu_seconds
from bench.load_tools import Rate, find_tool, run_h2load, run_wrk
from bench.material import PLAIN_HEADERS, Material
from bench.pacing import Paced
from bench.targets import ENVOY_TARGETS, lines


class Size(NamedTuple):
    """How much is run."""

    runs: int
    calls: int
    windows: int
    """Of the open loop, a variant."""
    seconds: float
    """A window."""
    load_seconds: float
    """Of h2load and of wrk, a variant; 0 leaves them out."""


QUICK = Size(3, 2_000, 1, 1.0, 0)
FULL = Size(7, 6_000, 3, 5.0, 3)
_BUDGET_SECONDS = 120
RATE = 1_000.0
"""Requests a second of the open loop: far below what the slowest variant can take."""


class Variant(NamedTuple):
    """A running Envoy, and the server it asks, if it asks one."""

    port: int
    envoy: int
    server: int | None

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose CPU counts."""
        return (self.envoy,) if self.server is None else (self.envoy, self.server)


class Cost(NamedTuple):
    """CPU of one request, in microseconds."""

    envoy: float
    server: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.envoy + self.server


@contextmanager
def running(
    filters: Sequence[Config], folder: Path, server: Server | None = None
) -> Iterator[Variant]:
    """Run an Envoy with these filters."""
    config, port = plain_edge(filters, server.address if server is not None else None)
    with running_envoy(config, folder) as envoy:
        yield Variant(port, envoy.pid, server.pid if server is not None else None)


def request_headers(material: Material) -> Headers:
    """Return a browser's request with a good token, 20 headers in all."""
    return (
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/api/orders?page=2"),
        (b":authority", b"app.septemcore.com"),
        (b"authorization", b"Bearer " + material.token(0)),
        *((f"x-header-{index}".encode(), b"v" * 24) for index in range(PLAIN_HEADERS)),
    )


def cost(variant: Variant, headers: Headers, calls: int) -> Cost:
    """CPU of a closed loop's requests, 32 in flight on one connection."""
    client = EdgeClient(variant.port, headers)
    client.run([b""] * 300)
    settled(*variant.pids)
    before = [cpu_seconds(pid) for pid in variant.pids]
    answered = client.run([b""] * calls)
    settled(*variant.pids)
    after = [cpu_seconds(pid) for pid in variant.pids]
    client.close()
    spent = [(end - start) / answered * 1e6 for start, end in zip(before, after, strict=True)]
    return Cost(spent[0], spent[1] if len(spent) > 1 else 0.0)


def costs(
    variants: dict[str, Variant], headers: Headers, runs: int, calls: int
) -> tuple[dict[str, Cost], dict[str, Spread]]:
    """Alternate between the variants; return the medians, and how the totals spread."""
    samples: dict[str, list[Cost]] = {name: [] for name in variants}

    def one(name: str) -> float:
        samples[name].append(cost(variants[name], headers, calls))
        return samples[name][-1].total

    measures = {name: partial(one, name) for name in variants}
    totals = alternate(runs, measures, within(_BUDGET_SECONDS, time.monotonic))
    medians = {
        name: Cost(
            statistics.median(each.envoy for each in taken),
            statistics.median(each.server for each in taken),
        )
        for name, taken in samples.items()
    }
    return medians, totals


def latencies(variants: dict[str, Variant], headers: Headers, size: Size) -> dict[str, Any]:
    """Run the open loop against each in turn; percentiles of all windows together."""
    windows: dict[str, list[Paced]] = {name: [] for name in variants}
    for _ in range(size.windows):
        for name, variant in variants.items():
            client = EdgeClient(variant.port, headers)
            client.run([b""] * 100)
            windows[name].append(client.paced([b""], RATE, size.seconds))
            client.close()
    rows: dict[str, Any] = {}
    for name, taken in windows.items():
        rows[name] = dict(latency_row([each for paced in taken for each in paced.latencies]))
        late = percentile([each for paced in taken for each in paced.lateness], 0.99)
        rows[name]["client_late_p99_us"] = round(late * 1e6)
        rows[name]["unanswered"] = sum(paced.unanswered for paced in taken)
    return {"requests_per_second": RATE, **rows}


def throughput(variants: dict[str, Variant], headers: Headers, seconds: float) -> dict[str, Any]:
    """Requests a second by h2load and wrk, each with the CPU it took of Envoy and server."""
    rows: dict[str, Any] = {}
    for tool, run in (("h2load", run_h2load), ("wrk", run_wrk)):
        if find_tool(tool) is None:
            continue
        for name, variant in variants.items():
            url = f"http://127.0.0.1:{variant.port}/api/orders?page=2"
            before = cpu_of(variant.pids)
            rate: Rate = run(url, with_host(headers), seconds)
            spent = cpu_of(variant.pids) - before
            row = rows.setdefault(name, {})
            row[f"{tool}_per_second"] = round(rate.answered_per_second)
            row[f"{tool}_failed"] = rate.failed
            row[f"{tool}_cores"] = round(spent / seconds, 2)
    return rows


def with_host(headers: Headers) -> Headers:
    """Keep what a load tool has to be told; it makes the other pseudo-headers itself."""
    return tuple(
        each for each in headers if not each[0].startswith(b":") or each[0] == b":authority"
    )


def assert_passes(name: str, variant: Variant, headers: Headers) -> None:
    """Make sure that what is measured is an allowed request."""
    client = EdgeClient(variant.port, headers)
    status = client.status()
    client.close()
    if status != 200:
        raise SystemExit(f"a request of the bench is answered {status} by {name!r}")


def measure(size: Size) -> dict[str, Any]:
    """Run everything and return the figures: those of the targets, then each part's own."""
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as path, ExitStack() as stack:
        folder = Path(path)
        material = Material(folder)
        (folder / "answer").write_bytes(constant_answer(material))
        ours = stack.enter_context(serving("ours-h2", folder))
        floor = stack.enter_context(serving("floor", folder))
        asked: tuple[tuple[str, list[Config], Server | None], ...] = (
            ("no filter", [], None),
            ("jwt_authn, token cache", jwt_authn(material, cached=True), None),
            ("jwt_authn", jwt_authn(material, cached=False), None),
            ("ext_authz, constant reply", ext_authz(), floor),
            ("ext_authz, sidecar", ext_authz(), ours),
        )
        variants = {
            name: stack.enter_context(running(filters, folder, server))
            for name, filters, server in asked
        }
        headers = request_headers(material)
        for name, variant in variants.items():
            assert_passes(name, variant, headers)
        cpu, totals = costs(variants, headers, size.runs, size.calls)
        result: dict[str, Any] = {
            **ratios(totals),
            "cpu_us": {
                name: {"envoy": round(each.envoy, 1), "server": round(each.server, 1)}
                for name, each in cpu.items()
            },
            "noise": {name: round(each.relative, 3) for name, each in totals.items()},
            "latency": latencies(variants, headers, size),
        }
        if size.load_seconds:
            result["throughput"] = throughput(variants, headers, size.load_seconds)
    return result


def ratios(totals: dict[str, Spread]) -> dict[str, float]:
    """Compare: the figures that have a target."""
    ours = totals["ext_authz, sidecar"].median
    return {
        "warm_vs_jwt_authn": round(ours / totals["jwt_authn"].median, 3),
        "warm_vs_constant": round(ours / totals["ext_authz, constant reply"].median, 3),
    }


def main() -> int:
    """Run, print, return 0: a target that is not met is reported, not hidden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="under 45 seconds")
    options = parser.parse_args()
    result = measure(QUICK if options.quick else FULL)
    if options.json:
        print(json.dumps(result))
    else:
        print("\n".join(lines(result, ENVOY_TARGETS)))
        print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
