"""(c) What certificates cost: over delta ADS, and in a handshake that asks for one.

``stream``: one client, one stream, so many names at once, each answer acknowledged as Envoy
does; then all of them renewed at once. ``handshakes``: a real Envoy that knows no name; the
first handshake of each waits for Envoy to ask the sidecar, the second finds the certificate
in Envoy. ``issued``: the same with a sidecar that has to get each from Vault first.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from envoy_data_plane.envoy.config.core.v3 import Node
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest

from bench.certificates import name_of
from bench.envoys import ads_edge, running_envoy
from bench.figures import latency_row, spread
from bench.harness import serving
from bench.material import TENANT
from demo.process import fetch_text, free_ports
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.service import AGGREGATED_SERVICE

NOT_YET = "the sidecar does not obtain a certificate on demand yet"
_NONCE_FIELD = 5
ON_DEMAND = {
    "issuer": "internal",
    "orders_burst": 100_000,
    "orders_waiting": 10_000,
    "max_names": 50_000,
    "ttl_seconds": 3_600,
}
"""Bounds far above what is asked here: they are not what is measured."""
_TIMEOUT_SECONDS = 60


class Size(NamedTuple):
    """How much is run."""

    names: int
    runs: int
    handshakes: int


QUICK = Size(300, 1, 50)
FULL = Size(2_000, 3, 400)


def measure(size: Size) -> dict[str, Any]:
    """Run everything and return the figures."""
    with tempfile.TemporaryDirectory(prefix="septem-bench-") as path:
        folder = Path(path)
        return {
            "delta_ads": stream(folder, size),
            "on_demand_from_memory": handshakes(folder, size),
            "on_demand_from_vault": issued_handshakes(size.handshakes),
        }


def stream(folder: Path, size: Size) -> dict[str, Any]:
    """Ask for all certificates at once, then have all renewed at once."""
    first, renewed, cpu = [], [], []
    with serving("sds", folder, "--names", str(size.names)) as server:
        assert isinstance(server.address, int)
        for _ in range(size.runs):
            before = server.cpu_seconds()
            asked, pushed = asyncio.run(_subscribe(server.address, size.names, server.pid))
            first.append(size.names / asked)
            renewed.append(size.names / pushed)
            cpu.append((server.cpu_seconds() - before) / size.names / 2 * 1e6)
        rss = server.rss_mb()
    return {
        "names": size.names,
        "first_per_second": round(statistics.median(first)),
        "renewed_per_second": round(statistics.median(renewed)),
        "cpu_us": round(spread(cpu).median),
        "rss_mb": round(rss, 1),
    }


async def _subscribe(port: int, names: int, pid: int) -> tuple[float, float]:
    """Return the seconds until all names were served, and until all were renewed."""
    async with (
        asyncio.timeout(_TIMEOUT_SECONDS),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as c,
    ):
        call: Any = c.stream_stream(f"/{AGGREGATED_SERVICE}/DeltaAggregatedResources")()
        started = time.perf_counter()
        await call.write(
            bytes(
                DeltaDiscoveryRequest(
                    node=Node(id="bench"),
                    type_url=SDS_TYPE_URL,
                    resource_names_subscribe=[name_of(number) for number in range(names)],
                )
            )
        )
        await _take(call, names)
        asked = time.perf_counter() - started
        os.kill(pid, signal.SIGUSR1)
        started = time.perf_counter()
        await _take(call, names)
        pushed = time.perf_counter() - started
        call.cancel()
    return asked, pushed


async def _take(call: Any, count: int) -> None:
    """Read so many answers, acknowledging each."""
    for _ in range(count):
        nonce = next(
            field for number, field in read_fields(await call.read()) if number == _NONCE_FIELD
        )
        await call.write(
            bytes(DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, response_nonce=nonce.decode()))
        )


def read_fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the length-delimited fields of a message; it has no others here.

    betterproto2 would take longer for it than the server whose rate is wanted.
    """
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        if tag & 7 != 2:
            raise ValueError("a field of another kind")
        length, position = _varint(raw, position)
        yield tag >> 3, raw[position : position + length]
        position += length


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


def handshakes(folder: Path, size: Size) -> dict[str, Any]:
    """Dial every name twice through an Envoy that asks on demand."""
    with serving("sds", folder, "--names", str(size.handshakes + 1)) as server:
        assert isinstance(server.address, int)
        port, admin = free_ports(2)
        config = ads_edge(port, admin, server.address, default_name=name_of(size.handshakes))
        with running_envoy(config, folder):
            handshake_seconds(port, name_of(size.handshakes))
            names = [name_of(number) for number in range(size.handshakes)]
            cold = [handshake_seconds(port, name) for name in names]
            known = [handshake_seconds(port, name) for name in names]
    return {"handshakes": size.handshakes, "cold": latency_row(cold), "known": latency_row(known)}


def handshake_seconds(port: int, name: str) -> float:
    """Dial, and return the seconds of the TLS handshake; the served name must be the asked one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        started = time.perf_counter()
        with context.wrap_socket(raw, server_hostname=name) as connection:
            seconds = time.perf_counter() - started
            served = connection.getpeercert(binary_form=True) or b""
    if name.encode() not in served:
        raise SystemExit(f"the handshake for {name} was answered with another certificate")
    return seconds


def issued_handshakes(count: int) -> dict[str, Any]:
    """Dial names whose certificates the sidecar has to get from Vault's PKI first.

    With the whole stack of the demo. A sidecar that obtains none on demand has no
    ``demo.handshake`` to dial with; then this is left out, and the page says so.
    """
    if find_spec("demo.handshake") is None:
        return {"skipped": NOT_YET}
    handshake: Any = import_module("demo.handshake")
    make_stack: Any = import_module("demo.stack").Stack
    names = [f"cold-{number:05}.example" for number in range(count)]
    with make_stack(on_demand=ON_DEMAND) as stack:
        stack.register(dict.fromkeys(names, TENANT))
        entries = f"septem_domain_registry_entries {float(count)}"
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while entries not in fetch_text(stack.admin_port, "/metrics").splitlines():
            if time.monotonic() > deadline:
                raise SystemExit("the registered names did not reach the sidecar")
            time.sleep(0.1)
        hands = handshake.Handshaker(stack.ports.https, stack.ca_pem)
        hands.shake("localhost")
        cold, known = ([shaken(hands, name) for name in names] for _ in range(2))
    return {"handshakes": count, "cold": latency_row(cold), "known": latency_row(known)}


def shaken(hands: Any, name: str) -> float:
    """Shake hands and return the seconds; connecting is in it."""
    done = hands.shake(name)
    if not done.done:
        raise SystemExit(f"the handshake for {name} failed: {done.failure}")
    return float(done.milliseconds) / 1000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(measure(QUICK if parser.parse_args().quick else FULL), indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
