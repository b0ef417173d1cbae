"""A client of the admin port, for the command line: TCP on loopback or a Unix socket."""

import argparse
import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sidecar.common.errors import Fault
from sidecar.common.unix_http import UnixConnection
from sidecar.config.base import Address
from sidecar.config.convert import convert
from sidecar.config.load import load_config
from sidecar.config.network import LAST_PORT
from sidecar.config.problem import Problem
from sidecar.transport.sockets import path_of, split_address

DEFAULT_ADMIN = "127.0.0.1:9102"
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
    target = f"{path}?{urlencode(query, errors='replace')}" if query else path
    status, document = request_admin(address, method, target)
    if status == HTTPStatus.NOT_FOUND and "error" not in document:
        raise AdminFault(absent)
    if status != HTTPStatus.OK:
        raise AdminFault(str(document.get("error", f"the admin port answered {status}")))
    return document


def request_admin(
    address: str, method: str, target: str, *, seconds: float = _SECONDS, body: bytes = b""
) -> tuple[int, dict[str, Any]]:
    """Make one request; return the status and the JSON object of the answer, whatever it is.

    A ``body`` is JSON. Raises ``AdminFault`` where there is none.
    """
    connection = connect(address, seconds)
    try:
        headers = {"content-type": "application/json"} if body else {}
        connection.request(method, target, body or None, headers)
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
    return answer.status, document


def add_admin(command: argparse.ArgumentParser) -> None:
    """Add ``--admin`` and ``--config``: where the admin port is, by one of them."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--admin",
        metavar="ADDRESS",
        help=f"the admin port, host:port or unix:/path (default: {DEFAULT_ADMIN})",
    )
    add_admin_of(where)


def add_admin_of(where: argparse._MutuallyExclusiveGroup) -> None:
    """Add ``--config`` beside an address."""
    where.add_argument(
        "--config", type=Path, metavar="FILE", help="read the admin port from these settings"
    )


def admin_address(admin: str | None, config: Path | None) -> str:
    """Return where the admin port is: given, in a configuration file, or the default."""
    if config is not None:
        return load_config(config).listen.admin.address
    return admin or DEFAULT_ADMIN


def connect(address: str, seconds: float) -> HTTPConnection:
    """Return a connection that is not open yet; ``AdminFault`` for what is no address."""
    found: list[Problem] = []
    convert(address, Address, found)
    if found:
        raise AdminFault(f"the admin port {address!r} {found[0].message}")
    if (path := path_of(address)) is not None:
        connection = UnixConnection("localhost", timeout=seconds)
        connection.socket_path = str(path)
        return connection
    host, port = split_address(address)
    if port > LAST_PORT:
        raise AdminFault(f"the admin port {address!r} must have a port of at most {LAST_PORT}")
    return HTTPConnection(host, port, timeout=seconds)


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
