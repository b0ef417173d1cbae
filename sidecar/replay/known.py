"""What an audit line tells of a request's credential: by its reason, and by its inputs.

Every reason has one place in the table, because it says how far the decision came: a request that
lacked a role had a token that was verified, one without a route had none that anybody looked for.
"""

from enum import Enum
from typing import NamedTuple

from sidecar.common.reasons import Grant, Reason
from sidecar.observability.audit.inputs import CUT, RecordedInputs
from sidecar.replay.line import RecordedLine, inputs_of


class CredentialState(Enum):
    """What is known of the credential."""

    VERIFIED = "its token was verified"
    FAILED = "it had a token, which failed before its claims were believed"
    ABSENT = "it had none where the route looked"
    AMBIGUOUS = "it had several, or one where the route reads none"
    OTHER_SCHEME = "it had one of another scheme than Bearer"
    UNREAD = "nobody looked for one"


class Known(NamedTuple):
    """What a line tells. ``reason`` is why it was denied, or would have been in shadow mode."""

    credential: CredentialState
    reason: Reason | Grant
    inputs: RecordedInputs | None
    """``None`` where they were not recorded."""
    is_cut: bool

    @property
    def has_claims(self) -> bool:
        """Whether the claims of a verified token are known."""
        return self.inputs is not None and bool(self.inputs.iss)


_R = Reason
BINDING = frozenset(
    {
        _R.TOKEN_BOUND, _R.TOKEN_NOT_BOUND, _R.CERTIFICATE_MISMATCH, _R.DPOP_PROOF_MISSING,
        _R.DPOP_PROOF_INVALID, _R.DPOP_PROOF_MISMATCH, _R.DPOP_PROOF_EXPIRED,
        _R.DPOP_PROOF_REPLAYED, _R.DPOP_NONCE_REQUIRED, _R.DPOP_BUSY,
    }
)  # fmt: skip
MODULES = frozenset(each for each in Reason if each.startswith("module"))
CLAIMS = frozenset(
    {
        _R.TOKEN_EXPIRED, _R.TOKEN_NOT_YET_VALID, _R.TOKEN_ISSUED_IN_FUTURE,
        _R.TOKEN_LIFETIME_TOO_LONG, _R.AUDIENCE_MISMATCH, _R.PII_IN_TOKEN,
    }
)  # fmt: skip
"""Reasons of a genuine token's claims; nothing that comes after was looked at."""
FOR_GOOD = frozenset({_R.TOKEN_MALFORMED, _R.SIGNATURE_INVALID, _R.REFRESH_TOKEN_PRESENTED})
"""What no configuration lets pass where a token is asked for, while the keys are the same."""
STATE = frozenset({_R.KEYS_UNAVAILABLE, _R.KEYS_DEGRADED, _R.DPOP_BUSY, _R.MODULES_BUSY})
"""Reasons of the sidecar's state and not of its configuration."""
_AFTER_VERIFICATION = BINDING | MODULES | {
    _R.TOKEN_REVOKED, _R.TENANT_MISMATCH, _R.ROLE_MISSING, _R.SCOPE_MISSING,
}  # fmt: skip
_UNREAD: set[Reason | Grant] = {
    Grant.PUBLIC, Grant.CLIENT_VERIFIED, Grant.PREFLIGHT, Grant.SHADOW, _R.RATE_LIMITED,
    _R.ROUTE_UNKNOWN, _R.PATH_AMBIGUOUS, _R.ORIGIN_NOT_ALLOWED, _R.HOST_MALFORMED,
    _R.REQUEST_MALFORMED, _R.REQUEST_TOO_LARGE, _R.CLIENT_CERTIFICATE_MISSING,
    _R.CLIENT_NOT_ALLOWED,
}  # fmt: skip
_BY_REASON: dict[Reason | Grant, CredentialState] = {
    **dict.fromkeys(Reason, CredentialState.FAILED),
    **dict.fromkeys(_AFTER_VERIFICATION, CredentialState.VERIFIED),
    **dict.fromkeys(_UNREAD, CredentialState.UNREAD),
    Grant.TOKEN_VERIFIED: CredentialState.VERIFIED,
    Grant.ANONYMOUS: CredentialState.ABSENT,
    _R.TOKEN_MISSING: CredentialState.ABSENT,
    _R.TOKEN_AMBIGUOUS: CredentialState.AMBIGUOUS,
    _R.TOKEN_SCHEME_UNSUPPORTED: CredentialState.OTHER_SCHEME,
}
_NAMED: dict[str, Reason | Grant] = {
    str(each): each for each in (*Reason, *Grant) if each is not Grant.CHALLENGE_ANSWERED
}


def known_of(line: RecordedLine) -> Known | None:
    """Return what a line tells; ``None`` where its reason is not one of a rule's.

    Those are an internal fault, an answered ACME challenge, and what no version of ours says.
    """
    reason = _NAMED.get(line.shadow_reason or line.reason)
    if reason is None or reason is Reason.INTERNAL_FAULT:
        return None
    inputs = inputs_of(line)
    is_cut = inputs is CUT
    credential = _BY_REASON[reason]
    has_claims = not is_cut and inputs is not None and bool(inputs.iss)
    if has_claims or (reason is Reason.RATE_LIMITED and line.tenant):
        credential = CredentialState.VERIFIED
    return Known(credential, reason, None if is_cut else inputs, is_cut)
