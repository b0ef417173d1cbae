"""What the stateful test draws from: tokens, routes, and requests, with what is true of each.

``expected`` is a second opinion. It decides from what the test knows (who signed, when, for
whom) and shares no line with ``sidecar.authz``.
"""

from dataclasses import dataclass
from typing import Any

from envoy_data_plane.envoy.service.auth.v3 import CheckRequest

from sidecar.authz.snapshot import build_snapshot
from sidecar.cli.client_certificates import forwarded_certificate
from sidecar.config import model, parse_config
from sidecar.tokens.keyring import KeyRing
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG
from tests.support.minting import NOW, TENANT, Issuer

OTHER_TENANT = "0f0f0f0f-0000-4000-8000-000000000000"
SHOP = "shop.acme.example"
"""The domain of ``TENANT``."""
APP = "app.example"
LEEWAY = 30
CONFIGURED = parse_config(
    CONFIG.replace(
        "tenants:\n",
        """\
  cors:
    pages: {origins: ["https://page.example"], credentials: true}
    anybody: {origins: ["*"]}
    tenants: {origins: ["https://{tenant_domain}"]}
modules: {max_bundle_bytes: 1024, owner_roles: [owner]}
tenants:
""",
    ),
    "the stateful test",
)


@dataclass(frozen=True)
class Facts:
    """What is true of a token, whichever verifier reads it."""

    raw: bytes
    signed_by: Issuer | None
    tenant: str = TENANT
    subject: str = "user-42"
    token_id: str = "tok-1"
    roles: tuple[str, ...] = ("admin",)
    scopes: tuple[str, ...] = ("read",)
    issued_at: float = NOW - 10
    starts_at: float = NOW - 10
    ends_at: float = NOW + 600


def _token(signed_by: Issuer, *, true_key: Issuer | None, extra: Any = None, **facts: Any) -> Facts:
    known = Facts(b"", true_key, **facts)
    raw = signed_by.mint(
        sub=known.subject,
        jti=known.token_id,
        tenantId=known.tenant,
        roles=list(known.roles) or None,
        scope=" ".join(known.scopes) or None,
        iat=known.issued_at,
        nbf=known.starts_at,
        exp=known.ends_at,
        **(extra or {}),
    )
    return Facts(raw, true_key, **facts)


ONE, TWO = Issuer.generate("key-1"), Issuer.generate("key-2")
IMPOSTOR = Issuer.generate("key-1")
"""Another key under the first one's kid."""
TOKENS = (
    _token(ONE, true_key=ONE),
    _token(ONE, true_key=ONE, token_id="tok-2", subject="user-43"),
    _token(ONE, true_key=ONE, token_id="tok-3", subject="someone-else", roles=()),
    _token(ONE, true_key=ONE, token_id="tok-4", tenant=OTHER_TENANT),
    _token(ONE, true_key=ONE, token_id="tok-5", ends_at=NOW + 60),
    _token(ONE, true_key=ONE, token_id="tok-6", issued_at=NOW + 20, starts_at=NOW + 40),
    _token(ONE, true_key=ONE, token_id="tok-7", scopes=()),
    _token(ONE, true_key=ONE, token_id="tok-8", roles=("owner", "admin")),
    # Personal data by the look of a value: let pass, with a warning.
    _token(ONE, true_key=ONE, token_id="tok-9", extra={"note": "a@b.example"}),
    _token(TWO, true_key=TWO, token_id="tok-a"),
    _token(IMPOSTOR, true_key=IMPOSTOR, token_id="tok-b"),
)
RUBBISH = Facts(b"rubbish", None)
RINGS = {
    "both": KeyRing([ONE.key, TWO.key]),
    "both, read again": KeyRing([Issuer(ONE.private).key, TWO.key]),
    "the first": ONE.ring,
    "the second": TWO.ring,
    "another key by the first one's kid": KeyRing([IMPOSTOR.key, TWO.key]),
    "none": KeyRing(),
}
IN_RING = {
    "both": (ONE, TWO),
    "both, read again": (ONE, TWO),
    "the first": (ONE,),
    "the second": (TWO,),
    "another key by the first one's kid": (IMPOSTOR, TWO),
    "none": (),
}
CERTIFICATES = {
    name: forwarded_certificate(name, NOW)
    for name in (
        "spiffe://example/web", "spiffe://example/other", "spiffe://elsewhere/web", "db.example",
    )
}  # fmt: skip
SNAPSHOT = build_snapshot(CONFIGURED, RINGS["both"])


@dataclass(frozen=True)
class Ask:
    """One request, as Envoy would tell of it."""

    path: str = "/a/x"
    method: str = "GET"
    host: str = APP
    token: Facts | None = None
    place: str = "header"
    principal: str = ""
    certificate: str = ""
    origin: str = ""
    preflight: bool = False
    raw_headers: bool = False
    body: bytes = b""

    def encoded(self) -> bytes:
        """Return the ``CheckRequest``."""
        headers: dict[str, str] = {}
        if self.token is not None:
            raw = self.token.raw.decode()
            headers |= {
                "header": {"authorization": f"Bearer {raw}"},
                "other scheme": {"authorization": f"bearer  {raw}"},
                "another scheme": {"authorization": f"Digest {raw}"},
                "cookie:session": {"cookie": f"a=b; session={raw}"},
                "two places": {"authorization": f"Bearer {raw}", "cookie": f"session={raw}"},
                "websocket": {"sec-websocket-protocol": f"chat, bearer.{raw}"},
                "beside cookies": {"authorization": f"Bearer {raw}", "cookie": "a=b"},
                "beside a session": {"authorization": f"Bearer {raw}", "cookie": "session =F; a=b"},
                "beside a protocol": {
                    "authorization": f"Bearer {raw}",
                    "sec-websocket-protocol": "chat",
                },
            }[self.place]
        if self.origin:
            headers["origin"] = self.origin
        if self.preflight:
            headers["access-control-request-method"] = "GET"
        listed = [(name, value.encode()) for name, value in headers.items()]
        request = CheckRequest.parse(
            check_request(
                self.method,
                self.path,
                self.host,
                headers,
                raw_headers=listed if self.raw_headers else None,
            )
        )
        attributes = request.attributes
        assert attributes is not None
        assert attributes.source is not None
        assert attributes.request is not None
        assert attributes.request.http is not None
        attributes.source.principal = self.principal
        attributes.source.certificate = self.certificate
        attributes.request.http.raw_body = self.body
        return bytes(request)


@dataclass(frozen=True)
class Conditions:
    """All that an answer depends on beside the request."""

    routes: tuple[model.RouteSettings, ...] = ()
    ring: str = "both"
    now: float = NOW
    degraded: bool = False
    refuses: bool = False
    """Whether degraded keys verify nothing."""
    revoked_tokens: frozenset[str] = frozenset()
    subjects_before: tuple[tuple[str, float], ...] = ()
    tenants_before: tuple[tuple[str, float], ...] = ()

    def route_of(self, ask: Ask) -> model.RouteSettings | None:
        """Find the route: every one of this test has a prefix, and they don't overlap."""
        path = ask.path.partition("?")[0]
        for route in self.routes:
            prefix = (route.path_prefix or "").rstrip("/")
            under = path == prefix or path.startswith(f"{prefix}/")
            if under and (not route.methods or ask.method in route.methods):
                return route
        return None


@dataclass(frozen=True)
class Expected:
    """The outcome, the shadowed reason, and whose token the application is told of."""

    outcome: str
    shadowed: str = ""
    token: Facts | None = None


def expected(ask: Ask, conditions: Conditions) -> Expected | None:
    """Say what must come of it; ``None`` where this second opinion has none.

    It has none of preflights, of bundles, and of a credential where the route does not look.
    """
    if ask.preflight and ask.origin:
        return None
    route = conditions.route_of(ask)
    if route is None:
        return Expected("route_unknown")
    place = ask.place.replace("other scheme", "header")
    if route.module is not None or (ask.token is not None and place not in route.token_from):
        return None
    refusal = _client_refusal(ask, route) or _credential_refusal(ask, route, conditions)
    if refusal is not None:
        return Expected("shadow", shadowed=refusal) if route.shadow else Expected(refusal)
    if route.auth == "none":
        return Expected("client_verified" if route.clients else "public")
    return Expected("anonymous" if ask.token is None else "token_verified", token=ask.token)


def _credential_refusal(ask: Ask, route: model.RouteSettings, conditions: Conditions) -> str | None:
    token = ask.token
    if route.auth == "none" or (route.auth == "optional" and token is None):
        return None
    if token is None:
        return "token_missing"
    return (
        _ring_refusal(token, conditions)
        or _time_refusal(token, conditions)
        or _grant_refusal(token, route, ask.host)
    )


def _client_refusal(ask: Ask, route: model.RouteSettings) -> str | None:
    if not route.clients:
        return None
    if not ask.certificate:
        return "client_certificate_missing"
    (name,) = (name for name, each in CERTIFICATES.items() if each == ask.certificate)
    prefixes = [each[:-1] for each in route.clients if each.endswith("*")]
    known = name in route.clients or any(name.startswith(prefix) for prefix in prefixes)
    return None if known else "client_not_allowed"


def _ring_refusal(token: Facts, conditions: Conditions) -> str | None:
    ring = IN_RING[conditions.ring]
    if not ring:
        return "keys_unavailable"
    if conditions.refuses and conditions.degraded:
        return "keys_degraded"
    if token.signed_by is None:
        return "token_malformed"
    if token.signed_by not in ring:
        same_kid = any(key.kid == token.signed_by.kid for key in ring)
        return "signature_invalid" if same_kid else "key_unknown"
    return None


def _time_refusal(token: Facts, conditions: Conditions) -> str | None:
    now = conditions.now
    if now >= token.ends_at + LEEWAY:
        return "token_expired"
    if now < token.starts_at - LEEWAY:
        return "token_not_yet_valid"
    if now < token.issued_at - LEEWAY:
        return "token_issued_in_future"
    before = max(
        dict(conditions.subjects_before).get(token.subject, 0.0),
        dict(conditions.tenants_before).get(token.tenant, 0.0),
    )
    revoked = token.token_id in conditions.revoked_tokens or token.issued_at < before
    return "token_revoked" if revoked else None


def _grant_refusal(token: Facts, route: model.RouteSettings, host: str) -> str | None:
    if route.tenant not in {None, token.tenant} or (host == SHOP and token.tenant != TENANT):
        return "tenant_mismatch"
    if route.roles and not set(route.roles) & set(token.roles):
        return "role_missing"
    if not set(route.scopes) <= set(token.scopes):
        return "scope_missing"
    return None
