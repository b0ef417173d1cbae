"""One HTTPS request at a time, with headers exactly as given."""

import json
import ssl
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, NamedTuple

TIMEOUT_SECONDS = 10.0


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    milliseconds: float

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object, empty if it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Client:
    """Speaks to the edge over TLS, trusting the demo's own CA and nobody else."""

    def __init__(self, https_port: int, http_port: int, ca_pem: str) -> None:
        self._https_port = https_port
        self._http_port = http_port
        self._context = ssl.create_default_context(cadata=ca_pem)

    def get(self, path: str, headers: Sequence[tuple[str, str]] = (), *, tls: bool = True) -> Reply:
        """Send one GET on a connection of its own; the time is that of the request alone."""
        return self._send("GET", path, headers, tls=tls)

    def post(
        self,
        path: str,
        body: bytes,
        headers: Sequence[tuple[str, str]] = (),
        *,
        chunk_bytes: int = 0,
    ) -> Reply:
        """Send one POST over TLS, its body with a length, or in chunks of so many bytes."""
        framing = ("content-length", str(len(body)))
        if chunk_bytes:
            framing = ("transfer-encoding", "chunked")
            cuts = range(0, len(body), chunk_bytes)
            parts = [body[start : start + chunk_bytes] for start in cuts]
            body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*parts, b""))
        return self._send("POST", path, (framing, *headers), body=body)

    def _send(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        *,
        tls: bool = True,
        body: bytes | None = None,
    ) -> Reply:
        connection: HTTPConnection
        if tls:
            connection = HTTPSConnection(
                "localhost", self._https_port, timeout=TIMEOUT_SECONDS, context=self._context
            )
        else:
            connection = HTTPConnection("localhost", self._http_port, timeout=TIMEOUT_SECONDS)
        try:
            connection.connect()
            started = time.perf_counter()
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            body = response.read()
            took = (time.perf_counter() - started) * 1000
            lowered = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, lowered, body, took)
        finally:
            connection.close()
