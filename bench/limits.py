"""What a rate limit costs, and how exact it is, beside Envoy's own ``local_ratelimit``.

Usage: python -m bench.limits [--quick]

Three tables, as JSON. ``check``: CPU and instructions of a warm Check without limits, with a
tenant's, and with four at once. ``envoy``: CPU of a request through Envoy, with no filter, with
its filter ``local_ratelimit``, and with ext_authz to the sidecar without and with limits.
``exact``: requests that pass in a second at twice the limit, as a share of it.

Envoy's filter counts all requests together, or by descriptors that the configuration lists; it
knows no tenants of tokens, and each of its processes has buckets of its own. envoyproxy/ratelimit
counts by descriptors in Redis, which it asks for every request; ``bench.limit_table`` has it in
one table with the sidecar in a process, in workers and in a fleet.

Instructions are counted by Valgrind's callgrind (Debian: ``valgrind``) in one process that
answers Checks without a network, as the difference between two numbers of Checks. They are what
a busy machine does not disturb.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.clients import EdgeClient, Headers
from bench.envoys import Config, ext_authz, typed
from bench.figures import alternate, within
from bench.harness import Server, load, serving
from bench.material import Material
from bench.servers import service
from bench.through_envoy import costs, halves
from bench.variants import Plan, request_headers, running

NEVER_REACHED = "{requests: 100000000}"
LIMITS = {
    "none": "",
    "tenant": f"{{tenant: {NEVER_REACHED}}}",
    "tenant, address, token": (
        f"{{tenant: {NEVER_REACHED}, address: {NEVER_REACHED}, token: {NEVER_REACHED}}}"
    ),
}
RATE, BURST = 200, 20
REACHED = f"{{tenant: {{requests: {RATE}, burst: {BURST}}}}}"
_FEW, _MANY = 300, 1300
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
_BUDGET_SECONDS = 60.0
_OK, _TOO_MANY = 200, 429


def measure(material: Material, *, quick: bool) -> dict[str, Any]:
    """Run everything."""
    return {
        "check": checks(material, quick=quick),
        "envoy": through_envoy(material, quick=quick),
        "exact": exactness(material, 3.0 if quick else 10.0),
    }


def checks(material: Material, *, quick: bool) -> dict[str, dict[str, float]]:
    """CPU of the server, and instructions of the Check alone, in each set of limits."""
    warm, calls = material.request(0), 3_000 if quick else 20_000
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                serving("ours-h2", material.folder, *(("--limits", text) if text else ()))
            )
            for name, text in LIMITS.items()
        }

        def one(server: Server) -> float:
            return load(server, [warm] * calls).cpu_microseconds

        measures = {name: partial(one, server) for name, server in servers.items()}
        spreads = alternate(3 if quick else 9, measures, within(_BUDGET_SECONDS, time.monotonic))
    rows = {name: {"cpu_us": round(each.median, 2)} for name, each in spreads.items()}
    if shutil.which("valgrind") is not None:
        for name, text in LIMITS.items():
            rows[name]["instructions"] = round(instructions(material.folder, text))
    return rows


def instructions(folder: Path, limits: str) -> float:
    """Instructions of one warm Check."""
    counts = []
    for calls in (_FEW, _MANY):
        out = folder / "callgrind"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        command += [sys.executable, "-m", "bench.limits", "--answer", str(folder), limits]
        # Texts have other hashes in every process; the difference is then of two things.
        seeded = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run([*command, str(calls)], check=True, capture_output=True, env=seeded)
        found = _TOTALS.search(out.read_text())
        if found is None:
            raise SystemExit("callgrind counted nothing")
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) / (_MANY - _FEW)


async def answer(folder: Path, limits: str, calls: int) -> None:
    """Answer a warm Check so many times, for callgrind."""
    request = (folder / "warm").read_bytes()
    handle = service(folder, limits=limits).handle
    for _ in range(calls):
        handle(request)


def local_ratelimit(requests: int, burst: int) -> list[Config]:
    """Envoy's own filter, one bucket for everybody; it refills in steps."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = typed(
        "filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="limit",
        token_bucket={
            "max_tokens": burst,
            "tokens_per_fill": max(1, requests // 20),
            "fill_interval": "0.05s",
        },
        filter_enabled=always,
        filter_enforced=always,
    )
    return [{"name": "envoy.filters.http.local_ratelimit", "typed_config": config}]


def through_envoy(material: Material, *, quick: bool) -> dict[str, Any]:
    """CPU of a request, of Envoy and of the sidecar."""
    headers = request_headers(material)
    with ExitStack() as stack:
        plain = stack.enter_context(serving("ours-h2", material.folder))
        limited = stack.enter_context(
            serving("ours-h2", material.folder, "--limits", LIMITS["tenant"])
        )
        most = local_ratelimit(100_000_000, 4_000_000_000)
        variants = {
            name: stack.enter_context(running(plan, material.folder))
            for name, plan in {
                "no filter": Plan([]),
                "local_ratelimit": Plan(most),
                "ext_authz": Plan(ext_authz(), plain),
                "ext_authz, limits": Plan(ext_authz(), limited),
            }.items()
        }
        samples = costs(variants, headers, 3 if quick else 7, 2_000 if quick else 6_000)
    found = {name: halves(taken) for name, taken in samples.items()}
    return {
        name: {"envoy_us": each["envoy"], "sidecar_us": each["server"]}
        for name, each in found.items()
    }


def exactness(material: Material, seconds: float) -> dict[str, float]:
    """How much passes at twice the limit, as a share of the limit."""
    headers = request_headers(material)
    with ExitStack() as stack:
        server = stack.enter_context(serving("ours-h2", material.folder, "--limits", REACHED))
        variants = {
            "local_ratelimit": running(Plan(local_ratelimit(RATE, BURST)), material.folder),
            "sidecar": running(Plan(ext_authz(), server), material.folder),
        }
        return {
            name: round(passing(stack.enter_context(each).port, headers, seconds) / RATE, 4)
            for name, each in variants.items()
        }


def passing(port: int, headers: Headers, seconds: float) -> float:
    """Ask at twice the limit; return how many pass in a second once the burst is spent."""
    client = EdgeClient(port, headers)
    counted_from, sent, passed = 0.5, 0, 0
    began = time.perf_counter()
    while (now := time.perf_counter() - began) < counted_from + seconds:
        if sent < now * 2 * RATE:
            status = client.status()
            if status not in {_OK, _TOO_MANY}:
                raise SystemExit(f"Envoy answers {status}")
            passed += status == _OK and now >= counted_from
            sent += 1
        else:
            time.sleep(0.000_5)
    client.close()
    if sent < 1.9 * RATE * (counted_from + seconds):
        raise SystemExit("the machine is too busy to ask at twice the limit")
    return passed / (now - counted_from)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a look")
    parser.add_argument("--answer", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        folder, limits, calls = options.answer
        asyncio.run(answer(Path(folder), limits, int(calls)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        material = Material(Path(folder))
        (Path(folder) / "warm").write_bytes(material.request(0))
        print(json.dumps(measure(material, quick=options.quick), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
