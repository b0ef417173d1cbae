"""Where attacks go: to the application behind the edge, or straight to the control."""

import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlencode

from demo.tenants.attacks import Step
from demo.tenants.facts import ATTACKER, VICTIM

TIMEOUT_SECONDS = 15.0
UNREACHED = 0


class Answer(NamedTuple):
    """What came back; a status of 0 where nothing could be reached."""

    status: int
    body: str


class Target(Protocol):
    """An application that can be attacked."""

    def send(self, step: Step) -> Answer:
        """Send one request."""


class EdgeTarget:
    """The application behind Envoy and the sidecar; each sender has a token of his tenant."""

    def __init__(self, port: int, ca_pem: str, tokens: Mapping[str, str], pid: int) -> None:
        self._port = port
        self._context = ssl.create_default_context(cadata=ca_pem)
        self._tokens = tokens
        self._pid = pid

    def send(self, step: Step) -> Answer:
        """Send one request through the edge; a direct one to whatever TCP port there is."""
        headers = dict(step.headers)
        if step.direct:
            ports = tcp_ports(self._pid)
            if not ports:
                return Answer(UNREACHED, "no TCP port: the application has a Unix socket alone")
            return exchange(HTTPConnection("127.0.0.1", min(ports)), step, headers)
        if step.logged_in:
            token = self._tokens[VICTIM if step.by_victim else ATTACKER]
            headers["authorization"] = f"Bearer {token}"
        connection = HTTPSConnection("localhost", self._port, context=self._context)
        return exchange(connection, step, headers)


class ControlTarget:
    """The control: it believes ``x-tenant-id``, so every sender says who he is."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, step: Step) -> Answer:
        """Send one request."""
        named = {"x-tenant-id": VICTIM if step.by_victim else ATTACKER} if step.logged_in else {}
        connection = HTTPConnection("127.0.0.1", self._port)
        return exchange(connection, step, {**named, **step.headers})


def exchange(connection: HTTPConnection, step: Step, headers: Mapping[str, str]) -> Answer:
    """Send a request on a connection of its own, its headers exactly as given."""
    connection.timeout = TIMEOUT_SECONDS
    path = f"{step.path}?{urlencode(step.query)}" if step.query else step.path
    body = None if step.body is None else json.dumps(step.body).encode()
    try:
        connection.putrequest(step.method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("host", step.host or f"localhost:{connection.port}")
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-type", "application/json")
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode("utf-8", "replace"))
    except (OSError, HTTPException) as fault:
        return Answer(UNREACHED, type(fault).__name__)
    finally:
        connection.close()


def tcp_ports(pid: int) -> set[int]:
    """Return the TCP ports that a process listens on, as Linux lists them."""
    owned = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            owned.add(str(each.readlink()))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in owned:
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found
