"""Traffic of every kind, a policy, and what changes of it: to predict, and then to try.

The requests are answered by a real ``CheckService`` under each configuration; its own audit
lines are what is replayed, and what the prediction is compared with.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.authz.decision_ids import DecisionIds
from sidecar.authz.recorder import DecisionRecorder
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.cli.token_evaluator import admitted
from sidecar.config import model, parse_config
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import compile_limits
from sidecar.observability.audit import AuditLog, FileSink
from sidecar.observability.counters import Counters
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.proofs import own_guard
from sidecar.tokens.revocation import RevocationEntry, Revocations, RevokedToken
from tests.authz.checks import check_request
from tests.authz.test_token_binding import WEB_X5T
from tests.support.failing import fail_on
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, Issuer, base_claims
from tests.support.proving import Prover

IDP = "https://idp.example"
OTHER_TENANT = "0f0f0f0f-0000-4000-8000-000000000000"
SHOP, APP = "shop.acme.example", "app.septemcore.com"
POLICY = f"""\
vault: {{address: "https://vault.internal:8200", auth: {{method: token_file, path: /t}}}}
audit: {{record_inputs: true}}
keys: {{revocations: {{path: iam/revoked}}}}
tokens:
  max_token_bytes: 4096
  issuers:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}, "https://b.example"]
      algorithms: [ES256, ES384]
      tolerate_headers: [x5t]
    - issuer: {IDP}
      audiences: [{AUDIENCE}]
      types: [JWT, absent]
      require: [sub, iat, exp]
      claims:
        user: sub
        tenant: {{path: org, tenants: {{acme: {TENANT}, other: {OTHER_TENANT}}}}}
        roles: [{{path: realm.roles, prefix: app-, strip_prefix: true, optional: true}}]
routes:
  - {{name: public, path_prefix: /public, auth: none}}
  - {{name: either, path_prefix: /either, auth: optional}}
  - {{name: admin, path_prefix: /api/admin, roles: [admin], methods: [GET, DELETE]}}
  - {{name: writes, path_prefix: /api/things, methods: [POST], scopes: [write]}}
  - {{name: api, path_prefix: /api, csp: api}}
  - {{name: acme, path_prefix: /acme, tenant: {TENANT}}}
  - {{name: page, path_prefix: /page, token_from: ["cookie:session", header], cors: pages}}
  - {{name: maybe, path_prefix: /maybe, auth: optional, token_from: ["cookie:session"]}}
  - {{name: socket, path_prefix: /socket, token_from: [websocket]}}
  - {{name: peers, path_prefix: /peers, auth: none, clients: ["spiffe://example/*"]}}
  - {{name: both, path_prefix: /both, clients: ["spiffe://example/web"]}}
  - {{name: strangers, path_prefix: /strangers, clients: ["spiffe://example/other"]}}
  - {{name: tried, path_prefix: /tried, shadow: true, roles: [owner]}}
  - {{name: proved, path_prefix: /proved, binding: {{by: [dpop]}}}}
  - {{name: mtls, path_prefix: /mtls, binding: {{by: [certificate], unbound: accept}}}}
  - {{name: shell, path: /}}
headers:
  cors: {{pages: {{origins: ["https://page.example"]}}}}
tenants:
  - {{tenant_id: {TENANT}, domain: {SHOP}}}
"""
MAIN, IDP_KEY = Issuer.generate("main"), Issuer.generate("idp", IDP)
RETIRED, UNKNOWN = Issuer.generate("retired"), Issuer.generate("nobody")
FORGER = Issuer.generate("main")
P384 = ec.generate_private_key(ec.SECP384R1())
PROVER = Prover()


def keys() -> list[VerificationKey]:
    """Return all keys that the issuers publish."""
    es384 = VerificationKey("p384", P384.public_key(), ISSUER, ALGORITHMS["ES384"])
    return [MAIN.key, RETIRED.key, IDP_KEY.key, es384]


REVOKED = Revocations(
    RevocationEntry(tokens=(RevokedToken(iss=ISSUER, jti="gone", exp=NOW + 600),)), 0.0, 1e9
)


def idp_token(**changes: Any) -> bytes:
    """Mint a token of the second issuer, which has its claims elsewhere."""
    claims = {
        "org": "acme", "iss": IDP, "realm": {"roles": ["app-admin", "else"]}, "tenantId": None,
        "roles": None, "scope": None, "jti": None, "nbf": None, **changes,
    }  # fmt: skip
    return IDP_KEY.mint(**claims)


TOKENS: dict[str, bytes] = {
    "good": MAIN.mint(),
    "plain user": MAIN.mint(roles=None, scope="read", sub="user-7"),
    "no grants": MAIN.mint(roles=None, scope=None, sub="user-8"),
    "owner": MAIN.mint(roles=["owner"], sub="user-9"),
    "other tenant": MAIN.mint(tenantId=OTHER_TENANT, sub="user-10"),
    "second audience": MAIN.mint(aud="https://b.example"),
    "both audiences": MAIN.mint(aud=[AUDIENCE, "https://b.example"]),
    "at+jwt": MAIN.mint({"typ": "at+jwt"}),
    "with x5t": MAIN.mint({"x5t": "abc"}),
    "retired key": RETIRED.mint(),
    "ES384": jwt.encode(base_claims(), P384, "ES384", {"kid": "p384"}).encode(),
    "idp": idp_token(),
    "idp of other": idp_token(org="other"),
    "idp without roles": idp_token(realm=None, nonce=None),
    "a nickname like an address": MAIN.mint(nick="somebody@example.com"),
    "short": MAIN.mint(iat=NOW - 10, exp=NOW + 50),
    "within leeway": MAIN.mint(iat=NOW - 300, nbf=NOW - 300, exp=NOW - 20),
    "almost begun": MAIN.mint(iat=NOW + 20, nbf=NOW + 20),
    "large": MAIN.mint(pad="x" * 1500),
    # Denied by the first policy.
    "expired": MAIN.mint(iat=NOW - 300, nbf=NOW - 300, exp=NOW - 100),
    "not begun": MAIN.mint(iat=NOW + 60, nbf=NOW + 60),
    "long-lived": MAIN.mint(exp=NOW + 7200),
    "third audience": MAIN.mint(aud="https://c.example"),
    "an e-mail address": MAIN.mint(email="somebody@example.com"),
    "revoked": MAIN.mint(jti="gone"),
    "revoked and expired": MAIN.mint(jti="gone", iat=NOW - 300, nbf=NOW - 300, exp=NOW - 100),
    "forged": FORGER.mint(),
    "unknown key": UNKNOWN.mint(),
    "rubbish": b"rubbish",
    "an ID token": MAIN.mint(at_hash="x"),
    "a refresh token": MAIN.mint({"typ": "refresh+jwt"}),
    "with x5c": MAIN.mint({"x5c": ["abc"]}),
    "no tenant": MAIN.mint(tenantId=None),
    "a tenant of nobody": idp_token(org="nobody"),
    "too large": MAIN.mint(pad="x" * 5000),
    "bound to a key": MAIN.mint(cnf={"jkt": PROVER.jkt}),
    "bound to a certificate": MAIN.mint(cnf={"x5t#S256": WEB_X5T}),
    "bound to another": MAIN.mint(cnf={"x5t#S256": PROVER.jkt}),
}


@dataclass
class Ask:
    """One request."""

    name: str
    path: str
    token: bytes | None = None
    place: str = "header"
    method: str = "GET"
    host: str = APP
    headers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def raw(self) -> bytes:
        """The ``CheckRequest``."""
        headers = dict(self.headers)
        if self.token is not None:
            text = self.token.decode()
            name, value = {
                "header": ("authorization", f"Bearer {text}"),
                "dpop": ("authorization", f"DPoP {text}"),
                "websocket": ("sec-websocket-protocol", f"bearer.{text}"),
            }.get(self.place) or ("cookie", f"a=b; {self.place.removeprefix('cookie:')}={text}")
            headers[name] = f"{headers[name]}; {value}" if name in headers else value
        return check_request(self.method, self.path, self.host, headers)


def _every_token() -> list[Ask]:
    paths = ("/public/x", "/either/x", "/api/x", "/api/admin/x", "/acme/x", "/tried/x", "/mtls/x")
    return [
        Ask(f"{name} at {path}", path, token) for name, token in TOKENS.items() for path in paths
    ]


def _proof(token: bytes, **changes: Any) -> dict[str, str]:
    made = PROVER.proof(token, NOW, htu=f"https://{APP}/proved/x", **changes)
    return {"dpop": made.decode()}


def _others() -> list[Ask]:
    good, bound, plain = TOKENS["good"], TOKENS["bound to a key"], TOKENS["plain user"]
    preflight = {"origin": "https://page.example", "access-control-request-method": "GET"}
    evil = preflight | {"origin": "https://evil.example"}
    return [
        *(Ask(f"nobody at {path}", path) for path in (
            "/public/x", "/either/x", "/api/x", "/api/admin/x", "/acme/x", "/page/x", "/maybe/x",
            "/socket/x", "/tried/x", "/proved/x", "/mtls/x", "/nowhere", "/", "/peers/x", "/both/x",
            "/strangers/x", "/beta/x",
        )),
        *(Ask(f"{method} at {path}", path, good, method=method) for path in (
            "/api/admin/x", "/api/things/1", "/public/x"
        ) for method in ("POST", "DELETE", "HEAD", "OPTIONS")),
        Ask("a writer without the scope", "/api/things/1", plain, method="POST"),
        *(Ask(f"{name} on the tenant's host", "/api/x", TOKENS[name], host=SHOP)
          for name in ("good", "other tenant", "idp", "idp of other", "expired")),
        Ask("nobody on the tenant's host", "/public/x", host=SHOP),
        Ask("good in a cookie", "/page/x", good, "cookie:session"),
        Ask("good in the header of a page", "/page/x", good),
        Ask("good in a cookie of a page that may have none", "/maybe/x", good, "cookie:session"),
        Ask("good in another cookie", "/page/x", good, "cookie:sid"),
        Ask("good in two places", "/page/x", good, "cookie:session",
            headers={"authorization": "Bearer x"}),
        Ask("two cookies", "/page/x", good, "cookie:session", headers={"cookie": "session=y"}),
        Ask("a cookie where the header is read", "/api/x", None,
            headers={"cookie": f"session={good.decode()}"}),
        Ask("a header where a cookie is read", "/maybe/x", good),
        Ask("good in a subprotocol", "/socket/x", good, "websocket"),
        Ask("a forged one in a cookie", "/page/x", TOKENS["forged"], "cookie:session"),
        Ask("another scheme", "/api/x", headers={"authorization": "Basic abc"}),
        Ask("DPoP where only Bearer is taken", "/api/x", bound, "dpop", headers=_proof(bound)),
        Ask("two in one header", "/api/x", headers={"authorization": "Bearer a, Bearer b"}),
        Ask("in the query", "/api/x?access_token=abc"),
        Ask("in the query too", "/api/x?access_token=abc", good),
        Ask("in the query, where one may be", "/either/x?access_token=abc"),
        Ask("proved", "/proved/x", bound, "dpop", headers=_proof(bound)),
        Ask("proved again", "/proved/x", bound, "dpop", headers=_proof(bound)),
        Ask("proved for another", "/proved/x", bound, "dpop", headers=_proof(good, jti="two")),
        Ask("proved too early", "/proved/x", bound, "dpop",
            headers=_proof(bound, jti="three", iat=int(NOW) - 100)),
        Ask("without a proof", "/proved/x", bound, "dpop"),
        Ask("bound, as a bearer", "/proved/x", bound),
        Ask("unbound, where it must be", "/proved/x", good),
        Ask("a client and a token", "/both/x", good),
        Ask("a stranger", "/strangers/x", good),
        Ask("a path of two readings", "/api/ADMIN/x", good),
        Ask("a path that is none", "/api/../x", good),
        Ask("a host that is none", "/api/x", good, host="a_b..c"),
        Ask("a method that is none", "/api/x", good, method="get"),
        Ask("a preflight", "/page/x", method="OPTIONS", headers=preflight),
        Ask("a preflight of evil", "/page/x", method="OPTIONS", headers=evil),
        Ask("a preflight where there is no policy", "/api/x", method="OPTIONS", headers=preflight),
        Ask("OPTIONS without an origin", "/page/x", good, method="OPTIONS"),
        Ask("a page's request", "/page/x", good, headers={"origin": "https://page.example"}),
        Ask("beta", "/beta/x", good),
        Ask("a path that is not ASCII", "/api/%C3%A9%20x", good),
    ]  # fmt: skip


ASKS: Sequence[Ask] = (*_every_token(), *_others())


def serve(
    config: model.Config,
    path: Path,
    asks: Sequence[Ask] = ASKS,
    *,
    at: Callable[[int], float] = lambda _: NOW,
    repeat: int = 1,
) -> list[bytes]:
    """Answer the requests with a new service and return its audit lines, one an answer.

    Each is asked ``repeat`` times in a row, so that both paths answer it. ``at`` is the time of
    the request of a number.
    """
    number = 0
    audit = AuditLog(FileSink(path), queue_lines=100_000, on_error=fail_on)
    recorder = DecisionRecorder(Counters(), audit, lambda *_: None)
    policy = compile_limits(config)
    faults: list[Exception] = []
    algorithms = {each.issuer: each.algorithms for each in config.tokens.issuers}
    published = [key for key in keys() if key.algorithm.name in algorithms.get(str(key.issuer), ())]
    service = CheckService(
        build_snapshot(config, KeyRing(admitted(config, published, REVOKED))),
        now=lambda: at(number),
        elapsed_ns=lambda: int(at(number) * 1e9),
        new_id=DecisionIds().take,
        observer=recorder,
        on_fault=faults.append,
        cache=TokenCache(),
        limiter=None if policy is None else RateLimiter(policy, bytes(32)),
        proofs=own_guard(),
    )

    service.snapshot = msgspec.structs.replace(service.snapshot, revocations=REVOKED)
    for ask in asks:
        for _ in range(repeat):
            assert isinstance(service.handle(ask.raw), bytes)
            number += 1
            recorder.drain()
    assert audit.close(10)
    assert not faults
    lines = path.read_bytes().splitlines()
    assert len(lines) == len(asks) * repeat
    return lines


def configured(change: Callable[[str], str] = lambda text: text) -> model.Config:
    """Return the policy, changed."""
    return parse_config(change(POLICY), "test")


def read(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]
