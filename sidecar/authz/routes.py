"""Which rule a request falls under.

The first route of the configuration that matches method, host and canonical path
decides. A linear walk would make the thousandth route cost a thousand comparisons and
let a client choose the worst case, so the routes are filed by host pattern and by path,
and the lowest number among the few that can match is taken: the same answer, in time
bounded by the depth of the configuration and not by its length.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from sidecar.authz.modules import ModuleMode

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

    __slots__ = ("_buckets",)

    def __init__(self, routes: Iterable[Route]) -> None:
        self._buckets: dict[str, _Bucket] = {}
        for number, route in enumerate(routes):
            for host in route.hosts:
                self._buckets.setdefault(host, _Bucket()).add(number, route)

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


def _patterns(host: str) -> Iterator[str]:
    """Every pattern that matches a host: itself, its wildcards from the longest, ``*``."""
    yield host
    dot = host.find(".")
    while dot >= 0:
        yield "*" + host[dot:]
        dot = host.find(".", dot + 1)
    yield ANY_HOST
