"""A client of the admin port, for the command line: TCP on loopback or a Unix socket."""

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

from sidecar.errors import Fault

_SECONDS = 30.0
_MAX_BYTES = 268_435_456


class AdminFault(Fault):
    """The sidecar does not answer, or says no."""


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(self._path)


def ask_admin(address: str, method: str, path: str, **query: str) -> Any:
    """Make one request and return its JSON. Raises ``AdminFault`` in the sidecar's words."""
    if address.startswith("unix:"):
        connection: HTTPConnection = _UnixConnection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        connection = HTTPConnection(host.strip("[]"), int(port), timeout=_SECONDS)
    target = f"{path}?{urlencode(query)}" if query else path
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        document = json.loads(answer.read(_MAX_BYTES))
    except (OSError, HTTPException) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        raise AdminFault(
            f"the sidecar's admin port at {address} does not answer ({why}); "
            "is it there? see --config or --admin"
        ) from exc
    except ValueError:
        raise AdminFault(f"what listens on {address} is no sidecar's admin port") from None
    finally:
        connection.close()
    if answer.status == 404 and "error" not in document:  # noqa: PLR2004 - not found
        raise AdminFault("this sidecar serves no certificates (listen.sds)")
    if answer.status != 200:  # noqa: PLR2004 - OK
        raise AdminFault(str(document.get("error", f"status {answer.status}")))
    return document
