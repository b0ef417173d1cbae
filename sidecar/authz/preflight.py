"""CORS preflights (Fetch §3.2.2): a browser asks whether a page may send a request.

A preflight has no credential, not even a client certificate, and announces a request: the
route is that request's, and nothing else of the preflight is checked.
"""

import re

from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.encoding import (
    MAX_SHARED,
    PERMISSION_DENIED,
    DenialKey,
    set_headers,
    set_metadata,
)
from sidecar.authz.routes import Route
from sidecar.common.canonical import canonical_host, canonical_path
from sidecar.pb import ext_authz_pb2 as pb

OPTIONS = b"OPTIONS"
_METHOD = re.compile(rb"[A-Z]{1,32}")
NO_CONTENT = 204


def match_preflight(view: RequestView, snapshot: Snapshot) -> tuple[str, str, Route] | None:
    """Return host, path and route of the request that a preflight announces.

    ``None`` for any other request, or where the route has no CORS policy: it is then evaluated
    as usual. Raises ``Denied`` for a host or path with more than one reading.
    """
    requested_method = view.headers.get("access-control-request-method", b"")
    if "origin" not in view.headers or not _METHOD.fullmatch(requested_method):
        return None
    host, path = canonical_host(view.host), canonical_path(view.path)
    route = snapshot.routes.find(requested_method.decode("ascii"), host, path)
    if route is None or not route.cors:
        return None
    return host, path, route


def encode_preflight(
    decision: Decision, snapshot: Snapshot, shared: dict[DenialKey, bytes]
) -> bytes:
    """Return the answer to an allowed preflight: to Envoy a denial, to the browser a 204.

    It is the same for every preflight of a route and an origin, and cached in ``shared``.
    """
    key = (decision.outcome, decision.route, snapshot.key_state, decision.origin, "")
    answer = shared.get(key)
    if answer is None:
        if len(shared) >= MAX_SHARED:
            shared.clear()
        answer = shared[key] = _encode(decision, snapshot)
    return answer


def _encode(decision: Decision, snapshot: Snapshot) -> bytes:
    response = pb.CheckResponse()
    response.status.code = PERMISSION_DENIED
    answered = response.denied_response
    answered.status.code = NO_CONTENT
    set_headers(answered.headers, snapshot.headers.on_denied())
    set_headers(answered.headers, snapshot.headers.on_preflight(decision.cors, decision.origin))
    set_metadata(response, decision, snapshot)
    return response.SerializeToString()
