"""The server itself: away, sealed, not initialised, no Vault at all, and its clock."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.doctor import vault_server
from sidecar.doctor.diagnosis import CheckOutcome, Diagnosis, diagnose
from sidecar.doctor.policy import PolicyLine
from sidecar.doctor.vault_server import ASKED_AT_ONCE, ServerLook, read_capabilities
from sidecar.vault.client import VaultClient
from tests.support.real import TokenFile


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Serve one answer to everything, as no dev server of Vault does on demand."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def settings(address: str) -> model.Vault:
    return model.Vault(address=address, auth=model.TokenFileAuth(path="/t"), timeout_seconds=2)


async def reached(address: str) -> Diagnosis:
    return await diagnose("vault", ServerLook(settings(address)).reach)


STATES: dict[str, tuple[int, object, str]] = {
    "not initialised": (501, {"initialized": False, "sealed": True}, "not initialised"),
    "sealed": (503, {"initialized": True, "sealed": True}, "is sealed"),
    "no Vault": (200, {"status": "up"}, "is no Vault"),
    "a list": (200, [], "is no Vault"),
    "another page": (200, None, "is no Vault"),
}


@pytest.mark.parametrize(("status", "body", "words"), STATES.values(), ids=STATES)
async def test_a_server_that_can_not_serve(status: int, body: object, words: str) -> None:
    raw = b"<html>" if body is None else json.dumps(body).encode()
    with answering(status, raw) as address:
        found = await reached(address)
    assert (found.outcome, words in found.detail) == (CheckOutcome.FAILED, True)
    assert found.next_step


async def test_a_standby_serves_through_its_leader() -> None:
    health = {"initialized": True, "sealed": False, "standby": True, "version": "1.2.3"}
    with answering(429, json.dumps(health).encode()) as address:
        found = await reached(address)
    assert (found.outcome, "1.2.3, unsealed, a standby" in found.detail) == (CheckOutcome.OK, True)


@pytest.mark.real
async def test_a_server_that_is_sealed_or_gone(own_openbao: OpenBao) -> None:
    assert (await reached(own_openbao.address)).outcome is CheckOutcome.OK
    adapter = own_openbao.client.adapter
    adapter.namespace = None
    own_openbao.client.sys.seal()
    found = await reached(own_openbao.address)
    assert (found.outcome, "is sealed" in found.detail) == (CheckOutcome.FAILED, True)
    own_openbao.stop()
    found = await reached(own_openbao.address)
    assert (found.outcome, "cannot be reached" in found.detail) == (CheckOutcome.FAILED, True)


async def test_a_certificate_that_is_not_believed_names_the_setting() -> None:
    with answering(200, b"{}") as address:
        found = await reached(address.replace("http:", "https:"))
    assert (found.outcome, bool(found.next_step)) == (CheckOutcome.FAILED, True)


@pytest.mark.real
@pytest.mark.parametrize(
    ("ahead", "outcome", "words"),
    [
        (0, CheckOutcome.OK, "within 5 s"),
        (-100, CheckOutcome.FAILED, "s behind Vault's"),
        (100, CheckOutcome.FAILED, "s ahead of Vault's"),
    ],
)
async def test_clocks_that_differ(
    ahead: int, outcome: CheckOutcome, words: str, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_server, "wall_seconds", lambda: wall_seconds() + ahead)
    look = ServerLook(settings(openbao.address))
    await look.reach()
    found = await diagnose("clock", look.clock)
    assert (found.outcome, words in found.detail) == (outcome, True)


async def test_a_clock_that_nobody_told_is_skipped() -> None:
    found = await diagnose("clock", ServerLook(settings("http://127.0.0.1:1")).clock)
    assert found.outcome is CheckOutcome.SKIPPED


@pytest.mark.real
async def test_any_number_of_paths_is_asked_about(openbao: OpenBao, token_file: TokenFile) -> None:
    token_file.write(openbao.client.token)
    lines = [PolicyLine(f"a/{n}", ("read",), ("s",), "") for n in range(ASKED_AT_ONCE + 1)]
    vault = VaultClient(token_file.settings(openbao.address), clock=lambda: 0.0)
    found = await read_capabilities(vault, lines)
    await vault.close()
    assert len(found) == len(lines)
    assert found[lines[-1].path] == {"root"}
