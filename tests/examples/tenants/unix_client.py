"""A client of the example's Unix socket, which says what Envoy would say."""

import json
import socket
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode


class Told(NamedTuple):
    status: int
    body: Any
    text: str


class UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(
    path: Path,
    target: str,
    headers: list[tuple[str, str]],
    body: Any = None,
    **query: str,
) -> Told:
    """Send a GET, or a POST where there is a body."""
    raw = None if body is None else json.dumps(body).encode()
    with closing(UnixConnection(path)) as connection:
        connection.putrequest("GET" if raw is None else "POST", f"{target}?{urlencode(query)}")
        for name, value in headers:
            connection.putheader(name, value)
        if raw is not None:
            connection.putheader("content-type", "application/json")
            connection.putheader("content-length", str(len(raw)))
        connection.endheaders(raw)
        response = connection.getresponse()
        text = response.read().decode()
    is_json = response.headers.get_content_type() == "application/json"
    return Told(response.status, json.loads(text) if is_json else None, text)
