"""What a healthy issuer's orders take while fifty others hang: the p99, against that at rest.

``python -m bench.stuck_orders [--rounds N] [--json]``. A real OpenBao issues; fifty ACME issuers
have a CA that takes connections and never answers. Each round measures a hundred orders at rest and
a hundred beside the fifty, one after another. Exit 1 if the median ratio of the rounds is over 2.
The ratio of one round on a busy machine says little: load comes and goes between its two halves.
"""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from demo.openbao import SIDECAR_POLICY, STORE_POLICY, OpenBao
from sidecar.certificates.issuers.base import Issuer, Issuers, Order
from sidecar.certificates.issuers.factory import IssuerFactory, make_solver
from sidecar.common.clock import monotonic_seconds
from sidecar.config import parse_config
from sidecar.vault.client import VaultClient

STUCK = 50
ORDERS = 100
AT_MOST = 2.0
_ACCOUNTS = (
    'path "secret/data/septem/acme/*" { capabilities = ["create", "read", "update"] }\n'
    'path "secret/metadata/septem/acme/*" { capabilities = ["create", "read", "update"] }\n'
)


def configuration(vault: str, token: Path, directory: str) -> str:
    """Return settings with one healthy issuer, and the fifty."""
    stuck = [
        f'{{"name": "stuck-{n}", "type": "acme", "directory": "{directory}", '
        f'"account": {{"path": "septem/acme/stuck-{n}"}}, "agree_to_terms": true}}'
        for n in range(STUCK)
    ]
    return f"""\
vault: {{address: "{vault}", auth: {{method: token_file, path: "{token}"}}}}
tokens: {{issuers: [{{issuer: i, audiences: [a]}}]}}
routes: [{{name: all, path_prefix: /}}]
certificate_store: {{}}
issuers: [{{name: internal, type: vault_pki, role: edge, ttl_seconds: 3600}}, {", ".join(stuck)}]
"""


async def p99(issuer: Issuer) -> float:
    """Return the p99 of the seconds that new names take, one after another."""
    seconds = []
    for _ in range(ORDERS):
        name = f"{secrets.token_hex(6)}.septemcore.com"
        began = perf_counter()
        await issuer.issue(Order(name, (name,), account="septemcore.com"))
        seconds.append(perf_counter() - began)
    return quantiles(seconds, n=100)[98]


class BlackHole:
    """A CA that takes connections and never answers."""

    def __init__(self) -> None:
        self.connections = asyncio.Semaphore(0)
        self._over = asyncio.Event()

    async def take(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold a connection."""
        self.connections.release()
        await self._over.wait()
        writer.close()

    def end(self) -> None:
        """Let go of all connections."""
        self._over.set()


async def one_round(issuers: Issuers, hole: BlackHole) -> tuple[float, float]:
    """Return the p99 at rest, and beside fifty orders that hang."""
    healthy = issuers["internal"]
    rest = await p99(healthy)
    tasks = []
    for number in range(STUCK):
        name = f"{secrets.token_hex(6)}.septemcore.com"
        order = Order(name, (name,), account="septemcore.com")
        tasks.append(asyncio.create_task(issuers[f"stuck-{number}"].issue(order)))
    for _ in range(STUCK):
        await hole.connections.acquire()
    beside = await p99(healthy)
    assert not any(task.done() for task in tasks), "they hang all the while"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return rest, beside


async def measure(openbao: OpenBao, rounds: int) -> dict[str, Any]:
    """Measure the rounds."""
    hole = BlackHole()
    server = await asyncio.start_server(hole.take, "127.0.0.1", 0, backlog=256)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.touch(0o600)
        token.write_text(openbao.token_for(SIDECAR_POLICY + STORE_POLICY + _ACCOUNTS, name="b"))
        directory = f"http://127.0.0.1:{port}/directory"
        config = parse_config(configuration(openbao.address, token, directory), "bench")
        vault = VaultClient(config.vault, clock=monotonic_seconds)
        factory = IssuerFactory(config, vault, make_solver(config, vault))
        issuers = factory.make()
        await p99(issuers["internal"])
        measured = [await one_round(issuers, hole) for _ in range(rounds)]
        for each in factory.acme:
            each.close()
        hole.end()
        await vault.close()
    server.close()
    ratios = sorted(beside / rest for rest, beside in measured)
    named = {"median": median(ratios), "lowest": ratios[0], "highest": ratios[-1]}
    return {
        "rounds": [
            {"rest_ms": round(rest * 1000, 2), "beside_ms": round(beside * 1000, 2)}
            for rest, beside in measured
        ],
        "ratio": {key: round(value, 2) for key, value in named.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    openbao = OpenBao()
    try:
        openbao.enable_pki(["septemcore.com"])
        found = asyncio.run(measure(openbao, options.rounds))
    finally:
        openbao.stop()
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for each in found["rounds"]:
            print(f"p99 at rest {each['rest_ms']:.1f} ms, beside 50 {each['beside_ms']:.1f} ms")
        ratio = found["ratio"]
        print(f"ratio: median {ratio['median']}, {ratio['lowest']} to {ratio['highest']}")
    return 0 if found["ratio"]["median"] <= AT_MOST else 1


if __name__ == "__main__":
    sys.exit(main())
