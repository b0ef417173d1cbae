"""The operator's HTTP, on loopback: not for web pages.

The ``Host`` header must name this machine, so that a web page in some browser on it can't
read our answers by pointing its own name here (DNS rebinding). Nor may a page have anything
done: browsers send ``Origin`` with whatever is not a plain read (RFC 6454 §7.3), and such a
request is refused.
"""

import contextlib
from collections.abc import Callable
from ipaddress import ip_address

import h11

from sidecar.admin.http import IDLE_SECONDS, REQUEST_SECONDS, HttpServer, Routes

_SAFE_METHODS = frozenset({b"GET", b"HEAD"})


class AdminServer(HttpServer):
    """The operator's: what a web page in a browser sends is refused."""

    def __init__(
        self,
        address: str,
        routes: Routes,
        *,
        on_fault: Callable[[Exception], None],
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        super().__init__(
            address,
            routes,
            on_fault=on_fault,
            guard=_not_of_a_page,
            request_seconds=request_seconds,
            idle_seconds=idle_seconds,
        )


def _not_of_a_page(head: h11.Request) -> int:
    if not _is_this_machine(head):
        return 421
    with_origin = any(name == b"origin" for name, _ in head.headers)
    return 403 if with_origin and head.method not in _SAFE_METHODS else 0


def _is_this_machine(request: h11.Request) -> bool:
    """Tell whether ``Host`` is an IP literal or ``localhost``: nothing DNS could point here."""
    hosts = [value.decode("latin-1") for name, value in request.headers if name == b"host"]
    if len(hosts) != 1:
        return not hosts
    name = hosts[0].rpartition(":")[0] if hosts[0].rpartition(":")[2].isdigit() else hosts[0]
    if name.lower() == "localhost":
        return True
    with contextlib.suppress(ValueError):
        ip_address(name.strip("[]"))
        return True
    return False
