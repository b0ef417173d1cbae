"""The endpoint and the limits of docs/passwords.md, as they stand there, one behind the other."""

import asyncio
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sidecar.config import parse_config
from sidecar.limits.limiter import CountedRequest, RateLimiter
from sidecar.limits.policy import compile_limits
from tests.workload.passwords.test_service import LEAST, NEWER
from workload.passwords import HashingPool, Passwords

PAGE = (Path(__file__).parents[3] / "docs/passwords.md").read_text()
BLOCKS = dict(reversed(re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)))
"""The first block of each language."""
BASE = """\
tokens: {issuers: [{issuer: https://iam.example, audiences: [a], keys: {source: vault_kv}}]}
vault: {address: "https://v:8200", auth: {method: token_file, path: /t}}
"""
SECOND_NS = 1_000_000_000
GOOD = "correct horse battery staple"


class Table:
    """Accounts, and whether the endpoint asked for one."""

    def __init__(self, hashes: dict[str, str]) -> None:
        self.hashes = hashes
        self.asked: list[str] = []

    async def stored_hash(self, email: str) -> str | None:
        self.asked.append(email)
        return self.hashes.get(email)

    async def replace_hash(self, email: str, old: str, new: str) -> None:
        assert self.hashes[email] == old
        self.hashes[email] = new


class Edge:
    """The application behind the edge's limits, as the sidecar counts by them."""

    def __init__(self, table: Table, passwords: Passwords) -> None:
        module = ModuleType("example")
        exec(compile(BLOCKS["python"], "docs/passwords.md", "exec"), module.__dict__)  # noqa: S102 - the page's own
        self._endpoint = module.Login(table, passwords)
        policy = compile_limits(parse_config(BASE + BLOCKS["yaml"], "docs/passwords.md"))
        assert policy is not None
        self._routes = policy.routes["login"]
        self._limiter = RateLimiter(policy, b"k" * 32)

    async def post(
        self, body: bytes, source: str = "192.0.2.1", at: int = 0, size: int = 1000
    ) -> tuple[int, dict[str, str], dict[str, str]]:
        counted = CountedRequest(
            source=source, body=body, headers={"content-type": b"application/json"}
        )
        if self._limiter.take(self._routes, counted, at * SECOND_NS) is not None:
            return 429, {}, {}
        parts = [body[place : place + size] for place in range(0, len(body), size)] or [b""]
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages[-1]["more_body"] = False
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._endpoint({"type": "http"}, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, json.loads(sent[1]["body"])


def login(email: str, password: str) -> bytes:
    return json.dumps({"email": email, "password": password}).encode()


@pytest.fixture(scope="module")
def stored() -> str:
    return Passwords(LEAST).hash_sync(GOOD)


async def test_one_answer_for_all_that_is_wrong(stored: str) -> None:
    edge = Edge(Table({"a@b.example": stored, "locked@b.example": "!"}), Passwords(LEAST))
    assert (await edge.post(login("a@b.example", GOOD)))[0] == 200
    refused = [
        await edge.post(body, source=f"192.0.2.{number}")
        for number, body in enumerate(
            [
                login("a@b.example", "wrong"),
                login("nobody@b.example", GOOD),
                login("locked@b.example", GOOD),
                login("a@b.example", ""),
                login("a@b.example", "x" * 5000),
                b'{"email": "a@b.example", "password": ["' + GOOD.encode() + b'"]}',
                b'{"email": 1}',
                b"[]",
                b"[" * 5000,
                b"\xff",
                b"",
                login("a@b.example", GOOD) + b" " * 9000,
            ],
            2,
        )
    ]
    assert {each[0] for each in refused} == {401}
    assert len({json.dumps(each) for each in refused}) == 1


async def test_the_sixth_try_in_a_minute_does_not_reach_the_application(stored: str) -> None:
    table = Table({"a@b.example": stored})
    edge = Edge(table, Passwords(LEAST))
    tries = [await edge.post(login("A@B.example", f"wrong-{number}")) for number in range(6)]
    assert [each[0] for each in tries] == [401] * 5 + [429]
    assert len(table.asked) == 5
    assert (await edge.post(login("a@b.example", GOOD)))[0] == 429
    assert (await edge.post(login("a@b.example", GOOD), source="192.0.2.2"))[0] == 200
    assert (await edge.post(login("a@b.example", GOOD), at=61))[0] == 200


async def test_a_login_replaces_an_older_hash(stored: str) -> None:
    table = Table({"a@b.example": stored})
    newer = Passwords(NEWER)
    edge = Edge(table, newer)
    assert (await edge.post(login("a@b.example", GOOD)))[0] == 200
    assert table.hashes["a@b.example"] != stored
    assert not newer.needs_rehash(table.hashes["a@b.example"])


async def test_a_full_pool_is_503_for_any_account(stored: str) -> None:
    pool = HashingPool(slots=1, max_waiting=0)
    edge = Edge(Table({"a@b.example": stored}), Passwords(LEAST, pool=pool))
    answers = []

    def meanwhile() -> None:
        answers.append(asyncio.run(edge.post(login("a@b.example", GOOD))))
        answers.append(asyncio.run(edge.post(login("nobody@b.example", GOOD))))

    await pool.run(meanwhile)
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["retry-after"]) == (503, "3")
