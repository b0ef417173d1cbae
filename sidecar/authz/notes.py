"""Notes on a valid configuration, which ``sidecar config check`` prints. They are not errors."""

from collections.abc import Iterator, Sequence

from sidecar.authz.credential import COOKIE, PROTOCOLS
from sidecar.authz.lenient import fold
from sidecar.authz.routes import ANY_HOST, CERTIFICATE, DPOP, Route, covers
from sidecar.config.problem import Problem

_MAX_LISTED = 5


def notes(routes: Sequence[Route]) -> Iterator[Problem]:
    """Yield a note for each requirement that Envoy or the application must meet."""
    yield from _similar_paths(routes)
    yield from _required_headers(routes)


def _required_headers(routes: Sequence[Route]) -> Iterator[Problem]:
    """Yield a note for each header that Envoy must send so that routes see their tokens."""
    routes_by_header = {
        COOKIE: [route.name for route in routes if route.places.cookies],
        PROTOCOLS: [route.name for route in routes if route.places.websocket],
    }
    for header, names in routes_by_header.items():
        if names:
            yield Problem(
                ("routes",),
                f"{_listed(names)} read tokens from {header}: Envoy must send it "
                f"({{exact: {header}}} in ext_authz's allowed_headers, as in envoy/edge.yaml); "
                "where it is not sent, it is removed from the request",
            )
    proved = {
        DPOP: "DPoP: Envoy must send the proof ({exact: dpop} in ext_authz's allowed_headers, as "
        "in envoy/edge.yaml), and the sidecar removes it from the request",
        CERTIFICATE: "a client certificate: Envoy must send it (include_peer_certificate: true in "
        "ext_authz, as in envoy/service-mtls.yaml)",
    }
    for method, words in proved.items():
        names = [route.name for route in routes if method in route.bound_by]
        if names:
            yield Problem(("routes",), f"{_listed(names)} take tokens bound by {words}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    shown = ", ".join(names[:_MAX_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown


def _similar_paths(routes: Sequence[Route]) -> Iterator[Problem]:
    """Yield a note for routes whose paths lenient servers equate but which decide differently."""
    known: dict[str, dict[str, list[Route]]] = {}
    for index, route in enumerate(routes):
        if route.exact_paths:
            continue
        spelling = _spelling(route)
        alike = known.setdefault(fold(spelling), {})
        others = (each for at, listed in alike.items() if at != spelling for each in listed)
        clash = next((other for other in others if _clash(route, other)), None)
        if clash is not None:
            yield Problem(
                ("routes", index),
                f"differs from the path of route {clash.name!r} only in what lenient servers "
                "ignore, and decides differently: requests for the weaker of the two are denied "
                "(path_ambiguous) unless path_reading is exact",
            )
        alike.setdefault(spelling, []).append(route)


def _clash(route: Route, other: Route) -> bool:
    return _share_a_host(route, other) and not (covers(route, other) and covers(other, route))


def _spelling(route: Route) -> str:
    """Return a route's path; a prefix matches its own path with and without a slash."""
    return route.path or (route.path_prefix or "").rstrip("/")


def _share_a_host(route: Route, other: Route) -> bool:
    """Return whether both may match one host; a wildcard is assumed to match any host."""
    return any(
        one == two or ANY_HOST in {one, two} or "*" in one + two
        for one in route.hosts
        for two in other.hosts
    )
