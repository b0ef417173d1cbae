"""The claim ``cnf``: by which key or certificate its holder must prove a token (RFC 7800).

A token with this claim is no bearer token: whoever stole it can't use it. Two methods are known:
``jkt``, the thumbprint of the key of a DPoP proof (RFC 9449 §6.1), and ``x5t#S256``, that of the
client's certificate (RFC 8705 §3.1). If a token has both, both must be proved. RFC 7800 §3.1 lets
a recipient ignore other members; a token that has any is denied here, because what its issuer
meant to be proved would not be.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.strict import decode_base64url

CLAIM = "cnf"
_JKT = "jkt"
_CERTIFICATE = "x5t#S256"
_KNOWN = frozenset({_JKT, _CERTIFICATE})
_SHA256_BYTES = 32
_SHA256_CHARACTERS = 43


class Confirmation(NamedTuple):
    """What must be proved, as SHA-256 thumbprints in base64url; empty where it need not be."""

    jkt: str = ""
    """Of the public key, by RFC 7638."""
    certificate: str = ""
    """Of the certificate's DER."""


def read_confirmation(payload: Mapping[str, Any]) -> Confirmation | None:
    """Return what a token's ``cnf`` asks for; ``None`` for a token without the claim.

    Raises ``Denied`` with ``claim_malformed``, or ``token_bound`` for a method that is not known.
    """
    if CLAIM not in payload:
        return None
    value = payload[CLAIM]
    if not isinstance(value, dict) or not value:
        raise Denied(Reason.CLAIM_MALFORMED, "claim 'cnf' must be an object with a member")
    if not value.keys() <= _KNOWN:
        raise Denied(
            Reason.TOKEN_BOUND,
            f"claim 'cnf' has a member other than {' and '.join(sorted(_KNOWN))}: "
            "how its holder must be confirmed is not known here",
        )
    return Confirmation(
        *(_thumbprint(value[name]) if name in value else "" for name in (_JKT, _CERTIFICATE))
    )


def _thumbprint(value: object) -> str:
    """Return a SHA-256 in base64url, in its one spelling."""
    if isinstance(value, str) and len(value) == _SHA256_CHARACTERS and value.isascii():
        try:
            if len(decode_base64url(value.encode(), "cnf")) == _SHA256_BYTES:
                return value
        except Denied:
            pass
    raise Denied(Reason.CLAIM_MALFORMED, "a member of claim 'cnf' must be a SHA-256 in base64url")
