"""Preflights: a browser asks whether a page may ask (Fetch §3.2.2). They are answered here.

A preflight brings no credential, not even a client's certificate, and speaks of a request
that is still to come: so the route is that request's, and nothing else of it is checked.
"""

import re

from sidecar.authz.decision import RequestView, Snapshot
from sidecar.authz.routes import Route
from sidecar.common.canonical import canonical_host, canonical_path

OPTIONS = b"OPTIONS"
_METHOD = re.compile(rb"[A-Z]{1,32}")
NO_CONTENT = 204


def match_preflight(view: RequestView, snapshot: Snapshot) -> tuple[str, str, Route] | None:
    """Return host, path and route of the request that a preflight announces.

    ``None`` for what is no preflight, or where the route has no CORS policy: it is then a
    request like any other. Raises ``Denied`` for a host or path with more than one reading.
    """
    wanted = view.headers.get("access-control-request-method", b"")
    if "origin" not in view.headers or not _METHOD.fullmatch(wanted):
        return None
    host, path = canonical_host(view.host), canonical_path(view.path)
    route = snapshot.routes.find(wanted.decode("ascii"), host, path)
    if route is None or not route.cors:
        return None
    return host, path, route
