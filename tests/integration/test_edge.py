"""The edge as a client meets it: real Envoy, real OpenBao, the sidecar well, gone and back."""

import json
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from signal import SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from demo.cases import ALWAYS, API, PUBLIC, Minter, bearer
from demo.client import Reply
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack() as running:
        yield running


@pytest.fixture
def sidecar_back(stack: Stack) -> Iterator[None]:
    """Put the sidecar back after a test that took it away."""
    yield
    stack.sidecar.stop()
    stack.start_sidecar()
    wait_until(lambda: ask(stack).status == 200)


def ask(stack: Stack, path: str = API) -> Reply:
    token = Minter(stack.key, wall_seconds()).good()
    return stack.client.get(path, (bearer(token),))


def wait_for_the_audit_log(stack: Stack) -> None:
    """It is written behind, in order: with the line of one more request all others are there."""
    mark = stack.client.get(API).document()["instance"].rpartition(":")[2]
    wait_until(lambda: any(line["decision_id"] == mark for line in stack.audited()))


def assert_secure(reply: Reply) -> None:
    for name, value in ALWAYS.items():
        assert name in reply.headers, f"{name} is missing from {reply}"
        assert value is None or reply.headers[name] == value


def test_envoys_own_replies_have_the_headers_and_a_body(stack: Stack) -> None:
    for path, headers, status in (
        ("/assets%2fx", (), 400),
        ("/assets/x", (("x_tenant_id", "1"),), 400),
        ("/assets/x", (("pad", "x" * 62_000),), 431),
    ):
        reply = stack.client.get(path, headers)
        assert reply.status == status
        assert_secure(reply)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.usefixtures("sidecar_back")
@pytest.mark.parametrize("number", [SIGKILL, SIGSTOP], ids=["killed", "frozen"])
def test_without_the_sidecar_nothing_passes_and_the_headers_stay(stack: Stack, number: int) -> None:
    stack.sidecar.signal(number)  # type: ignore[arg-type]
    time.sleep(0.1)
    for path in (API, PUBLIC):
        reply = ask(stack, path)
        assert reply.status == 503
        assert "application" not in reply.document()
        assert_secure(reply)
        assert reply.headers["content-security-policy"].startswith("default-src 'none'")
        assert reply.document()["status"] == 503


@pytest.mark.usefixtures("sidecar_back")
def test_killed_under_traffic_every_answer_is_right_or_503(stack: Stack) -> None:
    statuses: list[tuple[int, int]] = []
    mint = Minter(stack.key, wall_seconds())
    good, bad = bearer(mint.good()), bearer(mint.forged())
    stop = threading.Event()

    def traffic() -> None:
        client = stack.client
        while not stop.is_set():
            statuses.append((client.get(API, (good,)).status, client.get(API, (bad,)).status))

    threads = [threading.Thread(target=traffic) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: (200, 401) in statuses)
    stack.sidecar.signal(SIGKILL)
    wait_until(lambda: (503, 503) in statuses)
    stack.start_sidecar()
    count = len(statuses)
    wait_until(lambda: (200, 401) in statuses[count:])
    stop.set()
    for thread in threads:
        thread.join()
    assert {good for good, _ in statuses} == {200, 503}
    assert {bad for _, bad in statuses} == {401, 503}


@pytest.mark.usefixtures("sidecar_back")
def test_sigterm_drains(stack: Stack) -> None:
    """Not ready first, every answer in flight given, exit 0."""
    statuses: list[int] = []
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            statuses.append(ask(stack).status)

    thread = threading.Thread(target=traffic)
    thread.start()
    wait_until(lambda: len(statuses) > 10)
    stack.sidecar.signal(SIGTERM)
    wait_until(lambda: '"drain"' in fetch_text(stack.admin_port, "/readyz"), 2)
    assert stack.sidecar.wait(5) == 0
    stop.set()
    thread.join()
    assert set(statuses) <= {200, 503}
    assert any("draining" in line for line in stack.sidecar.lines)


def test_one_word_in_body_audit_metric_and_access_log(stack: Stack) -> None:
    reply = stack.client.get(API)
    word = reply.document()["reason"]
    decision_id = reply.document()["instance"].rpartition(":")[2]
    assert word == "token_missing"

    def line() -> dict[str, object]:
        return next((each for each in stack.audited() if each["decision_id"] == decision_id), {})

    wait_until(line)
    assert line()["reason"] == word
    assert line()["status"] == reply.status
    assert f'reason="{word}",route="api"' in fetch_text(stack.admin_port, "/metrics")
    wait_until(lambda: any(e["decision_id"] == decision_id for e in stack.envoy.access_log()), 15)
    entry = next(e for e in stack.envoy.access_log() if e["decision_id"] == decision_id)
    assert (entry["reason"], entry["route"], entry["path"]) == (word, "api", API)
    assert entry["request_id"] == line()["request_id"] == reply.document()["request_id"]


def test_an_allowed_request_has_its_ids_in_the_audit_log_and_in_the_access_log(
    stack: Stack,
) -> None:
    """From the slow path and from the fast path."""
    path, token = f"{API}/two-ids", Minter(stack.key, wall_seconds()).good()
    for _ in range(2):
        assert stack.client.get(path, (bearer(token),)).status == 200

    def ids(lines: Iterable[Mapping[str, Any]]) -> list[tuple[object, object]]:
        return [(e["decision_id"], e["request_id"]) for e in lines if e.get("path") == path]

    wait_until(lambda: len(ids(stack.envoy.access_log())) == 2, 15)
    wait_until(lambda: len(ids(stack.audited())) == 2)
    assert sorted(ids(stack.envoy.access_log())) == sorted(ids(stack.audited()))
    assert len({each for pair in ids(stack.audited()) for each in pair}) == 4


def test_the_audit_log_can_be_rotated(stack: Stack) -> None:
    path = stack.folder / "audit.jsonl"
    wait_for_the_audit_log(stack)
    old = path.rename(stack.folder / "audit.1")
    before = old.stat().st_size
    stack.sidecar.signal(SIGHUP)
    wait_until(lambda: ask(stack).status == 200 and path.exists())
    wait_until(lambda: len(stack.audited()) > 0)
    assert old.stat().st_size == before


def test_no_secret_is_ever_written(stack: Stack) -> None:
    """Tokens, in every place a client can put one, and what Vault holds."""
    token = Minter(stack.key, wall_seconds()).good()
    parts = token.split(".")
    cookie = "session=c00k1e-of-the-user"
    client = stack.client
    for headers in (
        (bearer(token),),
        (bearer(token), bearer(token)),
        (("authorization", f"Basic {token}"),),
        (bearer(token + "x"),),
        (bearer(token), ("cookie", cookie)),
    ):
        client.get(f"/api/x?access_token={token}", headers)
        client.get(f"/api/{token}", headers)
        client.get(f"/nowhere/{token}", headers)
    wait_for_the_audit_log(stack)
    vault_token = (stack.folder / "vault-token").read_text()
    written = {
        "audit": (stack.folder / "audit.jsonl").read_text(),
        "log": "\n".join(stack.sidecar.lines),
        "metrics": fetch_text(stack.admin_port, "/metrics"),
    }
    assert "/api/[redacted]" in written["audit"]
    for text in written.values():
        for secret in (parts[1], parts[2], "c00k1e", vault_token, "PRIVATE KEY"):
            assert secret not in text
    assert re.search(r"eyJ[A-Za-z0-9_-]{10}", "".join(written.values())) is None


def negotiated(stack: Stack, version: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cadata=stack.ca_pem)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", stack.ports.https), timeout=5) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                return tls.version()
        except (ssl.SSLError, ConnectionResetError):
            return None


def test_tls_is_1_3_and_the_certificate_is_vaults(stack: Stack) -> None:
    assert negotiated(stack, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert negotiated(stack, ssl.TLSVersion.TLSv1_2) is None
    assert "PRIVATE KEY" not in "".join(
        path.read_text(errors="replace") for path in stack.folder.iterdir() if path.is_file()
    )


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_1_2_by_a_setting_and_nothing_below() -> None:
    with Stack(tls_min="1.2") as legacy:
        assert negotiated(legacy, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert negotiated(legacy, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        assert negotiated(legacy, ssl.TLSVersion.TLSv1_1) is None


def test_a_bare_tls_client_gets_a_whole_chain(stack: Stack) -> None:
    assert json.loads(ask(stack).body)["seen"]["x-user-id"] == ["alice"]


def with_keys(**keys: object) -> Stack:
    return Stack(keys={"poll_seconds": 0.2, **keys})


def key_state(stack: Stack) -> str:
    return str(json.loads(fetch_text(stack.admin_port, "/readyz"))["keys"])


def test_degraded_may_refuse_and_envoy_counts_an_error() -> None:
    """``error_response``: the client gets our 503 with its reason, Envoy counts no denial."""
    with with_keys(max_age_seconds=0.5, when_degraded="refuse") as stack:
        assert ask(stack).status == 200
        stack.openbao.stop()
        wait_until(lambda: key_state(stack) == "degraded")
        reply = ask(stack)
        assert (reply.status, reply.document()["reason"]) == (503, "keys_degraded")
        assert_secure(reply)
        assert ask(stack, PUBLIC).status == 200
        stats = fetch_text(stack.ports.admin, "/stats?filter=ext_authz")
        assert re.search(r"ext_authz\.error: [1-9]", stats), stats
        assert "ext_authz.denied: 0" in stats


def test_the_state_of_the_keys_is_one_word_everywhere() -> None:
    with with_keys() as stack:
        stack.openbao.process.signal(SIGSTOP)
        wait_until(lambda: key_state(stack) == "outage")
        assert ask(stack).status == 200
        assert 'septem_key_state{state="outage"} 1.0' in fetch_text(stack.admin_port, "/metrics")
        wait_until(lambda: stack.audited()[-1:] and stack.audited()[-1]["key_state"] == "outage")
        with grpc.insecure_channel(f"127.0.0.1:{stack.ports.authz}") as channel:
            health = health_pb2_grpc.HealthStub(channel)

            def serving(service: str) -> bool:
                asked = health_pb2.HealthCheckRequest(service=service)
                return bool(health.Check(asked).status == health_pb2.HealthCheckResponse.SERVING)

            assert serving("keys.outage")
            assert not serving("keys.active")
            assert serving("")
        stack.openbao.process.signal(SIGCONT)
        wait_until(lambda: key_state(stack) == "active")


def test_keys_are_refreshed_at_once_when_told() -> None:
    """SIGHUP and POST /keys/refresh, with polls an hour apart."""
    with Stack(keys={"poll_seconds": 3600}) as stack:
        refreshes = 'septem_key_refreshes_total{outcome="ok"'

        def count() -> float:
            text = fetch_text(stack.admin_port, "/metrics")
            return float(
                next(line for line in text.splitlines() if line.startswith(refreshes)).split()[-1]
            )

        assert count() == 1
        stack.sidecar.signal(SIGHUP)
        wait_until(lambda: count() == 2)
        url = f"http://127.0.0.1:{stack.admin_port}/keys/refresh"
        request = urllib.request.Request(url, method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert json.load(answer) == {"keys": "active"}
        assert count() == 3
