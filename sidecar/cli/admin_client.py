"""A client of the admin port, for the command line: TCP on loopback or a Unix socket."""

import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

from sidecar.common.errors import Fault
from sidecar.common.unix_http import UnixConnection
from sidecar.transport.sockets import path_of, split_address

_SECONDS = 30.0
_MAX_BYTES = 268_435_456
_NO_CERTIFICATES = "this sidecar serves no certificates (listen.sds)"


class AdminFault(Fault):
    """The sidecar does not answer, or refuses the request."""


def ask_admin(
    address: str, method: str, path: str, *, absent: str = _NO_CERTIFICATES, **query: str
) -> dict[str, Any]:
    """Make one request and return its JSON object.

    Raises ``AdminFault`` with the sidecar's message; with ``absent`` where the path is unknown.
    """
    connection = _connect(address)
    target = f"{path}?{urlencode(query, errors='replace')}" if query else path
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        document = _read_object(answer.read(_MAX_BYTES))
    except (OSError, HTTPException) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        raise AdminFault(
            f"the sidecar's admin port at {address} does not answer ({why}); "
            "check that it runs, and the address (--admin, or listen.admin.address with --config)"
        ) from exc
    except _NotAnObject:
        raise no_sidecar(address) from None
    finally:
        connection.close()
    if answer.status == HTTPStatus.NOT_FOUND and "error" not in document:
        raise AdminFault(absent)
    if answer.status != HTTPStatus.OK:
        raise AdminFault(str(document.get("error", f"the admin port answered {answer.status}")))
    return document


def _connect(address: str) -> HTTPConnection:
    if (path := path_of(address)) is not None:
        connection = UnixConnection("localhost", timeout=_SECONDS)
        connection.socket_path = str(path)
        return connection
    try:
        host, port = split_address(address)
    except ValueError:
        raise AdminFault(f"{address!r} is neither host:port nor unix:/path") from None
    return HTTPConnection(host, port, timeout=_SECONDS)


def no_sidecar(address: str) -> AdminFault:
    """Return the fault for an answer that does not come from a sidecar."""
    return AdminFault(
        f"the server on {address} is not the admin port of a sidecar: check --admin or --config"
    )


class _NotAnObject(Exception):
    """The answer is not a JSON object."""


def _read_object(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise _NotAnObject from None
    if not isinstance(document, dict):
        raise _NotAnObject
    return document
