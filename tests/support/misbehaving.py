"""A proxy before a real OpenBao whose mounts of certain names misbehave, each in its own way.

``POST /v1/<way>/sign/<role>`` is answered by the way; everything else is OpenBao's own answer.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

Writer = asyncio.StreamWriter
Way = Callable[[Writer, dict[str, Any]], Awaitable[None]]
_KEY = ec.generate_private_key(ec.SECP256R1())
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a CA that misbehaves")])


def _reply(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "content-type: application/json", *headers,
            f"content-length: {len(body)}", "connection: close", "", ""]  # fmt: skip
    return "\r\n".join(head).encode() + body


def _answer(status: str, document: object, *headers: str) -> Way:
    async def way(writer: Writer, _request: dict[str, Any]) -> None:
        writer.write(_reply(status, json.dumps(document).encode(), *headers))
        await writer.drain()

    return way


def _raw(content: bytes) -> Way:
    async def way(writer: Writer, _request: dict[str, Any]) -> None:
        writer.write(content)
        await writer.drain()

    return way


def _for_ever(head: bytes, piece: bytes, pause: float) -> Way:
    async def way(writer: Writer, _request: dict[str, Any]) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return way


async def _hang(_writer: Writer, _request: dict[str, Any]) -> None:
    await asyncio.Event().wait()


async def _reset(writer: Writer, _request: dict[str, Any]) -> None:
    writer.transport.abort()


def _certify(
    *, days: float = 30.0, names: list[str] | None = None, ca: bool = False, staple: bool = False,
    own_key: bool = True,
) -> Way:  # fmt: skip
    """Return a way that signs, but not what was asked for."""

    async def way(writer: Writer, request: dict[str, Any]) -> None:
        csr = x509.load_pem_x509_csr(request["csr"].encode())
        wanted = names or [request["common_name"]]
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .issuer_name(_NAME)
            .subject_name(csr.subject)
            .public_key(csr.public_key() if own_key else _KEY.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(each) for each in wanted]), critical=False
            )
        )
        if staple:
            feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
            builder = builder.add_extension(feature, critical=False)
        pem = builder.sign(_KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        document = {"data": {"certificate": pem, "issuing_ca": pem, "ca_chain": []}}
        writer.write(_reply("200 OK", json.dumps(document).encode()))
        await writer.drain()

    return way


_ENDLESS = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n"
)
WAYS: dict[str, Way] = {
    "hangs": _hang,
    "trickles": _for_ever(b"HTTP/1.1 200 OK\r\nx-slow: ", b"a", 0.2),
    "continues": _for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "floods": _for_ever(_ENDLESS, b" " * 65_536, 0.0),
    "resets": _reset,
    "half": _raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"),
    "garbage": _raw(_reply("200 OK", b"<html>\xff\x00 no JSON")),
    "deep": _raw(_reply("200 OK", b'{"data": ' + b"[" * 200_000)),
    "wordless": _raw(_reply("500 Internal Server Error", b"")),
    "busy": _answer("429 Too Many Requests", {"errors": ["slow down"]}, "retry-after: 3600"),
    "moves": _answer("307 Temporary Redirect", {}, "location: http://127.0.0.1:1/v1/moves"),
    "lags": _answer("412 Precondition Failed", {"errors": ["required index not present"]}),
    "null": _answer("200 OK", {"data": {"certificate": None, "ca_chain": None}}),
    "another-key": _certify(own_key=False),
    "another-name": _certify(names=["other.example"]),
    "expired": _certify(days=-1.0),
    "staples": _certify(staple=True),
    "a-ca": _certify(ca=True),
}
"""By the name of the mount: eighteen ways to issue nothing that can be served."""


class MisbehavingVault:
    """The proxy. ``asked`` counts the orders that each way was given."""

    def __init__(self, vault: str) -> None:
        split = urlsplit(vault)
        self._vault = str(split.hostname), int(split.port or 0)
        self.asked = dict.fromkeys(WAYS, 0)
        self.port = 0
        self._serving: set[object] = set()
        """Tasks that wait for nothing: the event loop alone would not keep them."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self._serving.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(fields or 0))
            mount = head.split(b" ", 2)[1].decode().split("/")[2]
            if mount in WAYS and b"/sign/" in head:
                self.asked[mount] += 1
                await WAYS[mount](writer, json.loads(body))
            else:
                await self._pass(head, body, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the sidecar has hung up, as it must; or the test is over
        finally:
            writer.close()

    async def _pass(self, head: bytes, body: bytes, writer: Writer) -> None:
        """Have OpenBao answer, on a connection for this request alone."""
        first, _, rest = head.partition(b"\r\n")
        lines = [each for each in rest.split(b"\r\n") if not each.lower().startswith(b"connection")]
        their_reader, their_writer = await asyncio.open_connection(*self._vault)
        their_writer.write(b"\r\n".join([first, b"connection: close", *lines]) + body)
        while data := await their_reader.read(65_536):
            writer.write(data)
            await writer.drain()
        their_writer.close()


@contextmanager
def misbehaving(vault: str) -> Iterator[MisbehavingVault]:
    """Run it in a thread of its own."""
    proxy = MisbehavingVault(vault)
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Server:
        return await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1_048_576)

    server = loop.run_until_complete(begin())
    proxy.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_cancel_all())
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
