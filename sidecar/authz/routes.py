"""Which rule a request falls under.

The first route of the configuration that matches method, host and canonical path
decides. A linear walk would make the thousandth route cost a thousand comparisons and
let a client choose the worst case, so the routes are filed by host pattern and by path,
and the lowest number among the few that can match is taken: the same answer, in time
bounded by the depth of the configuration and not by its length.

Matching is exact. Where a lenient server would take the path for one of a route that asks
for more, or answers otherwise, the request is refused (``RouteTable.find``).
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from sidecar.authz.credential import HEADER_ONLY, TokenPlaces
from sidecar.authz.lenient import MAX_RESPELT, LenientIndex
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.install import ModuleMode

ANY_HOST = "*"
UNMATCHED = "unmatched"
"""What stands in metrics and audit lines for a request that no route matched."""


class Route(msgspec.Struct, frozen=True):
    """One rule. ``hosts`` are names, ``*.suffix`` (any depth below it) or ``*``.

    Exactly one of ``path`` (equal) and ``path_prefix`` (whole segments) is set. No
    ``methods`` are all methods.
    """

    name: str
    auth: Literal["required", "optional", "none"]
    hosts: tuple[str, ...] = (ANY_HOST,)
    methods: frozenset[str] = frozenset()
    path: str | None = None
    path_prefix: str | None = None
    csp: str = "shell"
    nonce: bool = False
    """Each response has its own nonce."""
    cors: str = ""
    """The policy of what pages of other origins may read; empty for none."""
    reads_origin: bool = False
    """Whether an answer depends on the page's origin."""
    tenant: str | None = None
    """The only tenant whose tokens pass."""
    roles: frozenset[str] = frozenset()
    """One of these must be in the token."""
    scopes: frozenset[str] = frozenset()
    """All of these must be in the token."""
    token_from: tuple[str, ...] = ("header",)
    clients: tuple[str, ...] = ()
    """Names of client certificates; with any, a verified one is required."""
    shadow: bool = False
    """Evaluate and record, but let pass."""
    module: ModuleMode | None = None
    """The body is a module's bundle, and is judged too."""
    end_streams_with_token: bool = False
    """Envoy is told to end the stream when its token ends."""
    places: TokenPlaces = HEADER_ONLY
    """``token_from``, and what else is looked at; compiled by ``policy``."""
    keep_overrides: frozenset[str] = frozenset()
    """What its requests keep of the headers by which applications are told another request."""
    exact_paths: bool = False
    """Its application tells paths apart that lenient servers read alike."""


_AUTH_RANKS = {"none": 0, "optional": 1, "required": 2}
_SELECTS = frozenset({"name", "hosts", "methods", "path", "path_prefix", "exact_paths"})
_ASKS = frozenset(
    {"auth", "tenant", "roles", "scopes", "token_from", "places", "clients", "shadow", "module"}
)
_ANSWERS = tuple(frozenset(Route.__struct_fields__) - _SELECTS - _ASKS)
"""Every field that is neither which requests a route is for nor what it asks of them."""


def covers(route: Route, other: Route) -> bool:
    """Tell whether whatever passes ``route`` would pass ``other``, and be answered alike."""
    return (
        all(getattr(route, field) == getattr(other, field) for field in _ANSWERS)
        and (other.shadow or not route.shadow)
        and other.module in {None, route.module}
        and _covers_client(route, other)
        and _covers_token(route, other)
    )


def _covers_client(route: Route, other: Route) -> bool:
    if not other.clients:
        return True
    return bool(route.clients) and set(route.clients) <= set(other.clients)


def _covers_token(route: Route, other: Route) -> bool:
    if _AUTH_RANKS[route.auth] < _AUTH_RANKS[other.auth]:
        return False
    return (
        other.tenant in {None, route.tenant}
        and (not other.roles or (bool(route.roles) and route.roles <= other.roles))
        and route.scopes >= other.scopes
        and (other.auth == "none" or set(route.token_from) <= set(other.token_from))
    )


class _Bucket:
    """The routes of one host pattern, by path and by prefix, each with its number."""

    __slots__ = ("deepest", "paths", "prefixes")

    def __init__(self) -> None:
        self.paths: dict[str, list[tuple[int, Route]]] = {}
        self.prefixes: dict[str, list[tuple[int, Route]]] = {}
        self.deepest = 0

    def add(self, number: int, route: Route) -> None:
        if route.path is not None:
            self.paths.setdefault(route.path, []).append((number, route))
        elif route.path_prefix is not None:
            prefix = route.path_prefix.rstrip("/")
            self.prefixes.setdefault(prefix, []).append((number, route))
            self.deepest = max(self.deepest, prefix.count("/"))

    def candidates(self, path: str) -> Iterator[tuple[int, Route]]:
        yield from self.paths.get(path, ())
        end = 0
        for _ in range(self.deepest + 1):
            yield from self.prefixes.get(path[:end], ())
            if end == len(path):
                break
            end = path.find("/", end + 1)
            if end < 0:
                end = len(path)


class RouteTable:
    """The routes in the order of the configuration, filed for look-up."""

    __slots__ = ("_buckets", "_lenient")

    def __init__(self, routes: Iterable[Route]) -> None:
        listed = tuple(routes)
        self._buckets: dict[str, _Bucket] = {}
        for number, route in enumerate(listed):
            for host in route.hosts:
                self._buckets.setdefault(host, _Bucket()).add(number, route)
        self._lenient = LenientIndex(
            (route.path for route in listed if route.path is not None),
            (route.path_prefix.rstrip("/") for route in listed if route.path_prefix is not None),
        )

    def find(self, method: str, host: str, path: str) -> Route | None:
        """Return the first route that matches, if lenient servers would come to no stricter one.

        The path is asked again as each route spells it that a lenient server may take it for
        (``lenient``). Raises ``Denied(path_ambiguous)`` where that comes to a route which
        asks for more than the one that matches, or answers otherwise; unless one of the two
        says that its application tells such paths apart (``exact_paths``).
        """
        route = self.match(method, host, path)
        if route is None or route.exact_paths:
            return route
        for number, spelling in enumerate(self._lenient.respell(path)):
            if number == MAX_RESPELT:
                hint = f"more than {number} spellings of it are in the routes"
                raise Denied(Reason.PATH_AMBIGUOUS, hint)
            other = self.match(method, host, spelling)
            if other is route or (other is not None and other.exact_paths):
                continue
            if other is None or not covers(route, other):
                raise Denied(Reason.PATH_AMBIGUOUS, _two_readings(route, other))
        return route

    def match(self, method: str, host: str, path: str) -> Route | None:
        """Return the first route that matches, or ``None``: then the request is denied."""
        best: Route | None = None
        lowest = -1
        for pattern in _patterns(host):
            bucket = self._buckets.get(pattern)
            if bucket is None:
                continue
            for number, route in bucket.candidates(path):
                if route.methods and method not in route.methods:
                    continue
                if best is None or number < lowest:
                    best, lowest = route, number
        return best


def _two_readings(route: Route, other: Route | None) -> str:
    """Return the detail of a refusal: what a lenient server may take the path for."""
    taken = (
        "one that no route allows"
        if other is None
        else f"{other.path or other.path_prefix}, route {other.name!r}"
    )
    return (
        f"a server that ignores case, a slash at the end or an extension may take it for {taken}; "
        f"where the application does not, say path_reading: exact on route {route.name!r}"
    )


def _patterns(host: str) -> Iterator[str]:
    """Every pattern that matches a host: itself, its wildcards from the longest, ``*``."""
    yield host
    dot = host.find(".")
    while dot >= 0:
        yield "*" + host[dot:]
        dot = host.find(".", dot + 1)
    yield ANY_HOST
