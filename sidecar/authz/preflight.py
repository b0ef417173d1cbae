"""CORS preflights (Fetch §3.2.2): a browser asks whether a page may send a request.

A preflight has no credential, not even a client certificate, and announces a request: the
route is that request's, and nothing else of the preflight is checked.
"""

from sidecar.authz.decision import RequestView, Snapshot
from sidecar.authz.method import is_method
from sidecar.authz.routes import Route
from sidecar.common.canonical import canonical_host, canonical_path

NO_CONTENT = 204


def match_preflight(view: RequestView, snapshot: Snapshot) -> tuple[str, str, Route] | None:
    """Return host, path and route of the request that a preflight announces.

    ``None`` for any other request, or where the route has no CORS policy: it is then evaluated
    as usual. Raises ``Denied`` for a host or path with more than one reading.
    """
    requested_method = view.headers.get("access-control-request-method", b"")
    if "origin" not in view.headers or not is_method(requested_method):
        return None
    host, path = canonical_host(view.host), canonical_path(view.path)
    route = snapshot.routes.find(requested_method.decode("ascii"), host, path)
    if route is None or not route.cors:
        return None
    return host, path, route
