"""Modules are installed through the real Envoy: signed ones, and nothing in their place."""

import hashlib
import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPSConnection
from ssl import create_default_context
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from demo.cases import API, INSTALL, Minter, bearer
from demo.client import Client, Reply
from demo.envoyproxy import edge_config
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.module_signing.signature import sign_digest
from tests.module_signing.test_publisher_entry import pem
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
LIMIT = 4_000_000
BUNDLE = b"export default 1;" * 1000
ACME, ACME_NEXT, GLOBEX, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
WITHDRAWN = b"a bundle that turned out to be bad"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(keys={"poll_seconds": 0.2}) as running:
        register(running)
        # A registration is known within poll_seconds.
        wait_until(lambda: install(running, signature=sign()).status == 200)
        yield running


def mark(stack: Stack) -> str:
    """Have a request refused, and wait until the audit log, written behind, says so."""
    unsigned = stack.client.post(INSTALL, BUNDLE)
    decision_id: str = unsigned.document()["instance"].rpartition(":")[2]
    wait_until(lambda: any(line["decision_id"] == decision_id for line in stack.audited()))
    return decision_id


def register(stack: Stack, **changes: str) -> None:
    stack.openbao.put_publishers(
        {
            "acme": pem(ACME) + pem(ACME_NEXT),
            "globex": pem(GLOBEX),
            "withdrawn_bundles": [hashlib.sha256(WITHDRAWN).hexdigest()],
            **changes,
        }
    )


def sign(bundle: bytes = BUNDLE, key: ec.EllipticCurvePrivateKey = ACME) -> str:
    return sign_digest(hashlib.sha256(bundle).digest(), key)


def install(
    stack: Stack,
    body: bytes = BUNDLE,
    signature: str | None = None,
    more: tuple[tuple[str, str], ...] = (),
    roles: tuple[str, ...] = ("admin",),
) -> Reply:
    token = Minter(stack.key, wall_seconds()).good(roles=list(roles))
    headers = [bearer(token), *more]
    if signature is not None:
        headers.append(("x-module-signature", signature))
    return stack.client.post(INSTALL, body, headers)


def seen(reply: Reply) -> dict[str, list[str]]:
    return {k: v for k, v in reply.document()["seen"].items() if k.startswith("x-module")}


SPOOF = (("x-module-publisher", "globex"), ("X-Module-Verified", "true"))
OWNER = ("platform-owner",)
OF_ACME = {"x-module-verified": ["true"], "x-module-publisher": ["acme"]}
OF_GLOBEX = {"x-module-verified": ["true"], "x-module-publisher": ["globex"]}
LARGEST = b"x" * LIMIT
PASSES: list[tuple[str, dict[str, Any], dict[str, list[str]]]] = [
    ("signed", {"signature": sign()}, OF_ACME),
    ("again: the same bundle may be installed twice", {"signature": sign()}, OF_ACME),
    ("by the publisher's next key", {"signature": sign(key=ACME_NEXT)}, OF_ACME),
    ("by another publisher: it is that one's", {"signature": sign(key=GLOBEX)}, OF_GLOBEX),
    ("a publisher claimed by header", {"signature": sign(), "more": SPOOF}, OF_ACME),
    ("unsigned, by an owner", {"roles": OWNER, "more": SPOOF}, {"x-module-verified": ["false"]}),
    ("as large as may be", {"body": LARGEST, "signature": sign(LARGEST)}, OF_ACME),
]


@pytest.mark.parametrize(("request_", "told"), [r[1:] for r in PASSES], ids=[r[0] for r in PASSES])
def test_passes(stack: Stack, request_: dict[str, Any], told: dict[str, list[str]]) -> None:
    reply = install(stack, **request_)
    assert reply.status == 200, reply.document()
    assert seen(reply) == told
    body = request_.get("body", BUNDLE)
    assert reply.document()["bytes"] == len(body)
    assert reply.document()["sha256"] == hashlib.sha256(body).hexdigest()


TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("unsigned", {}, 422, "module_unsigned"),
    ("unsigned, a publisher claimed by header", {"more": SPOOF}, 422, "module_unsigned"),
    ("no body", {"body": b"", "signature": sign(b"")}, 422, "module_missing"),
    ("another bundle's signature", {"signature": sign(b"other")}, 422, "module_signature_invalid"),
    (
        "an altered bundle",
        {"body": BUNDLE + b" ", "signature": sign()},
        422,
        "module_signature_invalid",
    ),
    (
        "a key that nobody has registered",
        {"signature": sign(key=STRANGER)},
        422,
        "module_key_unknown",
    ),
    (
        "an unregistered key, by an owner",
        {"signature": sign(key=STRANGER), "roles": OWNER},
        422,
        "module_key_unknown",
    ),
    (
        "two signatures",
        {"signature": sign(), "more": (("x-module-signature", sign()),)},
        422,
        "module_signature_malformed",
    ),
    ("rubbish", {"signature": "rubbish"}, 422, "module_signature_malformed"),
    ("an access token as signature", {"signature": TOKEN}, 422, "module_signature_malformed"),
    *(
        (f"{name}: {value}", {"signature": sign(), "more": ((name, value),)}, 415, "module_encoded")
        for name, value in (
            ("content-encoding", "gzip"),
            ("Content-Encoding", "identity, br"),
            ("content-range", "bytes 0-1/2"),
            ("content-transfer-encoding", "base64"),
            ("content-type", "multipart/form-data; boundary=x"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-type", "text/javascript; charset=utf-16"),
        )
    ),
    (
        "two encodings",
        {"signature": sign(), "more": (("content-encoding", ""), ("content-encoding", "gzip"))},
        415,
        "module_encoded",
    ),
    (
        "withdrawn by digest",
        {"body": WITHDRAWN, "signature": sign(WITHDRAWN)},
        422,
        "module_withdrawn",
    ),
]


@pytest.mark.parametrize(
    ("request_", "status", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused(stack: Stack, request_: dict[str, Any], status: int, reason: str) -> None:
    reply = install(stack, **request_)
    assert (reply.status, reply.document()["reason"]) == (status, reason)
    assert reply.headers["content-type"] == "application/problem+json"
    assert "application" not in reply.document()


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, gzip", "identity"])
def test_a_transfer_encoding_that_changes_the_bytes_is_refused_by_envoy(
    stack: Stack, coding: str
) -> None:
    token = Minter(stack.key, wall_seconds()).good()
    context = create_default_context(cadata=stack.ca_pem)
    with closing(
        HTTPSConnection("localhost", stack.ports.https, timeout=10, context=context)
    ) as connection:
        headers = dict((bearer(token), ("x-module-signature", sign())))
        connection.request("POST", INSTALL, None, {**headers, "transfer-encoding": coding})
        reply = connection.getresponse()
        assert reply.status in {400, 501}
        assert "application" not in json.loads(reply.read()), "it was not reached"


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/javascript; charset=utf-8"])
def test_a_bundle_may_say_what_it_is(stack: Stack, kind: str) -> None:
    reply = install(stack, signature=sign(), more=(("content-type", kind),))
    assert reply.status == 200


def test_the_rules_of_tokens_hold_as_everywhere(stack: Stack) -> None:
    forged = bearer(Minter(stack.key, wall_seconds()).forged())
    signature = ("x-module-signature", sign())
    client = stack.client
    assert client.post(INSTALL, BUNDLE, [signature]).document()["reason"] == "token_missing"
    reply = client.post(INSTALL, BUNDLE, [signature, forged])
    assert reply.document()["reason"] == "signature_invalid"


@pytest.mark.parametrize("path", [f"{INSTALL}/", f"{INSTALL}/x", f"{INSTALL}/?a=b"])
def test_a_path_that_a_registry_might_take_for_the_same_installs_nothing(
    stack: Stack, path: str
) -> None:
    headers = (bearer(Minter(stack.key, wall_seconds()).good()), ("x-module-signature", sign()))
    reply = stack.client.post(path, BUNDLE, headers)
    assert (reply.status, reply.document()["reason"]) == (422, "module_missing")


@pytest.mark.parametrize(
    "path", [f"{INSTALL}?a=b", INSTALL.replace("/modules", "//modules"), f"/api/x/..{INSTALL[4:]}"]
)
def test_a_path_that_is_the_same_is_judged_the_same(stack: Stack, path: str) -> None:
    token = bearer(Minter(stack.key, wall_seconds()).good())
    good, bad = ("x-module-signature", sign()), ("x-module-signature", sign(b"other"))
    assert seen(stack.client.post(path, BUNDLE, (token, good))) == OF_ACME
    assert stack.client.post(path, BUNDLE, (token, bad)).status == 422


def test_over_the_limit_envoy_says_413_and_asks_nobody(stack: Stack) -> None:
    first = mark(stack)
    reply = install(stack, b"x" * (LIMIT + 1), sign())
    assert reply.status == 413
    assert reply.headers["content-type"] == "application/problem+json"
    assert "content-security-policy" in reply.headers
    second = mark(stack)
    written = [line["decision_id"] for line in stack.audited()]
    assert written.index(second) == written.index(first) + 1, "of the one between nobody heard"


def test_a_body_without_a_length_is_bounded_too(stack: Stack) -> None:
    token = Minter(stack.key, wall_seconds()).good()
    context = create_default_context(cadata=stack.ca_pem)
    for size, status in ((100_000, 200), (LIMIT + 1, 413)):
        body = b"x" * size
        with closing(
            HTTPSConnection("localhost", stack.ports.https, timeout=10, context=context)
        ) as connection:
            headers = dict((bearer(token), ("x-module-signature", sign(body))))
            chunks = (body[start : start + 50_000] for start in range(0, size, 50_000))
            connection.request("POST", INSTALL, chunks, headers, encode_chunked=False)
            try:
                reply = connection.getresponse()
            except (BrokenPipeError, ConnectionResetError):
                assert status == 413
                continue
            assert reply.status == status


def test_a_key_that_is_withdrawn_stops_at_once(stack: Stack) -> None:
    assert install(stack, signature=sign(key=GLOBEX)).status == 200
    register(stack, globex=pem(STRANGER))
    try:
        deadline = time.monotonic() + 5
        while (reply := install(stack, signature=sign(key=GLOBEX))).status == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert reply.document()["reason"] == "module_key_unknown"
        assert install(stack, signature=sign(key=STRANGER)).status == 200
    finally:
        register(stack)


def test_the_two_limits_are_one_number(stack: Stack) -> None:
    text = json.dumps(edge_config(stack.ports))
    login_limit = model.LoginSettings().max_body_bytes
    assert text.count(f'"max_request_bytes": {LIMIT}') == 2
    assert text.count(f'"max_request_bytes": {login_limit}') == 1
    assert text.count("with_request_body") == 3
    assert model.Modules().max_bundle_bytes == LIMIT
    assert '"allow_partial_message": true' not in text


def test_no_other_route_sends_its_body(stack: Stack) -> None:
    """A body over the limit passes where no module is installed: nobody has buffered it."""
    token = bearer(Minter(stack.key, wall_seconds()).good())
    reply = stack.client.post("/api/upload", b"x" * (LIMIT + 1), [token])
    assert (reply.status, reply.document()["bytes"]) == (200, LIMIT + 1)


@pytest.mark.quiet
def test_others_hardly_notice_while_large_bundles_are_checked(stack: Stack) -> None:
    """Ordinary requests on the same sidecar, with and without 4 MB bundles on their way."""
    token = bearer(Minter(stack.key, wall_seconds()).good())
    body, stop = b"x" * LIMIT, threading.Event()
    signature, installed = sign(b"x" * LIMIT), []

    def rounds() -> Iterator[float]:
        """Take p99 three times, the best counts: the machine has other things to do as well."""
        client: Client = stack.client
        for _ in range(3):
            times = [client.get(API, (token,)).milliseconds for _ in range(120)]
            yield statistics.quantiles(times, n=100)[98]

    def flood() -> None:
        while not stop.is_set():
            installed.append(install(stack, body, signature).status)

    bound = max(250.0, 20 * min(rounds()))
    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        is_near = any(busy < bound for busy in rounds())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(installed) == {200}
    assert len(installed) > 3
    assert is_near, bound
