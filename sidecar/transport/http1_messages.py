"""The requests, answers and handlers of the small HTTP/1.1 server."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import NamedTuple

import h11


class Request(NamedTuple):
    """One request: ``path`` without its query, names of ``headers`` in lower case."""

    method: str
    path: str
    query: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    peer: str = ""
    """Who has connected, for the log: an address, or the user and process of a Unix socket."""

    def header(self, name: bytes) -> str:
        """Return the only value of a header; empty where there is none, or more than one."""
        values = [value for known, value in self.headers if known == name]
        return values[0].decode("latin-1") if len(values) == 1 else ""


class Response(NamedTuple):
    """One answer; ``headers`` are those other than type, length and the common ones."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    stream: Callable[[], AsyncGenerator[bytes, None]] | None = None
    """What follows the body, piece by piece, until it ends; then the connection is closed."""

    @classmethod
    def json(cls, status: int, value: object) -> "Response":
        """Return an answer with a JSON document."""
        return cls(status, json.dumps(value, indent=1).encode() + b"\n", "application/json")


Handler = Callable[[Request], Response | Awaitable[Response]]
Routes = Mapping[tuple[str, str], Handler]


class Refusal(NamedTuple):
    """Why a request is refused before its handler; ``detail`` tells the client what to do."""

    status: int
    detail: str = ""


Guard = Callable[[h11.Request], Refusal | None]
"""Checks a request's head: returns a refusal, or ``None``."""


def problem(status: int, detail: str = "") -> Response:
    """Return an error as a JSON document; ``detail`` tells the client what to do."""
    return Response.json(status, {"status": status, **({"error": detail} if detail else {})})
