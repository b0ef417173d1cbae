"""The decision cache at work: the same requests asked and repeated, and a revocation."""

import ssl
import threading
import time
from http.client import HTTPSConnection
from statistics import median
from typing import Any, NamedTuple, Self

from rich.console import Console
from rich.table import Table

from demo.cases import ISSUER, Minter
from demo.process import fetch_text
from demo.stack import Stack
from sidecar.common.clock import wall_seconds

KEYS: dict[str, Any] = {"poll_seconds": 3600, "revocations": {"poll_seconds": 0.25}}
REQUESTS = (("GET", "/api/orders"), ("POST", "/api/orders"), ("GET", "/api/orders?page=2"))
_TIMES = 200
_ASKED_FOR = {"access-control-request-method": "GET"}
"""A header for which the module always asks, and which changes nothing of the answer."""
_WAIT_SECONDS = 20.0
_OF_EACH = {"date", "x-request-id", "x-envoy-upstream-service-time"}
_OK, _UNAUTHORISED = 200, 401
_REPEATED = "septem_decision_cache_repeated_total"


class Answer(NamedTuple):
    """One answer, but for what is each one's own; and how long it took."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    microseconds: float


class KeptConnection:
    """One connection to the edge, kept: what is timed is a request and no handshake."""

    def __init__(self, stack: Stack) -> None:
        context = ssl.create_default_context(cadata=stack.ca_pem)
        self._connection = HTTPSConnection(
            "localhost", stack.ports.https, timeout=10, context=context
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, method: str, path: str, token: str, **headers: str) -> Answer:
        """Send a request."""
        named = {"authorization": f"Bearer {token}", **headers}
        body = b"{}" if method == "POST" else None
        started = time.perf_counter()
        self._connection.request(method, path, body, named)
        response = self._connection.getresponse()
        data = response.read()
        took = (time.perf_counter() - started) * 1e6
        kept = tuple(pair for pair in response.getheaders() if pair[0].lower() not in _OF_EACH)
        return Answer(response.status, kept, data, took)


def decision_cache(stack: Stack, console: Console) -> bool:
    """Show the same requests asked and repeated, then revoke their token."""
    console.print(
        "Envoy repeats what the sidecar said, while the sidecar leases it that answer. Whatever "
        "changes decisions ends that at once.\n"
    )
    token = Minter(stack.key, wall_seconds()).good(sub="repeated", jti="repeated")
    with KeptConnection(stack) as connection:
        if not _wait(lambda: _is_repeated(stack, connection, token)):
            console.print(f"[red]nothing is repeated[/]: {stack.sidecar.tail()}")
            return False
        good = _show_requests(stack, connection, token, console)
        return _show_revocation(stack, connection, token, console) and good


def _show_requests(stack: Stack, connection: KeptConnection, token: str, console: Console) -> bool:
    table = Table("request", "asked, µs", "repeated, µs", "repeated", "the same answer")
    good = True
    for method, path in REQUESTS:
        connection.send(method, path, token)
        asked = [connection.send(method, path, token, **_ASKED_FOR) for _ in range(_TIMES)]
        before = _count(stack)
        repeated = [connection.send(method, path, token) for _ in range(_TIMES)]
        number = int(_count(stack) - before)
        same = len({each[:3] for each in (*asked, *repeated)}) == 1
        held = same and number == _TIMES and asked[0].status == _OK
        good &= held
        table.add_row(
            f"{method} {path}",
            f"{median(each.microseconds for each in asked):.0f}",
            f"{median(each.microseconds for each in repeated):.0f}",
            f"{number} of {_TIMES}",
            "[green]yes[/]" if held else "[red]no[/]",
        )
    console.print(table)
    console.print(
        "Medians as a client sees them: TLS, Envoy and the application are in both columns.\n"
    )
    return good


def _show_revocation(
    stack: Stack, connection: KeptConnection, token: str, console: Console
) -> bool:
    """Revoke the subject while its token is being repeated."""
    before = _count(stack)
    written_at = 0.0

    def revoke() -> None:
        nonlocal written_at
        mark = {"iss": ISSUER, "sub": "repeated", "issued_before": int(wall_seconds()) + 1}
        stack.openbao.put_revocations({"subjects": [mark]})
        written_at = time.monotonic()

    writer = threading.Timer(0.5, revoke)
    writer.start()
    answers: list[tuple[float, int]] = []
    ends_at = time.monotonic() + _WAIT_SECONDS
    refused = 0
    while refused < _TIMES and time.monotonic() < ends_at:
        sent = time.monotonic()
        answers.append((sent, connection.send("GET", "/api/orders", token).status))
        refused += answers[-1][1] == _UNAUTHORISED
    writer.join()
    statuses = [status for _, status in answers]
    allowed = statuses.count(_OK)
    in_order = statuses == [_OK] * allowed + [_UNAUTHORISED] * refused
    last = max(sent for sent, status in answers if status == _OK)
    console.print(
        f"The token is revoked in Vault while it is repeated: {allowed} requests were allowed "
        f"({int(_count(stack) - before)} of them repeated), the last one sent "
        f"{(last - written_at) * 1000:.0f} ms after the entry was written (it is polled every "
        f"{KEYS['revocations']['poll_seconds'] * 1000:.0f} ms), then {refused} denied and "
        f"none allowed{'' if in_order else ' [red]in order[/]'}."
    )
    return in_order and refused == _TIMES


def _is_repeated(stack: Stack, connection: KeptConnection, token: str) -> bool:
    before = _count(stack)
    connection.send("GET", "/api/orders", token)
    return _count(stack) > before


def _count(stack: Stack) -> float:
    """Return how many decisions were repeated."""
    lines = fetch_text(stack.admin_port, "/metrics").splitlines()
    found = [line for line in lines if line.startswith(_REPEATED)]
    return float(found[0].split()[-1]) if found else 0.0


def _wait(condition: Any) -> bool:
    ends_at = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.02)
    return True
