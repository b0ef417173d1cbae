"""The figures certificates are held to: a cold handshake, memory a name, one rotation, the start.

``python -m bench.certificate_figures [--quick] [--json]``. Handshakes and starts run the real
Envoy, the real OpenBao and the sidecar; memory and rotation run the sidecar's own parts in this
process, with a gRPC client on the stream. Exit 1 if a figure is over its bound.
``bench.on_demand`` looks at Envoy's side of it.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bench.kernel import rss_mb
from bench.on_demand import TENANT, limits, register
from demo.handshake import Handshaker
from demo.stack import Stack
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import wall_seconds
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.service import SDS_SERVICE, SdsService
from sidecar.sds.stream import SdsEvents
from sidecar.transport.aio import GrpcServer
from workload.x509.csr import make_csr
from workload.x509.material import Material, check_material

NAMES = 10_000


class Figure(NamedTuple):
    """One measured number, and what it may be at most."""

    name: str
    value: float
    unit: str
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        """Tell whether it is within its bound."""
        return self.at_most is None or self.value <= self.at_most


def handshakes(count: int) -> list[Figure]:
    """Time a bare call, a cold and a warm handshake in turns: all three meet the same machine."""
    names = [f"cold{each}.example" for each in range(count)]
    bare, cold, warm = [], [], []
    with Stack(on_demand=limits(3600)) as stack:
        register(stack, names)
        hands = Handshaker(stack.ports.https, stack.ca_pem)
        hands.shake("localhost")
        for name in names:
            bare.append(sign_bare(stack, name))
            cold.append(hands.shake(name).milliseconds)
            warm.append(hands.shake(name).milliseconds)
    ratio = median(cold) / (median(bare) + median(warm))
    return [
        Figure("handshake.cold", median(cold), "ms"),
        Figure("handshake.warm", median(warm), "ms"),
        Figure("vault.sign", median(bare), "ms"),
        Figure("handshake.cold_over_sign_and_warm", ratio, "ratio", 3.0),
    ]


def sign_bare(stack: Stack, name: str) -> float:
    """Have Vault sign a CSR from here, with hvac and nothing else; returns milliseconds."""
    csr = make_csr(ec.generate_private_key(ec.SECP256R1()), [name])
    pki = stack.openbao.client.secrets.pki
    started = time.perf_counter()
    pki.sign_certificate("edge", csr, name, extra_params={"ttl": "720h"})
    return (time.perf_counter() - started) * 1000


def starts(turns: int) -> list[Figure]:
    """From the command to ready. Noise of one start is a tenth of it, so that much is allowed."""
    taken: dict[int, list[float]] = {10: [], NAMES: []}
    with Stack(on_demand=limits(3600)) as stack:
        for turn in range(turns * 2):
            count = (10, NAMES)[turn % 2]
            stack.sidecar.stop()
            stack.register({f"shop{each}.example": TENANT for each in range(count)})
            started = time.perf_counter()
            stack.start_sidecar()
            taken[count].append(time.perf_counter() - started)
    few, many = (median(each) for each in taken.values())
    return [
        Figure("start.10_domains", few, "s"),
        Figure(f"start.{NAMES}_domains", many, "s"),
        Figure("start.ratio", many / few, "ratio", 1.1),
    ]


class Maker:
    """An issuer in this process: real keys and certificates, no network."""

    name = "maker"

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
        self.root = self._sign(self.subject, self.key, None)

    async def issue(self, order: Order) -> Material:
        """Make key and certificate, and check them as any issuer does."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, order.dns_names[0])])
        leaf = self._sign(subject, key, order.dns_names[0])
        pem = "".join(each.public_bytes(Encoding.PEM).decode() for each in (leaf, self.root))
        return check_material(pem, key, order.dns_names, wall_seconds())

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, name: str | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .issuer_name(self.subject)
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
        )
        if name is not None:
            sans = x509.SubjectAlternativeName([x509.DNSName(name)])
            builder = builder.add_extension(sans, critical=False)
        return builder.sign(self.key, hashes.SHA256())


class Received(NamedTuple):
    """What came over a stream: answers, and their bytes."""

    answers: int
    size: int


async def held(count: int) -> list[Figure]:
    """Hold so many names, subscribe to all over one stream, and rotate one."""
    names = [f"shop-{each:05}.customer.example" for each in range(count)]
    maker, store = Maker(), CertificateStore(wall_seconds)
    for _ in range(200):  # what a first use brings is not a name's
        await maker.issue(Order("warm", ("warm.example",)))
    gc.collect()
    before = rss_mb(os.getpid())
    manager = CertificateManager(
        [(Order(name, (name,)), maker) for name in names], store,
        now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.0,
    )  # fmt: skip
    await manager.obtain_all()
    pushed: list[int] = []
    service = SdsService(store, SdsEvents(_nothing, pushed.append, _nothing))
    for name in names:
        service.secrets.lookup(name, waits=False)
    gc.collect()
    per_name = (rss_mb(os.getpid()) - before) * 1000 / count
    server = GrpcServer("127.0.0.1:0", SDS_SERVICE, service.handlers(), max_message_bytes=4_194_304)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.bound_address) as channel:
            return [
                Figure("held.memory_per_name", per_name, "KB", 12.0),
                *await rotation(channel, names, manager, maker, pushed),
            ]
    finally:
        service.drain()
        await server.stop(0)


async def rotation(
    channel: Any,
    names: list[str],
    manager: CertificateManager,
    maker: Maker,
    pushed: list[int],
) -> list[Figure]:
    from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest

    call = channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
    request = DeltaDiscoveryRequest(type_url=SDS_TYPE_URL, resource_names_subscribe=names)
    await call.write(bytes(request))
    everything = await _receive(call, len(names))
    times, got = [], []
    for name in names[:20]:
        started = time.perf_counter()
        await manager.obtain(Order(name, (name,)), maker)
        got.append(await _receive(call, 1))
        times.append((time.perf_counter() - started) * 1000)
    await asyncio.sleep(0.2)  # whatever else a rotation would send is sent by now
    call.cancel()
    one = max(each.size for each in got)
    return [
        Figure("rotation.resources_sent", (sum(pushed) - len(names)) / len(got), "each", 1),
        Figure("rotation.bytes_sent", one, "bytes", 2 * everything.size / len(names)),
        Figure("rotation.until_received", median(times), "ms"),
    ]


async def _receive(call: Any, answers: int) -> Received:
    size = 0
    for _ in range(answers):
        size += len(await asyncio.wait_for(call.read(), 30))
    return Received(answers, size)


def _nothing(*_: object) -> None:
    return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.certificate_figures", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="fewer names and turns")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    quick = options.quick
    figures = asyncio.run(held(1000 if quick else NAMES))
    figures += handshakes(40 if quick else 200)
    figures += starts(2 if quick else 5)
    if options.json:
        print(json.dumps([{**each._asdict(), "holds": each.holds} for each in figures], indent=1))
    else:
        for each in figures:
            bound = "" if each.at_most is None else f"at most {each.at_most:.2f}"
            verdict = "" if each.holds else "  OVER"
            print(f"{each.name:36}{each.value:10.2f} {each.unit:8}{bound}{verdict}")
    return 0 if all(each.holds for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
