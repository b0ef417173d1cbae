"""What Envoy's own settings cost: Envoy's CPU per request, one change of edge.yaml at a time.

Usage: python -m bench.envoy_settings [--rounds N] [--json]

The base is the shipped ``envoy/edge.yaml`` as it is, but in the clear (a connection's TLS is
the same for all). Behind it are an application and a server that gives the sidecar's answer
to every Check, so that Envoy does all that it does for a real one. Every change has an Envoy
of its own; they take turns, and each run is compared with the base's runs right before and
after it. The base is also run under another name: how far that is from nothing is how far a
difference must be to mean something.

Writes bench/envoy_settings.json and the table of envoy/README.md; with --json, prints only.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import machine
from bench.check import constant_answer
from bench.clients import Headers
from bench.envoy_changes import CHANGES, Change, Edge, nothing
from bench.envoys import EnvoyProcess, plain_edge, running_envoy
from bench.figures import Spread, spread, within
from bench.harness import Server, serving
from bench.kernel import cpu_seconds
from bench.load_tools import run_h2load
from bench.material import Material
from bench.report import ROOT, machine_words, put_section, read_results
from bench.sections import table
from bench.through_envoy import with_host
from bench.variants import request_headers
from demo.envoyproxy import EdgePorts, edge_config
from demo.process import free_ports

FIGURES, README = ROOT / "bench/envoy_settings.json", ROOT / "envoy/README.md"
BASE = Change("as shipped", nothing, "")
REQUESTS = 1_000
CONNECTIONS = 4
_ATTEMPTS = 4
_BUDGET_SECONDS = 200


def edge_of(change: Change, application: int, floor: Server, socket: str) -> tuple[Any, int]:
    """Build edge.yaml with one change, in the clear; return it and its port."""
    http, https, admin = free_ports(3)
    assert isinstance(floor.address, int)
    ports = EdgePorts(http, https, admin, application, floor.address, sds=1)
    config = edge_config(ports)
    listeners = {each["name"]: each for each in config["static_resources"]["listeners"]}
    del listeners["https"]["listener_filters"]
    del listeners["https"]["filter_chains"][0]["transport_socket"]
    change.apply(Edge(config, socket))
    return config, https


def one_run(envoy: EnvoyProcess, port: int, headers: Headers) -> float:
    """CPU of Envoy for one request, in microseconds.

    On a machine that is busy enough, a Check may run into its time-out; such a run is
    another thing than what is measured, and is made again.
    """
    url = f"http://127.0.0.1:{port}/api/orders?page=2"
    for _ in range(_ATTEMPTS):
        before = cpu_seconds(envoy.pid)
        rate = run_h2load(url, headers, 0, connections=CONNECTIONS, in_flight=8, requests=REQUESTS)
        if rate.requests == REQUESTS and not rate.failed:
            return (cpu_seconds(envoy.pid) - before) / REQUESTS * 1e6
    raise SystemExit(f"{rate.failed} of {rate.requests} requests failed, {_ATTEMPTS} times")


def measure(rounds: int, changes: tuple[Change, ...] = CHANGES) -> dict[str, Any]:
    """Run every change in turn, so often; return medians of the differences to the base."""
    samples: dict[str, list[float]] = {change.name: [] for change in (BASE, *changes)}
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as path, ExitStack() as stack:
        folder = Path(path)
        material = Material(folder)
        (folder / "answer").write_bytes(constant_answer(material))
        socket = str(folder / "floor.sock")
        floor = stack.enter_context(serving("floor", folder))
        stack.enter_context(serving("floor", folder, "--unix", socket))
        upstream, application = plain_edge([])
        stack.enter_context(running_envoy(upstream, folder))
        edges = {}
        for change in (BASE, *changes):
            config, port = edge_of(change, application, floor, socket)
            envoy = stack.enter_context(running_envoy(config, folder, change.concurrency))
            edges[change.name] = (envoy, port)
        headers = with_host(request_headers(material))
        for envoy, port in edges.values():
            one_run(envoy, port, headers)
        enough = within(_BUDGET_SECONDS, time.monotonic)
        for number in range(rounds):
            before = one_run(*edges[BASE.name], headers)
            samples[BASE.name].append(before)
            for change in changes[:: 1 if number % 2 == 0 else -1]:
                changed = one_run(*edges[change.name], headers)
                after = one_run(*edges[BASE.name], headers)
                samples[BASE.name].append(after)
                samples[change.name].append(changed - (before + after) / 2)
                before = after
            if enough(number + 1):
                break
    return {
        "base_us": round(spread(samples[BASE.name]).median, 1),
        "rounds": number + 1,
        "changes": {change.name: row(spread(samples[change.name])) for change in changes},
    }


def row(differences: Spread) -> dict[str, float]:
    """Write down a difference and its quartiles."""
    low, high = differences.quartiles
    return {"us": round(differences.median, 1), "low_us": round(low, 1), "high_us": round(high, 1)}


def section(results: dict[str, Any]) -> str:
    """Write the table of envoy/README.md."""
    base, counts = results["base_us"], results.get("instructions", {})
    verdicts = {change.name: change.verdict for change in CHANGES}
    rows = [(BASE.name, _thousands(counts.get(BASE.name)), "", f"{base:g}", "")]
    for name, each in results["changes"].items():
        count = counts.get(name)
        share = "" if count is None else f"{count / counts[BASE.name] - 1:+.1%}"
        cpu = f"{each['us']:+.0f} ({each['low_us']:+.0f} to {each['high_us']:+.0f})"
        rows.append((name, _thousands(count), share, cpu, verdicts.get(name, "")))
    return "\n".join(
        (
            (
                "The figures are for one request with 20 headers through `edge.yaml` in the clear. "
                "Given are the instructions of Envoy's own code, one request at a time, counted by "
                "Valgrind, and Envoy's CPU under load, the kernel's part included. The CPU is by "
                f"differences to runs of `edge.yaml` right before and after, median of "
                f"{results['rounds']} and quartiles. On {machine_words(results)}."
            ),
            "",
            *table(("Change", "Instructions", "", "CPU, µs", "In `edge.yaml`"), rows),
            *_answers(counts, results.get("answers", {})),
        )
    )


def _answers(counts: dict[str, int], answers: dict[str, int]) -> list[str]:
    if not answers:
        return []
    whole = counts[BASE.name]
    rows = [(name, f"{count:,}", f"{count / whole - 1:+.1%}") for name, count in answers.items()]
    words = "What Envoy does with the sidecar's answer, by taking parts of it away:"
    return ["", words, "", *table(("Answer", "Instructions", ""), rows)]


def _thousands(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def main() -> int:
    """Measure, and write or print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print; change no file")
    options = parser.parse_args()
    about = {"date": machine.now(), "machine": machine.describe(), "versions": machine.versions()}
    results = {**about, **measure(options.rounds)}
    if FIGURES.exists():  # what bench.envoy_instructions counted does not age by the day
        before = read_results(FIGURES)
        results |= {kind: before[kind] for kind in ("instructions", "answers") if kind in before}
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    if options.json:
        sys.stdout.write(text)
        return 0
    FIGURES.write_text(text, encoding="utf-8")
    README.write_text(
        put_section(README.read_text(encoding="utf-8"), section(results)), encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
