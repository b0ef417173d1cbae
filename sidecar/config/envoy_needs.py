"""What Envoy must send with a Check, because a decision is made by it. One list for all who ask.

``config check`` notes it, ``config envoy --check`` and ``envoy lint`` look whether it is sent, and
``envoy init`` writes it. What is not in ``allowed_headers`` of ext_authz does not arrive.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sidecar.config.model import Config
from sidecar.config.routes import RouteSettings

_OF_BODIES = ("content-type", "content-encoding")
_MAX_LISTED = 5


class Need(NamedTuple):
    """A header that must be sent, what it is for, and whose requests depend on it.

    ``routes`` is empty where it is not the affair of some.
    """

    header: str
    reason: str
    routes: tuple[str, ...] = ()

    @property
    def listed(self) -> str:
        """The routes' names, a few of them."""
        return listed(self.routes)


METHOD_NEED = Need(":method", "no method is known without it")
"""Envoy leaves it out of a Check too, where its list does not name it."""
REQUEST_ID_NEED = Need("x-request-id", "audit lines and problem bodies name the request by it")
"""Nothing is decided by it, so it is not among ``needed_headers``."""
_Rule = tuple[tuple[str, ...], str, Callable[[RouteSettings], bool]]


def _reads(route: RouteSettings, place: str) -> bool:
    return route.auth != "none" and any(each.startswith(place) for each in route.token_from)


_TOKENS = "routes read tokens there (token_from); where it is not sent, requests lose it"
_RULES: tuple[_Rule, ...] = (
    (("authorization",), "routes read tokens there", lambda r: _reads(r, "header")),
    (("cookie",), _TOKENS, lambda r: _reads(r, "cookie:")),
    (
        ("sec-websocket-protocol",),
        _TOKENS,
        lambda r: _reads(r, "websocket"),
    ),
    (
        ("dpop",),
        "the proof of a bound token is there (routes[].binding)",
        lambda r: "dpop" in r.bound_by,
    ),
    (
        ("x-module-signature", *_OF_BODIES, "content-range", "content-transfer-encoding"),
        "a module's bundle is verified by it",
        lambda r: r.module is not None,
    ),
    (
        _OF_BODIES,
        "the account of a login is read by it (routes[].limits.login)",
        lambda r: r.limits is not None and r.limits.login is not None,
    ),
    (
        ("grpc-timeout",),
        "end_streams_with_token sends the sooner of the two",
        lambda r: r.end_streams_with_token,
    ),
)


def needed_headers(config: Config) -> tuple[Need, ...]:
    """Return every header that must be sent, each once, in the order of the list."""
    found: dict[str, Need] = {}
    for need in _needs(config):
        found.setdefault(need.header, need)
    return tuple(found.values())


def _needs(config: Config) -> Iterator[Need]:
    yield METHOD_NEED
    for headers, reason, applies in _RULES:
        routes = tuple(route.name for route in config.routes if applies(route))
        if routes:
            yield from (Need(header, reason, routes) for header in headers)
    if config.headers.cors or any(route.cors is not None for route in config.routes):
        yield Need("origin", "CORS is decided by it")
        yield Need("access-control-request-method", "no preflight is known without it")


def certificate_routes(config: Config) -> tuple[str, ...]:
    """Return the routes for which Envoy must send the client's certificate."""
    return tuple(route.name for route in config.routes if route.reads_certificate)


def listed(names: tuple[str, ...]) -> str:
    """Return names for a message: a few, and how many more."""
    more = len(names) - _MAX_LISTED
    shown = ", ".join(names[:_MAX_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
