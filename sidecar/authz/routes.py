"""The route table: which route a request matches.

The first route of the configuration that matches method, host and canonical path decides. A
linear search would make the thousandth route cost a thousand comparisons and let a client
choose the worst case, so the routes are indexed by host pattern and by path, and the lowest
number among the candidates is taken: the same result, in time bounded by the depth of the
configuration and not by its length.

Matching is exact. Where a lenient server would read the path as one of a stricter route, or of
one that answers differently, the request is denied (``RouteTable.find``).
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from sidecar.authz.credential import HEADER_ONLY, TokenPlaces
from sidecar.authz.lenient import MAX_RESPELT, LenientIndex
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.limits.policy import RouteLimits
from sidecar.module_signing.install import ModuleMode

ANY_HOST = "*"
DPOP, CERTIFICATE = "dpop", "certificate"
"""What binds a token (``routes[].binding.by``)."""
UNMATCHED = "unmatched"
"""The route's name in metrics and audit lines for a request that no route matched."""


class Route(msgspec.Struct, frozen=True):
    """One rule. ``hosts`` are names, ``*.suffix`` (any depth below it) or ``*``.

    Exactly one of ``path`` (equal) and ``path_prefix`` (whole segments) is set. Empty
    ``methods`` match every method.
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
    """The CORS policy's name; empty for none."""
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
    """Names of client certificates; if there are any, a verified certificate is required."""
    shadow: bool = False
    """Evaluate and record, but let pass."""
    module: ModuleMode | None = None
    """The body is a module's bundle, and its signature is verified too."""
    end_streams_with_token: bool = False
    """Envoy ends the stream when its token expires."""
    places: TokenPlaces = HEADER_ONLY
    """``token_from`` and the other places that are searched; compiled by ``snapshot``."""
    keep_overrides: frozenset[str] = frozenset()
    """Request headers that override the method or the path and are not removed on this route."""
    limits: RouteLimits | None = None
    """What is counted; ``None`` where nothing is limited."""
    bound_by: frozenset[str] = frozenset()
    """How a bound token may be proved, of ``DPOP`` and ``CERTIFICATE``; none passes without."""
    binding_required: bool = False
    """Only bound tokens pass."""
    exact_paths: bool = False
    """The application distinguishes paths that lenient servers treat as equal."""


_AUTH_RANKS = {"none": 0, "optional": 1, "required": 2}
_MATCHERS = frozenset({"name", "hosts", "methods", "path", "path_prefix", "exact_paths"})
_REQUIREMENTS = frozenset(
    {
        "auth",
        "tenant",
        "roles",
        "scopes",
        "token_from",
        "bound_by",
        "binding_required",
        "places",
        "clients",
        "shadow",
        "module",
        "limits",
    }
)
_ANSWERS = tuple(frozenset(Route.__struct_fields__) - _MATCHERS - _REQUIREMENTS)
"""Every field that neither selects requests nor states a requirement."""


def covers(route: Route, other: Route) -> bool:
    """Return whether every request that passes ``route`` passes ``other`` with the same answer."""
    return all(
        getattr(route, field) == getattr(other, field) for field in _ANSWERS
    ) and at_least_as_strict(route, other)


def at_least_as_strict(route: Route, other: Route) -> bool:
    """Return whether every request that passes ``route`` passes ``other``."""
    return (
        (other.shadow or not route.shadow)
        and other.module in {None, route.module}
        and not (other.limits is not None and other.limits.has_own)
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
        and _covers_binding(route, other)
    )


def _covers_binding(route: Route, other: Route) -> bool:
    if other.auth == "none":
        return True
    return route.bound_by <= other.bound_by and route.binding_required >= other.binding_required


class _Bucket:
    """The routes of one host pattern, by path and by prefix, each with its position."""

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
    """The routes in the order of the configuration, indexed for look-up."""

    __slots__ = ("_buckets", "_lenient", "routes")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = listed = tuple(routes)
        self._buckets: dict[str, _Bucket] = {}
        for number, route in enumerate(listed):
            for host in route.hosts:
                self._buckets.setdefault(host, _Bucket()).add(number, route)
        self._lenient = LenientIndex(
            (route.path for route in listed if route.path is not None),
            (route.path_prefix.rstrip("/") for route in listed if route.path_prefix is not None),
        )

    def find(self, method: str, host: str, path: str) -> Route | None:
        """Return the first route that matches, unless a lenient server would match a stricter one.

        The path is matched again in every spelling of a route that a lenient server may read it
        as (``lenient``). Raises ``Denied(path_ambiguous)`` where that gives a route which
        requires more than the one that matches, or answers differently, unless one of the two
        declares that its application distinguishes such paths (``exact_paths``).
        """
        route = self.match(method, host, path)
        if route is None or route.exact_paths:
            return route
        for number, spelling in enumerate(self._lenient.respell(path)):
            if number == MAX_RESPELT:
                hint = f"the routes contain more than {number} spellings of this path"
                raise Denied(Reason.PATH_AMBIGUOUS, hint)
            other = self.match(method, host, spelling)
            if other is route or (other is not None and other.exact_paths):
                continue
            if other is None or not covers(route, other):
                raise Denied(Reason.PATH_AMBIGUOUS, _two_readings(route, other))
        return route

    def match(self, method: str, host: str, path: str) -> Route | None:
        """Return the first route that matches, or ``None``; the request is then denied."""
        best: Route | None = None
        lowest = -1
        for pattern in host_patterns(host):
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
    """Return the detail of a denial: how a lenient server may read the path."""
    reading = (
        "one that no route allows"
        if other is None
        else f"{other.path or other.path_prefix}, route {other.name!r}"
    )
    return (
        "a server that ignores case, a trailing slash or an extension may read the path as "
        f"{reading}; if the application does not, set path_reading: exact on route {route.name!r}"
    )


def host_patterns(host: str) -> Iterator[str]:
    """Yield every pattern that matches a host: itself, its wildcards from the longest, ``*``.

    Of a pattern ``*.suffix``, every pattern that matches all of its hosts.
    """
    yield host
    dot = host.find(".")
    while dot >= 0:
        yield "*" + host[dot:]
        dot = host.find(".", dot + 1)
    yield ANY_HOST
