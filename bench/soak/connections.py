"""The soak's own HTTP/1.1 and HTTP/2 over TLS: they see each byte, and who ended a connection."""

import asyncio
import json
import ssl
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from cryptography import x509
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

ANSWER_SECONDS = 90.0
"""How long an answer may take before it counts as lost: far more than the slowest machine needs."""
_FRAME_HEAD, _GOAWAY = 9, 7
Headers = Sequence[tuple[str, str]]


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object, empty if it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Stale(Exception):
    """A connection that was used before ended before anything of the answer came.

    Every HTTP client asks again then (RFC 9110 §9.2.2): a server may close what is idle.
    """


class Lost(Exception):
    """No answer, or the half of one."""


class Unserved(Lost):
    """No handshake: the certificate of the name was not to be had."""


class Served(NamedTuple):
    """A certificate that was shown for a name, in a handshake from start to end."""

    name: str
    serial: str
    start: float
    end: float


class Edge(NamedTuple):
    """Where the edge is, whose certificates it must show, and who is told of each."""

    port: int
    ca_pem: str
    served: Callable[[Served], None]
    clock: Callable[[], float]

    def context(self, protocol: str) -> ssl.SSLContext:
        """Return TLS that believes the soak's CA alone, and checks the name."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        context.set_alpn_protocols([protocol])
        return context


class Connection:
    """One connection. ``used`` says whether a request was answered on it."""

    protocol = ""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.name = name
        self.serial = ""
        """Of the certificate that was shown."""
        self.used = False
        self.closing = False
        """Whether the edge has said that it takes no more requests here."""
        self.began = False
        """Whether anything of the present answer has come."""

    @classmethod
    async def open(cls, edge: Edge, context: ssl.SSLContext, name: str) -> Self:
        """Connect; ``Unserved`` where the handshake fails or shows another certificate."""
        start = edge.clock()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", edge.port, ssl=context, server_hostname=name
                )
        except (OSError, TimeoutError) as exc:
            raise Unserved(f"no connection for {name}: {exc}") from exc
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        serial = f"{x509.load_der_x509_certificate(der).serial_number:x}"
        edge.served(Served(name, serial, start, edge.clock()))
        connection = cls(reader, writer, name)
        connection.serial = serial
        return connection

    async def request(
        self, method: str, path: str, headers: Headers, body: bytes | None = None
    ) -> Reply:
        """Send one request and read its answer; raises ``Stale`` or ``Lost``."""
        self.began = False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await self.exchange(method, path, headers, body)
        except (OSError, EOFError, TimeoutError, ProtocolError) as exc:
            self.close()
            words = f"{type(exc).__name__}: {exc}".rstrip(": ")
            if self.used and not self.began and not isinstance(exc, TimeoutError):
                raise Stale(words) from exc
            raise Lost(words) from exc
        self.used = True
        return reply

    async def exchange(self, method: str, path: str, headers: Headers, body: bytes | None) -> Reply:
        """Send and read, in the protocol of this connection."""
        raise NotImplementedError

    def close(self) -> None:
        """End it, without a word."""
        self.closing = True
        self.writer.transport.abort()


class Http1(Connection):
    """HTTP/1.1."""

    protocol = "http/1.1"

    async def exchange(self, method: str, path: str, headers: Headers, body: bytes | None) -> Reply:
        """Send a request and read the whole answer."""
        self.send(method, path, headers, body)
        status, found = await self.head()
        if status == 101:
            return Reply(status, found, b"")
        return Reply(status, found, await self._body(found))

    def send(self, method: str, path: str, headers: Headers, body: bytes | None) -> None:
        """Write a request."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {self.name}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        self.began = True
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        found: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip()
            found[name] = f"{found[name]}, {value}" if name in found else value
        self.closing = found.get("connection", "").lower() == "close"
        return int(first.split(" ")[1]), found

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" not in headers:
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")
        return body


class Http2(Connection):
    """HTTP/2, one request at a time."""

    protocol = "h2"

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
    ) -> None:
        super().__init__(reader, writer, name)
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._pending = b""
        """The beginning of a frame."""

    async def exchange(self, method: str, path: str, headers: Headers, body: bytes | None) -> Reply:
        """Send a request and read the whole answer."""
        stream = self._h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":path", path)]
        length = [] if body is None else [("content-length", str(len(body)))]
        fields = [*pseudo, (":authority", self.name), *headers, *length]
        self._h2.send_headers(stream, fields, end_stream=body is None)
        if body is not None:
            self._h2.send_data(stream, body, end_stream=True)
        answer = _Http2Answer(stream)
        while not answer.whole:
            self.writer.write(self._h2.data_to_send())
            data = await self.reader.read(65_536)
            if not data:
                raise EOFError("the connection was closed")
            for event in self._h2.receive_data(self._without_goaway(data, stream)):
                if isinstance(event, DataReceived):
                    self._h2.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id
                    )
                answer.take(event)
                self.began = bool(answer.headers)
        self.writer.write(self._h2.data_to_send())
        return Reply(int(answer.headers.pop(":status")), answer.headers, answer.body)

    def _without_goaway(self, data: bytes, stream: int) -> bytes:
        """Take GOAWAY frames out of what came, and note them (RFC 9113 §6.8).

        The library takes no frame after one, and the answer to a request that the edge has taken
        comes after it. Raises ``EOFError`` where the edge does not take the request.
        """
        self._pending += data
        passed = b""
        while len(self._pending) >= _FRAME_HEAD:
            size = _FRAME_HEAD + int.from_bytes(self._pending[:3])
            if len(self._pending) < size:
                break
            frame, self._pending = self._pending[:size], self._pending[size:]
            if frame[3] != _GOAWAY:
                passed += frame
                continue
            self.closing = True
            if int.from_bytes(frame[_FRAME_HEAD : _FRAME_HEAD + 4]) & 0x7FFFFFFF < stream:
                raise EOFError("the edge goes away, and does not take the request")
        return passed


class _Http2Answer:
    """What has come of an answer on one stream."""

    def __init__(self, stream: int) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.whole = False
        self._stream = stream

    def take(self, event: object) -> None:
        """Take an event of the connection; raises ``EOFError`` where the answer can't come."""
        match event:
            case ResponseReceived(stream_id=number, headers=pairs) if number == self._stream:
                for name, value in pairs or ():
                    text, more = str(name), str(value)
                    before = self.headers.get(text)
                    self.headers[text] = more if before is None else f"{before}, {more}"
            case DataReceived(stream_id=number, data=part) if number == self._stream:
                self.body += part or b""
            case StreamEnded(stream_id=number) if number == self._stream:
                self.whole = True
            case StreamReset(stream_id=number, error_code=code) if number == self._stream:
                raise EOFError(f"the stream was reset: {code}")
