"""One request to Vault, one connection for it: asyncio underneath, HTTP/1.1 by h11.

A service asks a few times an hour, so nothing is kept open. No redirect is followed, no proxy
and none of Vault's variables in the environment is looked at, an answer has a largest size,
and the whole call has one time-out: there is no thread that a frozen Vault could hold.
"""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import h11

from workload.settings import CertLogin, VaultServer
from workload.vault.errors import VaultAway, VaultCallFault, VaultHasNot, VaultInvalid, VaultRefuses

MAX_ANSWER_BYTES = 8_388_608
_READ_BYTES = 65_536
_OK, _NO_CONTENT, _REDIRECT, _ERRORS = 200, 204, 300, 400
_NOT_READY = (
    b"This backend will be unavailable for a brief period",
    b"until migration has completed",
)
"""What KV version 2 and PKI say with status 400 until they are ready, after a start of Vault."""
_BY_STATUS: dict[int, tuple[type[VaultCallFault], str]] = {
    400: (VaultInvalid, "the request is refused as invalid"),
    401: (VaultRefuses, "permission denied; see its policy and the login"),
    403: (VaultRefuses, "permission denied; see its policy and the login"),
    404: (VaultHasNot, "nothing is there, or it was deleted"),
    412: (VaultAway, "it has not caught up with what was written elsewhere"),
    429: (VaultAway, "it limits our rate, or stands by"),
    472: (VaultAway, "it stands by for disaster recovery"),
    473: (VaultAway, "it stands by"),
    503: (VaultAway, "sealed, standing by or not initialised"),
}


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class VaultHttp:
    """Sends requests to one server."""

    def __init__(self, server: VaultServer) -> None:
        self._server = server
        self._context: tuple[object, ssl.SSLContext] | None = None

    async def ask(self, method: str, path: str, token: str, body: Any = None) -> dict[str, Any]:
        """Return the JSON object that Vault answers; an empty one where it says nothing.

        ``path`` is below ``/v1/``. Raises ``VaultCallFault``.
        """
        where = f"Vault at {self._server.address}, {path.partition('?')[0]}"
        try:
            async with asyncio.timeout(self._server.timeout_seconds):
                answer = await self._exchange(method, path, token, body)
        except TimeoutError:
            seconds = self._server.timeout_seconds
            raise VaultAway(f"{where}: no answer within {seconds:g} s") from None
        except ssl.SSLCertVerificationError as exc:
            why = f"TLS fails ({exc.verify_message}); is ca_file its CA?"
            raise VaultAway(f"{where}: {why}") from None
        except ssl.SSLError:
            raise VaultAway(f"{where}: TLS fails; is ca_file its CA?") from None
        except OSError as exc:
            raise VaultAway(f"{where}: {exc.strerror or 'cannot be reached'}") from None
        except UnicodeError:
            raise VaultCallFault(f"{where}: the address has no name of a host") from None
        except h11.RemoteProtocolError:
            raise VaultAway(f"{where}: the answer is no whole answer of HTTP/1.1") from None
        except VaultCallFault as fault:
            raise type(fault)(f"{where}: {fault}") from None
        return _read(answer, where)

    async def _exchange(self, method: str, path: str, token: str, body: Any) -> Answer:
        reader, writer = await self._connect()
        try:
            connection = h11.Connection(h11.CLIENT)
            writer.write(self._request(connection, method, path, token, body))
            await writer.drain()
            return await _receive(connection, reader)
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # the transport lets go of its socket

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._server.address
        if address.startswith("unix:"):
            return await asyncio.open_unix_connection(address.removeprefix("unix:"))
        url = urlsplit(address)
        if url.scheme == "http":
            return await asyncio.open_connection(url.hostname, url.port or 80)
        return await asyncio.open_connection(url.hostname, url.port or 443, ssl=self._tls())

    def _tls(self) -> ssl.SSLContext:
        """Return a context for the files as they are now."""
        server, login = self._server, self._server.login
        own = (login.certificate_file, login.key_file) if isinstance(login, CertLogin) else ()
        files = (*([server.ca_file] if server.ca_file else []), *own)
        seen = tuple(fingerprint(Path(name)) for name in files)
        if self._context is None or self._context[0] != seen:
            try:
                context = _context(server.ca_file)
                if own:
                    # A key with a pass phrase is refused; OpenSSL would ask on the terminal.
                    context.load_cert_chain(*own, password="")
            except OSError:  # SSLError is one
                raise VaultAway(
                    f"{', '.join(files)} can't be read, or hold no PEM of that kind"
                ) from None
            self._context = seen, context
        return self._context[1]

    def _request(
        self, connection: h11.Connection, method: str, path: str, token: str, body: Any
    ) -> bytes:
        address = self._server.address
        host = "localhost" if address.startswith("unix:") else urlsplit(address).netloc
        headers = [("Host", host), ("Connection", "close"), ("X-Vault-Request", "true")]
        if token:
            headers.append(("X-Vault-Token", token))
        if self._server.namespace is not None:
            headers.append(("X-Vault-Namespace", self._server.namespace))
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            headers += [("Content-Type", "application/json"), ("Content-Length", f"{len(content)}")]
        request = h11.Request(method=method, target=f"/v1/{path}", headers=headers)
        parts = [connection.send(request)]
        if content:
            parts.append(connection.send(h11.Data(data=content)))
        parts.append(connection.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)


def _context(ca_file: str | None) -> ssl.SSLContext:
    # Not create_default_context: where SSLKEYLOGFILE is set, it writes the secrets of every
    # session into that file, and so Vault's token.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca_file)
    return context


async def _receive(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_ANSWER_BYTES:
                raise VaultCallFault(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(body))


def _read(answer: Answer, where: str) -> dict[str, Any]:
    status = answer.status
    if status >= _ERRORS:
        busy = (VaultAway, f"it answers {status}")
        kind, words = _BY_STATUS.get(status, busy)
        if kind is VaultInvalid and any(each in answer.body for each in _NOT_READY):
            kind, words = VaultAway, "what is mounted there is not ready yet"
        raise kind(f"{where}: {words}")
    if status >= _REDIRECT:
        raise VaultCallFault(f"{where}: it sends us elsewhere; give the address of the active one")
    if status == _NO_CONTENT:
        return {}
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise VaultCallFault(f"{where}: the answer is no JSON object")
    return value


def fingerprint(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written anew; ``None`` if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
