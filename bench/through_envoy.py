"""What a check costs through the real Envoy.

Usage: python -m bench.through_envoy [--json] [--quick] [--anyway].

The variants are those of ``bench.variants``: no filter; Envoy's own filters; ext_authz to a
server with a constant reply and to the sidecar; the decision cache, with answers that it repeats
and with answers that it misses. Runs alternate, medians are compared, CPU is by the kernel's
account, of Envoy and of the server apart.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bench import names
from bench.check import constant_answer
from bench.clients import IN_FLIGHT, Headers
from bench.figures import Spread, alternate, latency_row, percentile, spread, spread_row, within
from bench.harness import settled
from bench.kernel import cpu_of, cpu_seconds
from bench.load_tools import Rate, find_tool, run_h2load, run_wrk
from bench.machine import require_quiet
from bench.material import Material
from bench.pacing import Paced
from bench.targets import ENVOY_TARGETS, lines
from bench.variants import Variant, all_running, bytes_per_cached_token, request_headers


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
    tokens: int
    """That Envoy's memory is measured with."""


QUICK = Size(3, 3_000, 2, 0.5, 0, 4_000)
FULL = Size(7, 6_000, 3, 5.0, 3, 20_000)
_BUDGET_SECONDS = 240
_WARM_UP = 300
_TOLERANCE = 0.02
_CACHE = (names.REPEATED, names.MISSED, names.NEVER)
"""Whose counts of Checks are looked at: a run that is not what it is called is none."""
RATE = 1_000.0
"""Requests a second of the open loop: far below what the slowest variant can take."""


class Cost(NamedTuple):
    """CPU of one request, in microseconds."""

    envoy: float
    server: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.envoy + self.server


def cost(variant: Variant, headers: Headers, calls: int) -> Cost:
    """CPU of a closed loop's requests, 32 in flight on one connection."""
    client = variant.client(headers)
    client.run(variant.messages(_WARM_UP))
    settled(*variant.pids)
    before = [cpu_seconds(pid) for pid in variant.pids]
    answered = client.run(variant.messages(calls))
    settled(*variant.pids)
    after = [cpu_seconds(pid) for pid in variant.pids]
    client.close()
    spent = [(end - start) / answered * 1e6 for start, end in zip(before, after, strict=True)]
    return Cost(spent[0], spent[1] if len(spent) > 1 else 0.0)


def costs(
    variants: Mapping[str, Variant], headers: Headers, runs: int, calls: int
) -> dict[str, list[Cost]]:
    """Alternate between the variants; return what each round came to."""
    samples: dict[str, list[Cost]] = {name: [] for name in variants}

    def one(name: str) -> float:
        samples[name].append(cost(variants[name], headers, calls))
        return samples[name][-1].total

    measures = {name: partial(one, name) for name in variants}
    alternate(runs, measures, within(_BUDGET_SECONDS, time.monotonic))
    return samples


def as_called(name: str, asked: int, requests: int, rounds: int) -> None:
    """Make sure that what is called repeated was, and what is called missed was asked for.

    A beat that comes late, on a busy machine, has all that is in flight asked for: once a round
    is let pass.
    """
    wrong = asked if name == names.REPEATED else requests - asked
    if wrong > requests * _TOLERANCE + rounds * IN_FLIGHT:
        share = asked / requests
        raise SystemExit(f"of the requests of {name!r} the sidecar was asked for {share:.1%}")


def latencies(
    variants: Mapping[str, Variant], headers: Headers, windows: int, seconds: float
) -> dict[str, Any]:
    """Run the open loop against each in turn; percentiles of all windows together."""
    taken_of: dict[str, list[Paced]] = {name: [] for name in variants}
    for _ in range(windows):
        for name, variant in variants.items():
            client = variant.client(headers)
            client.run(variant.messages(100))
            due = variant.messages(round(RATE * seconds))
            taken_of[name].append(client.paced(due, RATE, seconds))
            client.close()
    rows: dict[str, Any] = {}
    for name, taken in taken_of.items():
        rows[name] = dict(latency_row([each for paced in taken for each in paced.latencies]))
        late = percentile([each for paced in taken for each in paced.lateness], 0.99)
        rows[name]["client_late_p99_us"] = round(late * 1e6)
        rows[name]["unanswered"] = sum(paced.unanswered for paced in taken)
    return {"requests_per_second": RATE, **rows}


def throughput(variants: Mapping[str, Variant], headers: Headers, seconds: float) -> dict[str, Any]:
    """Requests a second by h2load and wrk, each with the CPU it took of Envoy and server."""
    rows: dict[str, Any] = {}
    for tool, run in (("h2load", run_h2load), ("wrk", run_wrk)):
        if find_tool(tool) is None:
            continue
        for name, variant in variants.items():
            if variant.tokens > 1:
                continue  # these tools send one
            url = f"http://127.0.0.1:{variant.port}/api/orders?page=2"
            before = cpu_of(variant.pids)
            rate: Rate = run(url, with_host((*headers, *variant.more)), seconds)
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


def measure(size: Size) -> dict[str, Any]:
    """Run everything and return the figures: those of the targets, then each part's own."""
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as path:
        folder = Path(path)
        material = Material(folder)
        answer = constant_answer(material)
        (folder / "answer").write_bytes(answer)
        headers = request_headers(material)
        with all_running(material, answer) as variants:
            before = {name: variants[name].asked() for name in _CACHE}
            samples = costs(variants, headers, size.runs, size.calls)
            for name in _CACHE:
                rounds = len(samples[name])
                requests = rounds * (size.calls + _WARM_UP)
                as_called(name, variants[name].asked() - before[name], requests, rounds)
            latency = latencies(variants, headers, size.windows, size.seconds)
            load = throughput(variants, headers, size.load_seconds) if size.load_seconds else {}
        kept = bytes_per_cached_token(material, 1_000, size.tokens)
    totals = {name: spread(each.total for each in taken) for name, taken in samples.items()}
    return {
        **ratios(totals, latency),
        "bytes_per_cached_token": kept,
        "ranges": ranges(samples),
        "cpu_us": {name: halves(taken) for name, taken in samples.items()},
        "spread_us": {name: spread_row(each) for name, each in totals.items()},
        "noise": {name: round(each.relative, 3) for name, each in totals.items()},
        "latency": latency,
        **({"throughput": load} if load else {}),
    }


def halves(taken: list[Cost]) -> dict[str, float]:
    """Return the medians of Envoy and of the server, each by itself."""
    return {
        "envoy": round(statistics.median(each.envoy for each in taken), 1),
        "server": round(statistics.median(each.server for each in taken), 1),
    }


QUOTIENTS = {
    "warm_vs_jwt_authn": (names.ASKED, names.JWT),
    "warm_vs_constant": (names.ASKED, names.CONSTANT),
    "cached_vs_same_job": (names.REPEATED, names.SAME_JOB),
    "cached_vs_asked": (names.REPEATED, names.ASKED),
    "missed_vs_asked": (names.MISSED, names.ASKED_MANY),
    "never_vs_asked": (names.NEVER, names.ASKED),
}
"""Figures that are one variant's CPU, Envoy and server together, through another's."""


def ratios(totals: Mapping[str, Spread], latency: Mapping[str, Any]) -> dict[str, float]:
    """Compare: the figures that have a target."""
    rest = latency[names.NO_FILTER]["p50_us"]
    added, of_jwt = (latency[name]["p50_us"] - rest for name in (names.REPEATED, names.JWT_CACHED))
    return {
        **{
            key: round(totals[over].median / totals[under].median, 3)
            for key, (over, under) in QUOTIENTS.items()
        },
        # Where noise lets jwt_authn add nothing, a microsecond: the smallest that is told apart.
        "cached_p50_added_us": round(added / max(of_jwt, 1), 2),
    }


def ranges(samples: Mapping[str, list[Cost]]) -> dict[str, dict[str, float]]:
    """Return how far the quotients of single rounds lie apart."""
    found = {}
    for key, (over, under) in QUOTIENTS.items():
        pairs = zip(samples[over], samples[under], strict=True)
        found[key] = spread_row(spread(one.total / other.total for one, other in pairs), 3)
    return found


def main() -> int:
    """Run, print, return 0: a target that is not met is reported, not hidden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--anyway", action="store_true", help="on a busy machine too")
    options = parser.parse_args()
    load = require_quiet(anyway=options.anyway)
    result = {"load_before": load, **measure(QUICK if options.quick else FULL)}
    if options.json:
        print(json.dumps(result))
    else:
        print("\n".join(lines(result, ENVOY_TARGETS)))
        print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
