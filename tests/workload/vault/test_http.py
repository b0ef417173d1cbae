"""Answers that no good Vault gives, and some that a real one gives on a bad day."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.authorities import Ca, pem
from workload.settings import TokenFileLogin, VaultServer
from workload.vault.errors import VaultAway, VaultCallFault, VaultHasNot, VaultInvalid, VaultRefuses
from workload.vault.http import MAX_ANSWER_BYTES, VaultHttp

TOKEN = "s.very-secret"


@asynccontextmanager
async def answering(
    answer: bytes, *, hang: bool = False, seconds: float = 5.0
) -> AsyncIterator[tuple[VaultHttp, list[bytes]]]:
    seen: list[bytes] = []
    end = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if hang:
            await end.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = VaultServer(
        f"http://127.0.0.1:{port}",
        TokenFileLogin("/none"),
        namespace="team",
        timeout_seconds=seconds,
    )
    try:
        yield VaultHttp(settings), seen
    finally:
        end.set()
        server.close()
        await server.wait_closed()


def reply(status: int, body: bytes = b'{"errors": ["s.very-secret"]}', extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


KV_STARTS = (
    b'{"errors":["Upgrading from non-versioned to versioned data. This backend will be unavailable'
    b' for a brief period and will resume service shortly."]}'
)
KV_WAITS = (
    b'{"errors":["Waiting for the primary to upgrade from non-versioned to versioned data. This'
    b" backend will be unavailable for a brief period and will resume service when the primary is"
    b' finished."]}'
)
PKI_MOVES = b'{"errors":["Can not list issuers until migration has completed"]}'
ANSWERS = [
    ("invalid", reply(400), VaultInvalid, "refused as invalid"),
    ("KV that starts", reply(400, KV_STARTS), VaultAway, "not ready yet"),
    ("KV that starts, on another node", reply(400, KV_WAITS), VaultAway, "not ready yet"),
    ("PKI that moves", reply(400, PKI_MOVES), VaultAway, "not ready yet"),
    ("unauthorised", reply(401), VaultRefuses, "permission denied"),
    ("forbidden", reply(403), VaultRefuses, "permission denied"),
    ("not there", reply(404), VaultHasNot, "nothing is there"),
    ("too many", reply(429), VaultAway, "limits our rate"),
    ("its own error", reply(500), VaultAway, "answers 500"),
    ("a gateway's", reply(502), VaultAway, "answers 502"),
    ("sealed", reply(503), VaultAway, "sealed"),
    ("elsewhere", reply(307, extra="Location: http://evil/\r\n"), VaultCallFault, "elsewhere"),
    ("no JSON", reply(200, b"<html>"), VaultCallFault, "no JSON object"),
    ("JSON of another kind", reply(200, b"[1]"), VaultCallFault, "no JSON object"),
    ("JSON without end", reply(200, b"[" * 100_000), VaultCallFault, "no JSON object"),
    ("nothing", b"", VaultAway, "no whole answer"),
    ("half an answer", reply(200)[:-5], VaultAway, "no whole answer"),
    ("another protocol", b"SSH-2.0-x\r\n\r\n", VaultAway, "no whole answer"),
    ("endless headers", b"HTTP/1.1 200 X\r\nA: " + b"x" * 200_000, VaultAway, "no whole answer"),
    ("too long", reply(200, b" " * (MAX_ANSWER_BYTES + 1)), VaultCallFault, "more than"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "words"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS]
)
async def test_an_answer_is_a_fault_that_quotes_nothing(
    answer: bytes, kind: type[VaultCallFault], words: str
) -> None:
    async with answering(answer) as (http, seen):
        with pytest.raises(VaultCallFault, match=words) as raised:
            await http.ask("GET", "pki/issuers?list=true", TOKEN)
        assert type(raised.value) is kind
        assert raised.value.retryable is (kind is VaultAway)
        assert "pki/issuers" in str(raised.value)
        assert TOKEN not in str(raised.value)
        assert len(seen) == 1, "asked once, and nobody else"


async def test_what_is_sent() -> None:
    async with answering(reply(200, b'{"data": {}}')) as (http, seen):
        assert await http.ask("GET", "pki/issuers?list=true", TOKEN) == {"data": {}}
    head = seen[0].decode().lower()
    assert head.startswith("get /v1/pki/issuers?list=true http/1.1\r\n")
    for line in (f"x-vault-token: {TOKEN}", "x-vault-namespace: team", "x-vault-request: true"):
        assert f"{line}\r\n" in head


async def test_a_body_in_pieces_and_an_answer_without_one() -> None:
    pieces = (
        b'HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n5\r\n: 1}\n\r\n0\r\n\r\n'
    )
    async with answering(b"HTTP/1.1 103 X\r\n\r\n" + pieces) as (http, _):
        assert await http.ask("GET", "x", "") == {"a": 1}
    async with answering(b"HTTP/1.1 204 X\r\n\r\n") as (http, _):
        assert await http.ask("POST", "x", "", {}) == {}


async def test_a_frozen_server_holds_nobody_longer_than_the_time_out() -> None:
    async with answering(b"HTTP/1.1 200 X\r\n", hang=True, seconds=0.2) as (http, _):
        with pytest.raises(VaultAway, match=r"no answer within 0\.2 s"):
            await http.ask("GET", "x", TOKEN)


async def test_nobody_listens() -> None:
    async with answering(b"") as (http, _):
        pass
    with pytest.raises(VaultAway, match="Vault at http://127"):
        await http.ask("GET", "x", TOKEN)


async def test_a_name_that_is_no_hosts() -> None:
    http = VaultHttp(VaultServer("http://" + "a" * 70 + ".example", TokenFileLogin("/none")))
    with pytest.raises(VaultCallFault, match="Vault at http://aaa"):
        await http.ask("GET", "x", TOKEN)


def test_the_sessions_secrets_are_written_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    context = VaultHttp(VaultServer("https://vault", TokenFileLogin("/none")))._tls()
    keylog: str | None = context.keylog_filename
    assert not keylog
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert list(tmp_path.iterdir()) == []


def test_a_ca_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(pem(Ca("one").certificate))
    http = VaultHttp(VaultServer("https://vault", TokenFileLogin("/none"), ca_file=str(path)))
    before = http._tls()
    assert http._tls() is before
    fresh = tmp_path / "next"
    fresh.write_text(pem(Ca("two").certificate))
    fresh.rename(path)
    assert http._tls().get_ca_certs() != before.get_ca_certs()
