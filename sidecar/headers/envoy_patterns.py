"""The patterns with which Envoy's ``header_mutation`` removes headers and trailers.

Servers use other names for a header than the one that was sent: CGI (RFC 3875 §4.1.18), and PHP,
WSGI and Rack after it, map ``x-tenant-id`` to ``HTTP_X_TENANT_ID``, and ``x.tenant.id`` (PHP) or
``x~tenant~id`` (lighttpd) to the same. A list of exact names can't cover all of these; a pattern
can, and in Envoy it applies on routes without a Check and while the sidecar is down.

The patterns are RE2's and match the whole name; Envoy's names are lower-case already. A pattern
costs Envoy 25,000 instructions for a request with 20 headers, whatever its length: so there is
one.
"""

from collections.abc import Collection

from sidecar.config.overrides import OVERRIDES

FOLDED_NAMES = "[^:a-z0-9-].*|[^:].*[^a-z0-9-].*"
"""Every name with another byte than a letter, a digit or ``-``; ``:method`` and its like stay.

Whatever server folds a name to a trusted one, to one that is configured, to an override or
to a standard field folds such a byte. No registered field has one (RFC 9110 §5.1, §16.3).
"""
_NO_TRAILER = (
    "accept.*", "access-control-.*", "age", "authorization", "cache-control", "connection",
    "content-(?:disposition|encoding|language|length|location|range|type)", "cookie.*", "date",
    "expect", "host", "if-.*", "keep-alive", "max-forwards", "origin", "pragma", "prefer",
    "proxy-.*", "range", "referer", "sec-.*", "set-cookie.*", "te", "trailer",
    "transfer-encoding", "upgrade.*", "user-agent", "via", "x-envoy-.*", "x-forwarded-.*",
    "x-request-id", "x-septem-.*",
)  # fmt: skip
_NO_RESPONSE_TRAILER = (
    "access-control-.*", "cache-control", "clear-site-data", "connection",
    "content-security-policy.*",
    "content-(?:disposition|encoding|language|length|location|range|type)", "cross-origin-.*",
    "location", "origin-agent-cluster", "permissions-policy", "referrer-policy", "refresh",
    "reporting-endpoints", "server", "set-cookie.*", "strict-transport-security",
    "transfer-encoding", "www-authenticate", "x-aspnet.*", "x-content-type-options",
    "x-frame-options", "x-powered-by",
)  # fmt: skip
REQUEST_TRAILERS = "|".join(_NO_TRAILER)
"""Fields that mean nothing good in a trailer: framing, routing, credentials (RFC 9110 §6.5.1).

Some servers merge trailers into the header section; what was decided on is then another.
"""
RESPONSE_TRAILERS = "|".join(_NO_RESPONSE_TRAILER)
"""What of a response the edge decides or removes, where a trailer would say it again."""
UPGRADE_TOKENS = "upgrade|keep-alive"
UPGRADE_CONNECTION = (
    rf"(?i)[ \t,]*(?:{UPGRADE_TOKENS})(?:[ \t]*,[ \t,]*(?:{UPGRADE_TOKENS}))*[ \t,]*"
)
"""The ``connection`` of an upgrade that may pass: it takes no other header away behind us.

With an upgrade Envoy forwards the client's own, and the next proxy removes what it names
(RFC 9110 §7.6.1): ``x-tenant-id``, say.
"""

HOST_OF_TWO_READINGS = r".*\.|.*:[^\]]*"
"""An ``:authority`` that has a port or a dot at its end when Envoy has taken off one of each.

The sidecar decides on the host without them, and Envoy chooses the virtual host with them: on
``a.example..`` and ``a.example:1:1`` the one of ``a.example`` would be let in to another's.
"""


def request_names(kept: Collection[str] = ()) -> str:
    """Return the pattern of what is removed: names that fold, and the override headers.

    ``kept`` are the override headers that may pass (``keep_overrides``).
    """
    overrides = (each.name for each in OVERRIDES if each.name not in kept)
    return "|".join((FOLDED_NAMES, *overrides))
