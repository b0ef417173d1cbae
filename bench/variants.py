"""The Envoys that ``bench.through_envoy`` compares: one a variant, with one worker thread each.

Each has a direct response behind its filters, so that what differs is the filters alone.
"""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.clients import EdgeClient, Headers
from bench.envoys import Config, ext_authz, jwt_authn, plain_edge, running_envoy
from bench.filters import decision_cache, same_job
from bench.harness import Server, serving
from bench.kernel import rss_mb
from bench.material import PLAIN_HEADERS, Material
from bench.names import (
    ASKED,
    ASKED_MANY,
    CONSTANT,
    JWT,
    JWT_CACHED,
    LEASES,
    MISSED,
    NEVER,
    NO_FILTER,
    REPEATED,
    SAME_JOB,
)
from demo.envoyproxy import build_module
from demo.process import fetch_text

TOKENS = 4096
_ASKED_FOR = ((b"access-control-request-method", b"GET"),)
"""A header for which the module always asks, and which changes nothing of the answer to a GET."""
LITTLE_ROOM = {"entries": 1024, "bytes": 1 << 20}
"""The least that the module takes: of so many tokens in turn none is there when it returns."""
_LEASE_SECONDS = 20.0


class Answerer(Protocol):
    """A server of Checks in a process of its own."""

    address: int | str

    @property
    def pid(self) -> int:
        """The process id."""

    def stop(self) -> None:
        """End it."""


class Plan(NamedTuple):
    """A variant that is to run: its filters, the server that they ask, its tokens."""

    filters: Sequence[Config]
    server: Answerer | None = None
    tokens: Sequence[bytes] = (b"",)
    """Sent in turn; an empty one is that of the headers."""
    modules: Path | None = None
    more: Headers = ()
    """Headers beside those of every request."""

    @property
    def address(self) -> int | str | None:
        """Where the server listens, if there is one."""
        return None if self.server is None else self.server.address


class Variant(NamedTuple):
    """A running Envoy, and the server it asks, if it asks one."""

    port: int
    admin: int
    envoy: int
    server: int | None
    turn: Iterator[bytes]
    """Its tokens, one after another without end."""
    tokens: int = 1
    more: Headers = ()

    def client(self, headers: Headers) -> EdgeClient:
        """Connect."""
        return EdgeClient(self.port, (*headers, *self.more))

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose CPU counts."""
        return (self.envoy,) if self.server is None else (self.envoy, self.server)

    def messages(self, count: int) -> list[bytes]:
        """Return the next messages for a client of this variant."""
        return list(itertools.islice(self.turn, count))

    def asked(self) -> int:
        """Count the Checks that this Envoy has asked."""
        text = fetch_text(self.admin, "/stats?filter=^cluster.authz.upstream_rq_total$")
        return int(text.rpartition(" ")[2] or 0)


def plans(material: Material, answer: bytes, stack: ExitStack) -> dict[str, Plan]:
    """Start the servers, and say what is compared."""
    folder = material.folder
    ours, cached, floor = (
        stack.enter_context(serving(name, folder)) for name in ("ours-h2", "cached", "floor")
    )
    many = [material.token(number) for number in range(TOKENS)]
    socket, modules = str(folder / LEASES), build_module()
    small = decision_cache(socket, **LITTLE_ROOM)
    return {
        NO_FILTER: Plan([]),
        JWT_CACHED: Plan(jwt_authn(material, cached=True)),
        SAME_JOB: Plan(same_job(material, answer)),
        JWT: Plan(jwt_authn(material, cached=False)),
        CONSTANT: Plan(ext_authz(), floor),
        ASKED: Plan(ext_authz(), ours),
        ASKED_MANY: Plan(ext_authz(), ours, many),
        REPEATED: Plan(decision_cache(socket), cached, modules=modules),
        MISSED: Plan(small, cached, many, modules),
        NEVER: Plan(decision_cache(socket), cached, modules=modules, more=_ASKED_FOR),
    }


@contextmanager
def running(plan: Plan, folder: Path) -> Iterator[Variant]:
    """Run the Envoy of a plan."""
    config, port = plain_edge(plan.filters, plan.address)
    admin = config["admin"]["address"]["socket_address"]["port_value"]
    with running_envoy(config, folder, modules=plan.modules) as envoy:
        server = None if plan.server is None else plan.server.pid
        turn = itertools.cycle(plan.tokens)
        yield Variant(port, admin, envoy.pid, server, turn, len(plan.tokens), plan.more)


@contextmanager
def all_running(material: Material, answer: bytes) -> Iterator[dict[str, Variant]]:
    """Run every variant, each seen to do what it is measured for."""
    with ExitStack() as stack:
        headers = request_headers(material)
        variants = {
            name: stack.enter_context(running(plan, material.folder))
            for name, plan in plans(material, answer, stack).items()
        }
        for name, variant in variants.items():
            assert_passes(name, variant, headers)
            if name not in {NO_FILTER, CONSTANT}:
                assert_refuses(name, variant, headers, material.token(0, forged=True))
        until_repeated(variants[REPEATED], headers)
        for variant in variants.values():  # the sidecar has seen every token
            if variant.tokens > 1:
                asked_share(variant, headers, variant.tokens)
        yield variants


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


def assert_passes(name: str, variant: Variant, headers: Headers) -> None:
    """Make sure that what is measured is an allowed request."""
    client = variant.client(headers)
    status = client.status()
    client.close()
    if status != 200:
        raise SystemExit(f"a request of the bench is answered {status} by {name!r}")


def assert_refuses(name: str, variant: Variant, headers: Headers, token: bytes) -> None:
    """Make sure that what lets a good token pass does not let every one."""
    client = variant.client(headers)
    fields, _ = client.answer(token)
    client.close()
    if fields[b":status"] != b"401":
        status = fields[b":status"].decode()
        raise SystemExit(f"a forged token of the bench is answered {status} by {name!r}")


def until_repeated(variant: Variant, headers: Headers) -> None:
    """Wait for the lease: until no request is asked for any more."""
    deadline = time.monotonic() + _LEASE_SECONDS
    while asked_share(variant, headers, 10) > 0:
        if time.monotonic() > deadline:
            raise SystemExit("the module in Envoy gets no lease, so that nothing is repeated")
        time.sleep(0.05)


def asked_share(variant: Variant, headers: Headers, requests: int) -> float:
    """Send requests; return the share for which the sidecar was asked."""
    before = variant.asked()
    client = variant.client(headers)
    client.run(variant.messages(requests))
    client.close()
    return (variant.asked() - before) / requests


def bytes_per_cached_token(material: Material, first: int, count: int) -> int:
    """Resident memory of Envoy for one remembered answer, beside the token's own bytes.

    ``first`` tokens go before: what Envoy takes for its connections is there then.
    """
    tokens = [material.token(9_000_000 + number) for number in range(first + count)]
    with (
        tempfile.TemporaryDirectory(dir=material.folder) as own,
        serving("cached", link(material, Path(own))) as server,
        running(roomy_plan(server, Path(own), 2 * len(tokens)), Path(own)) as variant,
    ):
        headers = request_headers(material)
        until_repeated(variant, headers)
        client = variant.client(headers)
        client.run(tokens[:first])
        before = rss_mb(variant.envoy)
        client.run(tokens[first:])
        grown = (rss_mb(variant.envoy) - before) * 1e6
        sample = tokens[:: max(1, len(tokens) // 500)]  # whose audit lines fit into the ring
        asked = variant.asked()
        client.run(sample)
        client.close()
        if variant.asked() - asked > len(sample) // 100:
            raise SystemExit("the module in Envoy does not remember the tokens it is measured by")
        return round(grown / count - len(tokens[-1]))


def roomy_plan(server: Server, folder: Path, tokens: int) -> Plan:
    """Plan an Envoy that remembers so many tokens and more."""
    entries = 1 << max(10, (2 * tokens).bit_length())
    filters = decision_cache(str(folder / LEASES), entries=entries, bytes=entries * 2048)
    return Plan(filters, server, modules=build_module())


def link(material: Material, folder: Path) -> Path:
    """Give a server a folder of its own, with the same keys."""
    (folder / "public.pem").write_bytes((material.folder / "public.pem").read_bytes())
    return folder
