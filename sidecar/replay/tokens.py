"""A recorded token under another configuration's rules, as if its signature were checked again.

That the signature verified is a recorded fact; the keys are those of then. Everything else is
asked of ``sidecar.tokens``: which key may verify it, what its claims must be, what of it is
personal data.
"""

from collections.abc import Callable, Mapping, Sequence

from sidecar.authz.claim_reading import reading_of
from sidecar.authz.decision import Snapshot
from sidecar.authz.routes import CERTIFICATE, DPOP
from sidecar.authz.token_policy import rules_digest
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.config import model
from sidecar.observability.audit.inputs import RecordedInputs
from sidecar.tokens.algorithms import ALGORITHMS, Algorithm
from sidecar.tokens.claims import Claims, check_claims
from sidecar.tokens.confirmation import Confirmation
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.pii import PiiAction, PiiFinding, judge_findings
from sidecar.tokens.policy import DEFAULT_REQUIRED, ClaimReading, IssuerPolicy
from sidecar.tokens.verifier import JoseHeader, VerifiedToken, keys_for

MAX_WARNINGS = 8
"""A line has no more: a token with so many may hold more personal data."""
_PROVED = "recorded"
"""Stands for a thumbprint: that a proof fitted it is recorded, and what it was is not."""
_MODEL_REQUIRED = tuple(sorted(DEFAULT_REQUIRED))
Open = Callable[[str], None]
"""Called with what a line does not tell, where that counts."""


class RecordedTokens:
    """Judges recorded tokens by one configuration."""

    def __init__(self, config: model.Config, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._denied = frozenset(config.keys.denied_kids)
        self.rules = rules_digest(config)
        """As lines have it of a credential that failed."""
        self._algorithms = {each.issuer: each.algorithms for each in config.tokens.issuers}
        self._readings: Mapping[str, ClaimReading] = {
            issuer: reading_of(rules, config.tokens.pii)
            for issuer, rules in snapshot.tokens.issuers.items()
        }

    def is_denied(self, kid: str) -> bool:
        """Return whether a key is denied by the configuration."""
        return kid in self._denied

    def verify(
        self, inputs: RecordedInputs, kid: str, claims: Claims, now: float, left_open: Open
    ) -> VerifiedToken:
        """Return the token by the rules of its key's issuer; raise ``Denied`` as the server would.

        ``claims`` are those of the inputs (``claims_of``), ``now`` the time of the request.
        """
        header = JoseHeader(inputs.alg, inputs.typ, kid, frozenset(inputs.params))
        key = VerificationKey(kid, None, inputs.iss, _algorithm(inputs.alg))  # type: ignore[arg-type]  # no signature is checked by it
        is_there = not self.is_denied(kid) and inputs.alg in self._algorithms.get(inputs.iss, ())
        ((key, rules), *_) = keys_for(header, (key,) if is_there else (), self._snapshot.tokens)
        self._compare_reading(inputs, claims.tenant_id, left_open)
        if self._has_made_up_time(inputs, claims, rules):
            left_open("the token may have no iat, and how old it may be is another now")
        else:
            check_claims(claims, rules, now)
        return VerifiedToken(claims, key, None, header, rules, inputs.size)

    def _compare_reading(self, inputs: RecordedInputs, tenant_id: str, left_open: Open) -> None:
        """Leave open what claims mean that are read by other rules than those of then."""
        reading = self._readings[inputs.iss]
        if reading.of_tenant(tenant_id) != inputs.reading:
            left_open(
                f"claims of {inputs.iss} are read from other places (tokens.issuers[].claims)"
            )
        missing = set(reading.required or _MODEL_REQUIRED) - set(_required_of(inputs))
        if missing:
            names = ", ".join(sorted(missing))
            left_open(f"whether the token has what is required now: {names}")

    @staticmethod
    def _has_made_up_time(inputs: RecordedInputs, claims: Claims, rules: IssuerPolicy) -> bool:
        lifetime = claims.expires_at - claims.issued_at
        return "iat" not in _required_of(inputs) and lifetime > rules.max_lifetime_seconds

    def check_pii(
        self, inputs: RecordedInputs, findings: Sequence[str], left_open: Open
    ) -> tuple[str, ...]:
        """Judge the personal data that was found; raise ``Denied`` as the server would."""
        reading, rules = self._readings[inputs.iss], self._snapshot.tokens.of(inputs.iss)
        snapshot = self._snapshot
        read = [PiiFinding.parse(text) for text in findings]
        exempt = frozenset[str]() if rules is None else rules.may_hold_pii
        judged = [each for each in read if each is not None and each.claim not in exempt]
        warnings = judge_findings(judged, snapshot.pii_names, snapshot.pii_values)
        newly = sorted(set(inputs.unsought) - set(reading.unsought))
        denies = PiiAction.DENY in {snapshot.pii_names, snapshot.pii_values}
        if denies and newly:
            left_open(f"personal data was not looked for then: {', '.join(newly)}")
        elif denies and (None in read or len(read) >= MAX_WARNINGS):
            left_open("not every personal datum of the token was recorded")
        return warnings


def claims_of(inputs: RecordedInputs, tenant_id: str, subject: str) -> Claims:
    """Return a recorded token's claims; they have no id."""
    bound = set(inputs.cnf)
    confirmation = Confirmation(
        _PROVED if DPOP in bound else "", _PROVED if CERTIFICATE in bound else ""
    )
    return Claims(
        issuer=inputs.iss,
        subject=subject,
        audience=inputs.aud,
        token_id="",
        tenant_id=tenant_id,
        expires_at=inputs.exp,
        issued_at=inputs.iat,
        not_before=inputs.nbf or inputs.iat,
        roles=inputs.roles,
        scopes=inputs.scopes,
        confirmation=confirmation if bound else None,
    )


def unknown_token(tenant_id: str, kid: str) -> VerifiedToken:
    """Return what stands for a token of which no claim is known but perhaps the tenant."""
    claims = Claims("", "", (), "", tenant_id, 0.0, 0.0, 0.0)
    key = VerificationKey(kid, None, None, _algorithm(""))  # type: ignore[arg-type]  # as above
    return VerifiedToken(claims, key, None, JoseHeader("", "", kid, frozenset()), IssuerPolicy(), 0)


def ring_of_then() -> KeyRing:
    """Return what stands for the keys of then, of which a line has the ``kid`` alone."""
    return KeyRing([unknown_token("", "").key])


def _algorithm(name: str) -> Algorithm:
    return ALGORITHMS.get(name, _NO_ALGORITHM)


def _refuse(*_: object) -> None:
    raise Denied(Reason.SIGNATURE_INVALID)


_NO_ALGORITHM = Algorithm("", "", None, _refuse)


def _required_of(inputs: RecordedInputs) -> tuple[str, ...]:
    return _MODEL_REQUIRED if inputs.required is None else inputs.required
