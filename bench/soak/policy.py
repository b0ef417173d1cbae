"""The routes of the soak, as the model reads them and as the sidecar's file says them. Pure.

A file that a disturbance writes differs from the one before in the routes ``swing`` and ``late``
and in one security header: stricter, looser, or gone. The model keeps which of them may decide.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

TENANTS = ("7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11", "a2b4c6d8-1357-4246-8acf-9bdf13579ace")
INSTALL = "/api/v1/modules/install"
LIMIT = 8
"""Requests of one token on the limited route, in an hour."""
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The policy of what the sidecar or Envoy answers itself (docs/headers.md)."""
POLICIES: Mapping[str, Mapping[str, list[str]]] = {
    "narrow": {
        "default-src": ["'none'"], "object-src": ["'none'"], "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
    "wide": {
        "default-src": ["'self'"], "object-src": ["'none'"], "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
    "page": {
        "default-src": ["'self'"], "script-src": ["'self'", "'nonce-{nonce}'"],
        "object-src": ["'none'"], "base-uri": ["'none'"], "frame-ancestors": ["'none'"],
    },
}  # fmt: skip
REFERRERS = ("strict-origin-when-cross-origin", "no-referrer")


class Route(NamedTuple):
    """A route: what it asks of whom it matches."""

    name: str
    prefix: str
    auth: str = "required"
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tenant: str = ""
    csp: str = "narrow"
    install: bool = False
    limited: bool = False
    nonce: bool = False

    def matches(self, path: str) -> bool:
        """Tell whether a path is this route's."""
        return path == self.prefix or path.startswith(self.prefix + "/")

    def as_settings(self) -> dict[str, Any]:
        """Return the route as the sidecar's file says it."""
        found: dict[str, Any] = {"name": self.name, "path_prefix": self.prefix, "auth": self.auth}
        found["csp"] = self.csp
        for name in ("roles", "scopes"):
            if getattr(self, name):
                found[name] = list(getattr(self, name))
        if self.tenant:
            found["tenant"] = self.tenant
        if self.install:
            found |= {"module": "signed", "methods": ["POST"]}
        if self.limited:
            found["limits"] = {"token": {"requests": LIMIT, "per_seconds": 3600}}
        if self.nonce:
            found["nonce"] = "no-store"
        return found


class Policy(NamedTuple):
    """What one file decides by."""

    swing: int = 1
    late: bool = False
    referrer: str = REFERRERS[0]

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes, in order: the first that matches decides."""
        late = (Route("late", "/late", csp="wide"),) if self.late else ()
        return (SWINGS[self.swing], *late, *_FIXED)

    def route_of(self, path: str) -> Route | None:
        """Return the route that decides."""
        return next((each for each in self.routes if each.matches(path)), None)


SWINGS = (
    Route("swing", "/swing", auth="none"),
    Route("swing", "/swing"),
    Route("swing", "/swing", roles=("admin",)),
    Route("swing", "/swing", roles=("nobody",)),
    Route("swing", "/swing", scopes=("orders.read",), csp="wide"),
    Route("swing", "/swing", tenant=TENANTS[0]),
    Route("swing", "/swing", auth="optional", csp="wide"),
)
_FIXED = (
    Route("assets", "/assets", auth="none", csp="wide"),
    Route("open", "/open", auth="optional", csp="wide"),
    Route("page", "/page", auth="optional", csp="page", nonce=True),
    Route("stream", "/stream"),
    Route("socket", "/socket"),
    Route("calls", "/septem.Soak"),
    Route("install", INSTALL, install=True),
    Route("admin", "/api/admin", roles=("admin",)),
    Route("scoped", "/api/scoped", scopes=("orders.read",)),
    Route("acme", "/api/acme", tenant=TENANTS[0]),
    Route("limited", "/api/limited", limited=True),
    Route("api", "/api"),
)


def changed(policy: Policy, number: int, strength: float) -> Policy:
    """Return what the next file says: always something else than this one."""
    swing = (policy.swing + 1 + int(strength * (len(SWINGS) - 1))) % len(SWINGS)
    return Policy(swing, number % 2 == 0, REFERRERS[int(strength * 1000) % 2])


def policy_text(csp: str, nonce: str) -> str:
    """Return a profile's policy as a response carries it."""
    text = "; ".join(f"{name} {' '.join(values)}" for name, values in POLICIES[csp].items())
    return text.replace("{nonce}", nonce)
