"""Rate limits through the real Envoy: what a client gets, and whose address is counted."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from demo.cases import API, EXPORT, LOGIN, TENANT, Minter, bearer
from demo.client import Reply
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(keys={"poll_seconds": 0.2}) as running:
        yield running


def header(reply: Reply, name: str) -> list[str]:
    return [value for key, value in reply.headers.items() if key.lower() == name]


def login(stack: Stack, email: str, *more: tuple[str, str], body: bytes | None = None) -> Reply:
    raw = json.dumps({"email": email, "password": "x"}).encode() if body is None else body
    return stack.client.post(LOGIN, raw, (("content-type", "application/json"), *more))


def test_a_client_is_told_its_limit_and_one_line_says_why(stack: Stack) -> None:
    token = bearer(Minter(stack.key, wall_seconds()).good(jti="one"))
    allowed, refused = (stack.client.get(EXPORT, (token,)) for _ in range(2))
    assert allowed.status == 200
    assert header(allowed, "ratelimit-policy") == ['"token";q=1;w=3600']
    assert header(allowed, "ratelimit")[0].startswith('"token";r=0;t=')
    assert refused.status == 429
    assert header(refused, "content-type") == ["application/problem+json"]
    assert 3590 <= int(header(refused, "retry-after")[0]) <= 3600
    document = refused.document()
    assert document["reason"] == "rate_limited"
    decision_id = document["instance"].rpartition(":")[2]
    lines: list[Any] = []

    def audited() -> bool:
        lines[:] = [each for each in stack.audited() if each["decision_id"] == decision_id]
        return bool(lines)

    wait_until(audited)
    assert len(lines) == 1
    assert "route/export/token: 1 request per 3600 seconds" in lines[0]["detail"]
    assert "would have passed in" in lines[0]["detail"]


def test_a_tenant_s_limit_in_vault_comes_and_goes_while_it_runs(stack: Stack) -> None:
    token = bearer(Minter(stack.key, wall_seconds()).good())

    def statuses() -> set[int]:
        return {stack.client.get(API, (token,)).status for _ in range(3)}

    assert statuses() == {200}
    stack.openbao.put_tenant_limits({TENANT: "1/3600s"})
    wait_until(lambda: statuses() == {429})
    stack.openbao.put_tenant_limits({TENANT: "not a rate"})
    wait_until(lambda: statuses() == {200})


def test_logins_are_counted_by_address_and_account_and_no_header_changes_the_address(
    stack: Stack,
) -> None:
    replies = [
        login(stack, "zacharias@example.com", ("x-forwarded-for", f"192.0.2.{number}"))
        for number in range(6)
    ]
    assert [each.status for each in replies] == [200] * 5 + [429]
    assert replies[0].document()["application"] == "sample"
    assert login(stack, "bob@example.com").status == 200
    assert "zacharias" not in str(stack.audited())


def test_a_login_s_body_reaches_the_application_whole_and_is_bounded(stack: Stack) -> None:
    body = json.dumps({"email": "carol@example.com", "x": "y" * 8000}).encode()
    reply = login(stack, "", body=body)
    assert (reply.status, reply.document()["bytes"]) == (200, len(body))
    assert login(stack, "", body=body + b" " * 8192).status == 413


def test_a_login_in_chunks_is_counted_as_the_same_account(stack: Stack) -> None:
    body = json.dumps({"email": "dora@example.com"}).encode()
    kind = ("content-type", "application/json")
    replies = [stack.client.post(LOGIN, body, (kind,), chunk_bytes=7) for _ in range(3)]
    statuses = [each.status for each in replies]
    assert {each.document()["bytes"] for each in replies} == {len(body)}, statuses
    statuses += [login(stack, "Dora@example.com").status for _ in range(3)]
    assert statuses == [200] * 5 + [429]
    long = b'{"email": "' + b"e" * 65_536 + b'"}'
    assert stack.client.post(LOGIN, long, (kind,), chunk_bytes=4096).status == 413


FORM = "application/x-www-form-urlencoded"
CLEAR = b'{"email": "new@example.com"}'


def test_bodies_that_name_nobody_are_counted_as_one(stack: Stack) -> None:
    bodies = [b"", b"{", b'{"email": 1}', b'{"email": "a", "Email": "b"}', b"[]", b"x"]
    assert [login(stack, "", body=each).status for each in bodies] == [200] * 5 + [429]
    # What nobody's attempts are used up for is refused, so each of these names nobody either.
    odd: list[tuple[bytes, dict[str, str]]] = [
        (b'{"email": "f@example.com", "email": "g@example.com"}', {}),
        (b"\xef\xbb\xbf" + CLEAR, {}),
        (gzip.compress(CLEAR), {"content-encoding": "gzip"}),
        (CLEAR, {"content-encoding": "gzip"}),
        (CLEAR, {"content-type": "text/plain"}),
        (CLEAR, {"content-type": "application/json; charset=utf-16"}),
        (b"email=f%40example.com&email=g%40example.com", {"content-type": FORM}),
        (b"email=f%40example.com", {"content-type": FORM}),
    ]
    statuses = []
    for body, changed in odd:
        headers = {"content-type": "application/json", **changed}
        statuses.append(stack.client.post(LOGIN, body, tuple(headers.items())).status)
    assert statuses == [429] * len(odd)
    assert login(stack, "", body=CLEAR).status == 200
