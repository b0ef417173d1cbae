"""Which routes no request reaches, because routes before them take all of theirs.

The first route that matches decides. A stricter route behind a wider one is therefore without
effect: ``/api`` before ``/api/admin`` with roles leaves ``/api/admin`` to everybody whom ``/api``
lets in. The analysis is exact: a route's requests fall into classes by host pattern and method,
and a class is taken as a whole or not at all, for an infinite set of paths (or of hosts below a
wildcard) is in no finite union of smaller ones.
"""

from collections.abc import Iterator, Sequence

from sidecar.authz.routes import Route, at_least_as_strict, covers, host_patterns
from sidecar.config.problem import Problem

_ANY_METHOD = ""
_MAX_NAMED = 3


class _FirstTakers:
    """The first route for each (path, host pattern, method) among those that were added."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], dict[str, int]] = {}

    def add(self, number: int, route: Route) -> None:
        for host in route.hosts:
            first = self._first.setdefault((_spelling(route), host), {})
            for method in route.methods or {_ANY_METHOD}:
                first.setdefault(method, number)

    def find(self, route: Route, host: str, method: str) -> int | None:
        """Return the first route that takes all requests of a class, if one does."""
        numbers = [
            first[each]
            for spelling in _wider_paths(route)
            for pattern in host_patterns(host)
            if (first := self._first.get((spelling, pattern))) is not None
            for each in {method, _ANY_METHOD} & first.keys()
        ]
        return min(numbers, default=None)


def warnings_of_routes(routes: Sequence[Route]) -> Iterator[Problem]:
    """Yield a warning for each route that is without effect, wholly or where it is stricter."""
    every = frozenset().union(*(route.methods for route in routes)) | {_ANY_METHOD}
    takers = _FirstTakers()
    for index, route in enumerate(routes):
        takers.add(index, route)
        found = {
            (method, takers.find(route, host, method))
            for host in route.hosts
            for method in sorted(route.methods or every)
        }
        numbers = {number for _, number in found if number is not None and number < index}
        if not numbers:
            continue
        by = [routes[number] for number in sorted(numbers)]
        if all(number is not None and number < index for _, number in found):
            yield Problem(("routes", index), _unreachable(route, by))
            continue
        for number in sorted(numbers):
            if _is_wider_and_weaker(routes[number], route):
                methods = sorted(method for method, taker in found if taker == number and method)
                yield Problem(("routes", index), _partly(routes[number], route, methods))


def _unreachable(route: Route, by: Sequence[Route]) -> str:
    start = f"no request reaches {route.name!r}: all of its requests are decided by {_named(by)}"
    weaker = [each for each in by if not at_least_as_strict(each, route)]
    if weaker:
        asks = "ask" if len(weaker) > 1 else "asks"
        return (
            f"{start} before it, and {_named(weaker)} {asks} for less, so what {route.name!r} "
            f"requires has no effect: write {route.name!r} before {by[0].name!r}"
        )
    if all(covers(each, route) for each in by):
        return f"{start} before it, which requires and answers the same: remove {route.name!r}"
    return f"{start} before it: write {route.name!r} before {by[0].name!r}, or remove it"


def _named(routes: Sequence[Route]) -> str:
    names = ", ".join(repr(each.name) for each in routes[:_MAX_NAMED])
    more = f" and {len(routes) - _MAX_NAMED} more" if len(routes) > _MAX_NAMED else ""
    return f"route{'s' if len(routes) > 1 else ''} {names}{more}"


def _partly(taker: Route, route: Route, methods: Sequence[str]) -> str:
    which = f"{', '.join(methods)} requests" if methods else "requests of some hosts"
    return (
        f"{which} of {route.name!r} are decided by route {taker.name!r} before it, which asks for "
        f"less: write {route.name!r} before {taker.name!r}"
    )


def _is_wider_and_weaker(taker: Route, route: Route) -> bool:
    return _spelling(taker) != _spelling(route) and not at_least_as_strict(taker, route)


def _spelling(route: Route) -> str:
    """Return what tells a route's paths: a path with ``=`` before it, or a prefix."""
    return f"={route.path}" if route.path is not None else (route.path_prefix or "").rstrip("/")


def _wider_paths(route: Route) -> Iterator[str]:
    """Yield the spelling of every path and prefix that matches all paths of a route."""
    if route.path is not None:
        yield f"={route.path}"
    path = route.path if route.path is not None else (route.path_prefix or "").rstrip("/")
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""
