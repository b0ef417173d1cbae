"""A Domain Resolver over HTTP: a real server, good, slow, wrong and gone."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import Any

import pytest

from sidecar.certificates.on_demand.domains import Registration, Unresolved
from sidecar.certificates.on_demand.http_resolver import HttpResolver
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.errors import Fault
from sidecar.config.on_demand import HttpRegistry
from tests.support.polls import settle


class DomainResolver:
    """A server whose answers are given by name: an object, a status, or bytes."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/domains/{{name}}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.rpartition("/")[2]
        self.asked.append(name)
        found = self.answers.get(name, 404)
        if found == "slow":
            sleep(1)
            found = 200
        status = found if isinstance(found, int) else 200
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        try:
            request.send_response(status)
            if status in {301, 302}:
                request.send_header("location", self.url.replace("{name}", "elsewhere.example"))
            request.send_header("content-length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except OSError:
            pass  # the client did not wait

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def resolver() -> Iterator[DomainResolver]:
    server = DomainResolver()
    yield server
    server.stop()


class World:
    def __init__(self, resolver: DomainResolver, queries: int = 1000) -> None:
        self.now = 0.0
        self.queries = queries
        settings = HttpRegistry(url=resolver.url, timeout_seconds=0.3)
        self.http = HttpResolver(settings, self.allow)
        self.registry = ResolvedRegistry(
            self.http, positive_ttl_seconds=300, negative_ttl_seconds=10, clock=lambda: self.now
        )

    def allow(self) -> bool:
        self.queries -= 1
        return self.queries >= 0

    async def find(self, name: str) -> Registration | None:
        return await settle(self.registry, name)


@pytest.fixture
async def world(resolver: DomainResolver) -> World:
    return World(resolver)


async def test_a_domain_is_asked_for_once_and_the_one_above_it(
    world: World, resolver: DomainResolver
) -> None:
    resolver.answers["www.shop.example"] = {"tenant_id": "a", "issuer": "public"}
    wanted = Registration("www.shop.example", "a", "public")
    assert isinstance(world.registry.find("www.shop.example"), Unresolved)
    assert await world.find("www.shop.example") == wanted
    assert await world.find("www.shop.example") == wanted
    assert resolver.asked == ["www.shop.example", "shop.example"]


async def test_an_unknown_name_costs_one_question_and_is_remembered_for_a_while(
    world: World, resolver: DomainResolver
) -> None:
    for _ in range(3):
        assert await world.find("a.b.unknown.example") is None
    assert resolver.asked == ["a.b.unknown.example"], "of what is above it nobody asks"
    world.now += 11
    resolver.answers["a.b.unknown.example"] = {"tenant_id": "a"}
    assert await world.find("a.b.unknown.example"), "registered meanwhile"


async def test_a_wildcard_may_be_the_answer(world: World, resolver: DomainResolver) -> None:
    resolver.answers["a.shop.example"] = {"domain": "*.shop.example", "tenant_id": "a"}
    found = await world.find("a.shop.example")
    assert found is not None
    assert found.domain == "*.shop.example"


WRONG: list[tuple[str, Any]] = [
    ("a failure", 500),
    ("a refusal", 403),
    ("a redirect", 302),
    ("no JSON", b"<html>"),
    ("no object", [1]),
    ("no tenant", {"domain": "shop.example"}),
    ("another domain", {"domain": "bank.example", "tenant_id": "a"}),
    ("a wider domain", {"domain": "*.example", "tenant_id": "a"}),
    ("far too much", b"[" * 100_000),
    ("silence", "slow"),
]


@pytest.mark.parametrize("answer", [w[1] for w in WRONG], ids=[w[0] for w in WRONG])
async def test_what_is_no_answer_is_a_fault_and_not_remembered(
    world: World, resolver: DomainResolver, answer: Any
) -> None:
    resolver.answers["shop.example"] = answer
    with pytest.raises(Fault):
        await world.registry.resolve("shop.example")
    assert "elsewhere.example" not in resolver.asked
    resolver.answers["shop.example"] = {"tenant_id": "a"}
    assert await world.find("shop.example")


async def test_a_resolver_that_is_gone_is_a_fault(resolver: DomainResolver) -> None:
    world = World(resolver)
    world.http._settings = HttpRegistry(url="http://127.0.0.1:1/{name}", timeout_seconds=0.3)
    with pytest.raises(Fault):
        await world.registry.resolve("shop.example")
    assert world.registry.outcomes == {"ok": 0, "failed": 1}


async def test_only_so_many_names_are_passed_on(resolver: DomainResolver) -> None:
    world = World(resolver, queries=2)
    for number in range(2):
        assert await world.find(f"u{number}.example") is None
    with pytest.raises(Fault, match="more names"):
        await world.registry.resolve("u2.example")
    assert len(resolver.asked) == 2
