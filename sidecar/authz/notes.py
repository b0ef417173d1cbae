"""Notes on a valid configuration, which ``sidecar config check`` prints. They are not errors."""

from collections.abc import Iterator, Sequence

from sidecar.authz.credential import AUTHORIZATION
from sidecar.authz.lenient import fold
from sidecar.authz.routes import ANY_HOST, Route, covers
from sidecar.config.envoy_needs import certificate_routes, listed, needed_headers
from sidecar.config.model import Config
from sidecar.config.problem import Problem


def notes(config: Config, routes: Sequence[Route]) -> Iterator[Problem]:
    """Yield a note for each requirement that Envoy or the application must meet.

    ``routes`` are those of the configuration, compiled.
    """
    yield from _similar_paths(routes)
    yield from _required_headers(config)


def _required_headers(config: Config) -> Iterator[Problem]:
    """Yield a note for each header that Envoy must send for some routes alone."""
    together: dict[tuple[str, str], list[str]] = {}
    for need in needed_headers(config):
        if need.routes and need.header != AUTHORIZATION:
            together.setdefault((need.reason, need.listed), []).append(need.header)
    for (reason, whose), headers in together.items():
        patterns = ", ".join(f"{{exact: {header}}}" for header in headers)
        yield Problem(
            ("routes",),
            f"{whose}: {reason}. Envoy must send it ({patterns} in ext_authz's allowed_headers, "
            "as in envoy/edge.yaml)",
        )
    if names := certificate_routes(config):
        yield Problem(
            ("routes",),
            f"{listed(names)} ask for a client certificate: Envoy must send it "
            "(include_peer_certificate: true in ext_authz, as in envoy/service-mtls.yaml)",
        )


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
