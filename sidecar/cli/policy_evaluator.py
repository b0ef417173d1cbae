"""The policy evaluator: evaluates one request without a server, step by step.

The request, its token and the expectations are a ``Case``; the decision is the server's own
(``authz.explain``), and the headers are read back from the bytes that Envoy would get.
Tokens are written as claims and signed with a temporary key, so that a policy can be tested
without anyone's signing key.
"""

import json
from hashlib import sha256
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.decision_ids import ID_BYTES
from sidecar.authz.encoding.allowed import encode_allowed
from sidecar.authz.encoding.denied import encode_denied, encode_preflight
from sidecar.authz.encoding.response import decode_response
from sidecar.authz.explain import StepResult, explain
from sidecar.authz.limiting import counting_limits
from sidecar.authz.module_install import judge_bundle
from sidecar.authz.snapshot import build_snapshot
from sidecar.cli.cases import Case, CountingLimit, Result, Token
from sidecar.cli.client_certificates import forwarded_certificate
from sidecar.cli.issuer_shape import shaped, without_stored_tables
from sidecar.cli.token_evaluator import admitted, revocations_of
from sidecar.common.errors import Fault
from sidecar.common.reasons import Grant
from sidecar.config import model
from sidecar.limits.bucket import LimitKind
from sidecar.limits.policy import compile_limits
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.module_signing.signature import HEADER_NAME, sign_digest
from sidecar.tokens.algorithms import ES256
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.revocation import RevocationEntry

KID = "offline"
DEFAULT_TENANT = "00000000-0000-4000-8000-000000000001"
DECISION_ID = b"0" * ID_BYTES
NONCE = b"a-nonce-made-only-once--"
"""Placeholder for a random value of a real answer."""
_LIFE_SECONDS = 600
_COUNTED_BY: dict[LimitKind, str] = {
    "tenant": "the token's tenant",
    "route": "everybody on the route",
    "address": "the client's address (IPv6: its /64)",
    "token": "the token",
    "login": "the client's address and the account in the body",
    "account": "the account in the body",
}
_BUNDLE = b"export const remoteEntry = 1;"


class PolicyEvaluator:
    """Evaluates requests against a policy, without a server."""

    def __init__(
        self,
        config: model.Config,
        keys: tuple[VerificationKey, ...] = (),
        entry: RevocationEntry | None = None,
    ) -> None:
        """``keys`` verify tokens in a request's own headers; ``entry`` has the revocations."""
        self._config = config = without_stored_tables(config)
        self._own = ec.generate_private_key(ec.SECP256R1())
        self._stranger = ec.generate_private_key(ec.SECP256R1())
        own = [
            VerificationKey(KID, self._own.public_key(), issuer.issuer, ES256)
            for issuer in config.tokens.issuers
        ]
        self._limits = compile_limits(config)
        revocations = revocations_of(config, entry)
        self._snapshot: Snapshot = msgspec.structs.replace(
            build_snapshot(config, KeyRing([*own, *admitted(config, keys, revocations)])),
            revocations=revocations,
            publishers=Publishers([PublisherKey("offline", self._own.public_key())]),
        )

    def evaluate(self, case: Case, now: float) -> Result:
        """Evaluate one case at its own time, or at ``now`` (Unix seconds)."""
        at = now if case.at is None else case.at
        view = self._view(case, at)
        decision, steps = explain(view, self._snapshot, at)
        counting = self._counting(decision)
        if decision.module is not None:
            decision = judge_bundle(decision, view, self._snapshot)
            steps = (*steps, StepResult("bundle", decision.allowed, decision.detail))
        result = _result(case.name, decision, steps, self._snapshot)
        return msgspec.structs.replace(result, limits=counting)

    def _counting(self, decision: Decision) -> tuple[CountingLimit, ...]:
        if self._limits is None:
            return ()
        in_shadow = decision.limits is not None and decision.limits.shadow
        return tuple(
            CountingLimit(
                each.identity,
                _COUNTED_BY[each.kind],
                each.requests,
                each.per_seconds,
                each.burst,
                each.shadow or in_shadow,
            )
            for each in counting_limits(decision, self._limits)
        )

    def _view(self, case: Case, now: float) -> RequestView:
        request = case.request
        headers = {name.lower(): value.encode() for name, value in request.headers.items()}
        if case.token is not None:
            name, value = _placed(self._sign(case.token, now), case.token.place)
            headers[name] = headers[name] + b"," + value if name in headers else value
        body = b""
        if request.bundle is not None:
            body = _BUNDLE
            signer = self._own if request.bundle == "signed" else self._stranger
            if request.bundle != "unsigned":
                headers[HEADER_NAME] = sign_digest(sha256(body).digest(), signer).encode()
        return RequestView(
            body=body,
            method=request.method.encode(),
            host=request.host.encode(),
            path=request.path.encode(),
            headers=headers,
            source=request.source,
            principal=request.principal,
            certificate=request.certificate or _certificate_of(request.principal, now),
        )

    def _sign(self, token: Token, now: float) -> bytes:
        issuer = self._config.tokens.issuers[0]
        tenants = self._config.tenants
        claims: dict[str, Any] = {
            "iss": issuer.issuer,
            "aud": issuer.audiences[0],
            "sub": "somebody",
            "tenantId": tenants[0].tenant_id if tenants else DEFAULT_TENANT,
            "jti": "offline",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + _LIFE_SECONDS,
        }
        typ, claims = shaped(claims, issuer, self._config.tokens)
        claims.update(token.claims)
        kept = {name: value for name, value in claims.items() if value is not None}
        key = self._own if token.signed_by == "issuer" else self._stranger
        try:
            payload = json.dumps(kept).encode()
            return jwt.PyJWS().encode(payload, key, "ES256", {"kid": KID, "typ": typ}).encode()
        except (TypeError, ValueError) as exc:
            raise Fault(f"a token with these claims can't be signed: {exc}") from None


def _result(
    name: str, decision: Decision, steps: tuple[StepResult, ...], snapshot: Snapshot
) -> Result:
    answer = decode_response(
        encode_preflight(decision, snapshot, DECISION_ID, {})
        if decision.outcome is Grant.PREFLIGHT
        else encode_allowed(decision, snapshot, {}, lambda: NONCE, DECISION_ID)
        if decision.allowed
        else encode_denied(decision, snapshot, DECISION_ID, "", {})
    )
    return Result(
        name=name,
        allowed=decision.allowed,
        reason=str(decision.outcome),
        detail=decision.detail,
        status=answer.status,
        route=decision.route,
        tenant=decision.token.claims.tenant_id if decision.token is not None else None,
        request_headers=answer.request_headers,
        removed_headers=answer.removed_headers,
        response_headers=answer.response_headers,
        steps=steps,
        warnings=decision.warnings,
        shadowed=decision.shadowed,
    )


def _certificate_of(principal: str, now: float) -> str:
    """Return the certificate that Envoy forwards with a name. Raises ``Fault``."""
    if not principal:
        return ""
    try:
        return forwarded_certificate(principal, now)
    except ValueError as exc:
        raise Fault(f"principal {principal!r} can't stand in a certificate: {exc}") from None


def _placed(token: bytes, place: str) -> tuple[str, bytes]:
    if place == "header":
        return "authorization", b"Bearer " + token
    if place == "websocket":
        return "sec-websocket-protocol", b"bearer." + token
    return "cookie", place.removeprefix("cookie:").encode() + b"=" + token
