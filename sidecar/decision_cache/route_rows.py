"""The route table as the module gets it: every route, in the order of the configuration. Pure.

The module looks for the first row that matches, as ``authz.routes`` does. So a route of which
nothing can be repeated stands there too, to be asked for: without it a later route would match.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sidecar.authz.lenient import fold
from sidecar.authz.response_cache import RouteScope
from sidecar.authz.routes import ANY_HOST, Route
from sidecar.decision_cache.protocol import (
    ALL_METHODS,
    MAX_ROWS,
    METHODS,
    POOL_BYTES,
    ROW,
    HostKind,
    PathKind,
    RowFlag,
)


class EncodedTable(NamedTuple):
    """The rows and the pool of their texts, as they stand in memory."""

    rows: bytes = b""
    pool: bytes = b""


EMPTY_TABLE = EncodedTable()
"""Nothing is repeated."""


class _TextPool:
    """The texts of a table, each of them once."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self._offsets: dict[bytes, int] = {}

    def add(self, text: str) -> tuple[int, int]:
        """Return offset and length of a text."""
        raw = text.encode("ascii")
        offset = self._offsets.get(raw)
        if offset is None:
            offset = self._offsets[raw] = len(self.bytes)
            self.bytes += raw
        return offset, len(raw)


def repeats(route: Route) -> bool:
    """Return whether answers of a route are ever repeated.

    Its answer must depend on nothing but the target and one ``Authorization`` header: no nonce,
    no client certificate, no token elsewhere, no shadow mode, no bundle, no end of the stream.
    A route that reads no token has nothing that an answer could be remembered by. Credit counts
    by tenant: where another limit counts a request too, or answers say what remains, each asks.
    """
    if route.limits is not None and not route.limits.only_tenant:
        return False
    return RouteScope(route).plain and not route.nonce and route.auth != "none"


def scopes_of(routes: Iterable[Route]) -> dict[str, int]:
    """Return the number of each route that is repeated, by its name. 0 is nobody's."""
    return {route.name: number for number, route in enumerate(routes, 1) if repeats(route)}


def encode_table(routes: Sequence[Route]) -> EncodedTable | None:
    """Return the table of all routes; ``None`` if they don't fit."""
    scopes = scopes_of(routes)
    pool = _TextPool()
    rows: list[bytes] = []
    for route in routes:
        rows += _rows_of(route, scopes.get(route.name, 0), pool)
        if len(rows) > MAX_ROWS or len(pool.bytes) > POOL_BYTES:
            return None
    return EncodedTable(b"".join(rows), bytes(pool.bytes))


def _rows_of(route: Route, scope: int, pool: _TextPool) -> Iterator[bytes]:
    methods = _methods(route)
    if not methods:  # the module asks for every other method anyway
        return
    kind = PathKind.EXACT if route.path is not None else PathKind.PREFIX
    path = route.path if route.path is not None else (route.path_prefix or "").rstrip("/")
    path_offset, path_length = pool.add(path)
    fold_offset, fold_length = pool.add(fold(path))
    for host in route.hosts:
        host_kind, text = _host(host)
        host_offset, host_length = pool.add(text)
        yield ROW.pack(
            scope, _flags(route), methods, host_kind, kind, host_offset, host_length,
            path_length, path_offset, fold_offset, fold_length, 0,
        )  # fmt: skip


def _flags(route: Route) -> RowFlag:
    if not repeats(route):
        return RowFlag.ASK
    # The sidecar reads no body here, and of a query only what the module asks for anyway.
    flags = RowFlag.BODY_REPEATS | RowFlag.QUERY_REPEATS
    if route.reads_origin:
        flags |= RowFlag.ASK_ORIGIN
    if route.places.forms:  # some route reads tokens in cookies, so cookies are looked at here
        flags |= RowFlag.ASK_COOKIE
    return flags


def _methods(route: Route) -> int:
    if not route.methods:
        return ALL_METHODS
    return sum(METHODS.get(method, 0) for method in route.methods)


def _host(pattern: str) -> tuple[HostKind, str]:
    if pattern == ANY_HOST:
        return HostKind.ANY, ""
    if pattern.startswith("*."):
        return HostKind.SUFFIX, pattern[1:]
    return HostKind.EXACT, pattern
