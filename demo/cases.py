"""The requests the demo plays, and what must come of each."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.client import Client, Reply
from sidecar.module_signing.signature import HEADER_NAME, sign_digest
from sidecar.tokens.jwk import thumbprint

ISSUER = "https://iam.septemcore.com"
AUDIENCE = "https://api.septemcore.com"
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
OTHER_TENANT = "a2b4c6d8-1357-4246-8acf-9bdf13579ace"
TENANT_DOMAIN = "shop.acme.example"
EVIL = "00000000-0000-4000-8000-00000000ee11"
API, PUBLIC = "/api/orders", "/assets/logo.svg"
INSTALL = "/api/v1/modules/install"
EXPORT = "/api/export"
"""A route with a limit of one request for each token."""
LOGIN = "/api/v1/auth/login"
BUNDLE = b"export default { mount(){} };"
ALWAYS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    "x-content-type-options": "nosniff",
    "content-security-policy": None,
    "referrer-policy": None,
    "permissions-policy": None,
}
"""Headers of every HTTPS reply, and their value where it is always the same."""
NEVER = ("x-powered-by", "server")


Header = tuple[str, str]


class Case(NamedTuple):
    """One request and what must come of it.

    ``reason`` is what the sidecar must say, in the body of a denial and in its audit
    log; empty where it is not asked. ``tenant`` is what the application must have seen:
    exactly one, or nothing (``None``); ``...`` where the request must not reach it.
    """

    name: str
    path: str
    headers: tuple[tuple[str, str], ...]
    status: int
    reason: str
    tenant: Any = ...
    tls: bool = True
    bundle: bytes | None = None
    """The body of a POST; without one it is a GET."""


class Row(NamedTuple):
    """A case that was played."""

    case: Case
    reply: Reply
    audited: str
    problems: tuple[str, ...]


class Minter:
    """Makes good tokens and every kind of bad one."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, now: float) -> None:
        self._key = key
        self._now = int(now)
        self._kid = thumbprint(key.public_key())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims, changed."""
        return {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "tenantId": TENANT,
            "jti": "demo-1",
            "roles": ["admin"],
            "iat": self._now,
            "nbf": self._now,
            "exp": self._now + 900,
            **changes,
        }

    def good(self, **changes: Any) -> str:
        """Sign with the right key."""
        return jwt.encode(self.claims(**changes), self._key, "ES256", {"kid": self._kid})

    def forged(self) -> str:
        """Sign with a key of our own, under the platform's kid."""
        key = ec.generate_private_key(ec.SECP256R1())
        return jwt.encode(self.claims(), key, "ES256", {"kid": self._kid})

    def of_unknown_key(self) -> str:
        """Sign with a key of our own, under its own kid."""
        key = ec.generate_private_key(ec.SECP256R1())
        kid = thumbprint(key.public_key())
        return jwt.encode(self.claims(), key, "ES256", {"kid": kid})

    def unsigned(self) -> str:
        """Claim that no signature is needed."""
        return jwt.encode(self.claims(), "", "none", {"kid": self._kid})

    def confused(self) -> str:
        """Use the public key as an HMAC secret: the algorithm confusion of CVE-2015-9235."""
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        secret = self._key.public_key().public_bytes(*form)
        header = {"alg": "HS256", "typ": "JWT", "kid": self._kid}
        signed = f"{_segment(header)}.{_segment(self.claims())}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64url(mac)}"


def build_cases(mint: Minter, publisher: ec.EllipticCurvePrivateKey) -> list[Case]:
    """Return the cases in the order they are played; ``publisher`` has registered its key."""

    def api(name: str, token: str, status: int, reason: str, tenant: Any = ...) -> Case:
        return Case(name, API, (bearer(token),), status, reason, tenant)

    def module(name: str, bundle: bytes, status: int, reason: str, *more: Header) -> Case:
        passed = TENANT if status == HTTPStatus.OK else ...
        return Case(name, INSTALL, (good, *more), status, reason, passed, bundle=bundle)

    good = bearer(mint.good())
    signed = (HEADER_NAME, sign_digest(hashlib.sha256(BUNDLE).digest(), publisher))
    hour = 3600
    now = mint.claims()["iat"]
    past = {"iat": now - 2 * hour, "nbf": now - 2 * hour, "exp": now - 2 * hour + 900}
    future = {"iat": now, "nbf": now + 300, "exp": now + 900}
    limited = bearer(mint.good(jti="limited"))
    once = ("x-tenant-id", EVIL)
    odd = ("X-tEnAnT-iD", EVIL)
    dotted = ("x.tenant.id", EVIL)
    return [
        Case("valid token", API, (good,), 200, "token_verified", TENANT),
        Case("no token", API, (), 401, "token_missing"),
        api("expired", mint.good(**past), 401, "token_expired"),
        api("not yet valid", mint.good(**future), 401, "token_not_yet_valid"),
        api("lives too long", mint.good(exp=now + hour), 401, "token_lifetime_too_long"),
        api("wrong issuer", mint.good(iss="https://evil.example"), 401, "issuer_mismatch"),
        api("wrong audience", mint.good(aud="https://other.example"), 401, "audience_mismatch"),
        api("forged signature", mint.forged(), 401, "signature_invalid"),
        api("alg: none", mint.unsigned(), 401, "algorithm_not_allowed"),
        api("HS256 with the public key", mint.confused(), 401, "algorithm_not_allowed"),
        api("unknown kid", mint.of_unknown_key(), 401, "key_unknown"),
        api("refresh token", mint.good(typ="refresh"), 401, "refresh_token_presented"),
        api("a 9 KB token", mint.good(pad="x" * 6700), 431, "token_too_large"),
        api("no token at all in it", "not-a-token", 401, "token_malformed"),
        Case("two credentials", API, (good, good), 400, "token_ambiguous"),
        Case("tenant spoofed, once", API, (good, once), 200, "token_verified", TENANT),
        Case("tenant spoofed, twice", API, (once, good, once), 200, "token_verified", TENANT),
        Case("tenant spoofed, odd case", API, (good, odd), 200, "token_verified", TENANT),
        Case("tenant spoofed, x_tenant_id", API, (good, ("x_tenant_id", EVIL)), 400, ""),
        Case("tenant spoofed, x.tenant.id", API, (good, dotted), 200, "token_verified", TENANT),
        Case("public path", PUBLIC, (), 200, "public", None),
        Case("public path, tenant spoofed", PUBLIC, (once, odd, dotted), 200, "public", None),
        Case("optional, no token", "/", (), 200, "anonymous", None),
        Case("optional, bad token", "/", (bearer("x"),), 401, "token_malformed"),
        Case("no route", "/nowhere", (good,), 403, "route_unknown"),
        Case("path with an encoded slash", "/assets%2f..%2fapi/orders", (), 400, ""),
        Case("path with a parameter", "/api;public/orders", (), 400, "path_ambiguous"),
        module("a signed module", BUNDLE, 200, "token_verified", signed),
        module("an altered module", BUNDLE + b" ", 422, "module_signature_invalid", signed),
        module("an unsigned module", BUNDLE, 422, "module_unsigned"),
        Case("within a limit", EXPORT, (limited,), 200, "token_verified", TENANT),
        Case("over the limit", EXPORT, (limited,), 429, "rate_limited"),
        Case("plain HTTP", API, (), 308, "", tls=False),
    ]


def bearer(token: str) -> tuple[str, str]:
    """Return the header that carries a token."""
    return "authorization", f"Bearer {token}"


def play(client: Client, case: Case) -> Reply:
    """Send a case's request."""
    if case.bundle is not None:
        return client.post(case.path, case.bundle, case.headers)
    return client.get(case.path, case.headers, tls=case.tls)


def judge(case: Case, reply: Reply, audited: str) -> Row:
    """Hold what came back against what must; the row's ``problems`` are what differs."""
    return Row(case, reply, audited, tuple(_problems(case, reply, audited)))


def tenants_seen(reply: Reply) -> list[str] | None:
    """Return what the application saw as tenant; ``None`` if it was not reached."""
    document = reply.document()
    if document.get("application") != "sample":
        return None
    return list(document["seen"].get("x-tenant-id", []))


def _problems(case: Case, reply: Reply, audited: str) -> list[str]:
    found = []
    if reply.status != case.status:
        found.append(f"status {reply.status}, not {case.status}")
    if audited != case.reason:
        found.append(f"the audit log says {audited or 'nothing'}, not {case.reason or 'nothing'}")
    seen = tenants_seen(reply)
    expected = None if case.tenant is ... else [] if case.tenant is None else [case.tenant]
    if seen != expected:
        found.append(f"the application saw {seen}, not {expected}")
    given = reply.document().get("reason", "")
    if expected is None and given != case.reason:
        found.append(f"the client was given {given or 'nothing'}, not {case.reason or 'nothing'}")
    if case.tls:
        found += _header_problems(reply.headers)
    return found


def _header_problems(headers: Mapping[str, str]) -> list[str]:
    found = [f"{name} is missing" for name in ALWAYS if name not in headers]
    found += [
        f"{name} is {headers[name]!r}"
        for name, value in ALWAYS.items()
        if value is not None and headers.get(name, value) != value
    ]
    found += [f"{name} came through" for name in NEVER if name in headers]
    if "default-src *" in headers.get("content-security-policy", ""):
        found.append("the application's weak policy came through")
    return found


def _segment(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value).encode())


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
