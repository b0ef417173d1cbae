"""Statuses and namespaces, over a server that answers what it is told to; and a real OpenBao."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model
from sidecar.vault import session
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import (
    VaultFault,
    VaultNotFound,
    VaultRejected,
    VaultSealed,
    VaultStale,
    VaultUnreachable,
)
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile, started

ENTRY = (
    b'{"data": {"data": {"a": "1"}, "metadata": '
    b'{"version": 3, "created_time": "2026-11-24T00:00:00Z"}}}'
)
HEALTH = b'{"server_time_utc": 1795651539}'

Answer = tuple[int, bytes, dict[str, str]]
"""Status, body and headers."""


class Server:
    """A Vault that answers the statuses in ``next`` first, and then 200."""

    def __init__(self) -> None:
        self.next: list[Answer] = []
        self.asked: list[tuple[str, str | None]] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                served.asked.append((path, self.headers.get("X-Vault-Namespace")))
                fine: Answer = 200, HEALTH if path == "/v1/sys/health" else ENTRY, {}
                status, body, headers = served.next.pop(0) if served.next else fine
                self.send_response(status)
                for name, value in {
                    "content-type": "application/json",
                    "content-length": str(len(body)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture
def vault(server: Server, token_file: TokenFile) -> VaultClient:
    token_file.write("a-token")
    auth = model.TokenFileAuth(path=str(token_file.path))
    settings = model.Vault(address=server.address, auth=auth, namespace="team")
    return VaultClient(settings, clock=monotonic_seconds)


ANSWERS: list[tuple[str, int, dict[str, str], type[VaultFault], str, bool]] = [
    ("a standby that redirects", 307, {"location": "https://leader:8200/v1/x"}, VaultSealed,
     "redirects to https://leader:8200;", False),
    ("another that does", 308, {"location": "https://leader:8200/v1/x"}, VaultSealed,
     "set vault.address to the leader", False),
    ("a time-out", 408, {}, VaultUnreachable, "took too long", False),
    ("too many requests", 429, {"retry-after": "7"}, VaultUnreachable, "limits the rate", False),
    ("a standby of the wrong kind", 472, {}, VaultSealed, "disaster recovery", False),
    ("a gateway's time-out", 504, {}, VaultUnreachable, "no answer from it", False),
    ("an invalid request", 400, {}, VaultRejected, 'Vault says: "no, that"', True),
    ("not there", 404, {}, VaultNotFound, "nothing exists there", True),
]  # fmt: skip


@pytest.mark.parametrize("row", ANSWERS, ids=[a[0] for a in ANSWERS])
async def test_a_status_is_a_fault_and_says_whether_vault_is_well(
    server: Server,
    vault: VaultClient,
    row: tuple[str, int, dict[str, str], type[VaultFault], str, bool],
) -> None:
    _, status, headers, kind, said, healthy = row
    server.next = [(status, b'{"errors": ["no, that"]}', headers)]
    with pytest.raises(kind, match=said) as fault:
        await vault.read_kv("secret", "x")
    assert vault.is_healthy is healthy
    assert len(server.asked) == 1, "and a redirect is not followed: our token would go there"
    assert fault.value.retry_after_seconds == (7.0 if "retry-after" in headers else None)
    assert (await vault.read_kv("secret", "x")).data == {"a": "1"}


async def test_a_page_of_a_proxy_is_no_words_of_vault(server: Server, vault: VaultClient) -> None:
    server.next = [(502, b"<html>[\x00not json", {}), (502, b'["errors"]', {})]
    for _ in range(2):
        with pytest.raises(VaultUnreachable) as fault:
            await vault.read_kv("secret", "x")
        assert "says" not in str(fault.value)


STARTING = "Upgrading. This backend will be unavailable for a brief period and will resume service"
PASSING: list[tuple[str, int, str, type[VaultFault], bool]] = [
    ("a standby lags", 412, "required index state not present", VaultStale, True),
    ("an engine starts", 400, STARTING, VaultUnreachable, False),
]


@pytest.mark.parametrize("row", PASSING, ids=[each[0] for each in PASSING])
async def test_what_is_not_there_yet_is_asked_for_again(
    server: Server, vault: VaultClient, row: tuple[str, int, str, type[VaultFault], bool]
) -> None:
    _, status, said, kind, healthy = row
    behind: Answer = (status, json.dumps({"errors": [said]}).encode(), {})
    server.next = [behind, behind]
    assert (await vault.read_kv("secret", "x")).version == 3
    assert len(server.asked) == 3
    server.next = [behind] * 3
    with pytest.raises(kind) as fault:
        await vault.read_kv("secret", "x")
    assert fault.value.retryable
    assert vault.is_healthy is healthy


async def test_paths_of_the_root_are_asked_without_the_namespace(
    server: Server, vault: VaultClient
) -> None:
    assert await vault.read_time() == 1795651539
    await vault.read_kv("secret", "sys/health")
    assert server.asked == [("/v1/sys/health", None), ("/v1/secret/data/sys/health", "team")]


async def test_a_standbys_status_of_health_is_an_answer(server: Server, vault: VaultClient) -> None:
    server.next = [(473, HEALTH, {})]
    assert await vault.read_time() == 1795651539


@pytest.mark.real
async def test_in_a_namespace_of_openbao(token_file: TokenFile) -> None:
    bao: OpenBao = started("team")
    try:
        token_file.write(bao.token_for(SIDECAR_POLICY + FLEET_POLICY))
        settings = token_file.settings(bao.address)
        auth = settings.auth
        inside = VaultClient(
            model.Vault(address=bao.address, auth=auth, namespace="team"), clock=monotonic_seconds
        )
        path = "septem/certificates/x"
        assert await inside.write_kv("secret", path, {"a": "1"}, 0) == 1
        assert abs((await inside.read_kv("secret", path)).written_at - await inside.read_time()) < 5
        absent = VaultClient(
            model.Vault(address=bao.address, auth=auth, namespace="absent"),
            clock=monotonic_seconds,
        )
        for question in (absent.read_kv_version, absent.list_kv, absent.read_kv):
            with pytest.raises(VaultNotFound, match="namespace not found"):
                await question("secret", path)
        assert await inside.read_kv_version("secret", "septem/certificates/nobody") == 0
    finally:
        bao.stop()


async def test_each_answer_says_what_time_it_is_there(server: Server, vault: VaultClient) -> None:
    """Whatever it answers: that is how a clock that is wrong is noticed."""
    await vault.read_kv("secret", "x")
    ahead = vault.contact.clock_ahead_seconds
    assert ahead is not None
    assert abs(ahead) < 3
    vault.contact.clock_ahead_seconds = None
    server.next = [(503, b"{}", {})]
    with pytest.raises(VaultSealed):
        await vault.read_kv("secret", "x")
    assert vault.contact.clock_ahead_seconds is not None


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu, 26 Nov 2026 03:00:00 GMT", [1795662000.0]),
        ("", []),
        ("yesterday", []),
        ("Thu, 99 Nov 2026 03:00:00 GMT", []),
    ],
)
def test_a_date_that_is_none_says_nothing(date: str, seconds: list[float]) -> None:
    seen: list[float] = []
    response = requests.Response()
    response.headers["Date"] = date
    session._note_date(seen.append, response)
    assert seen == seconds
