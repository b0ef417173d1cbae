"""Every answer the sidecar can give, one identifier each.

The same word is the exception's reason, the audit field, the metric label, the
problem type and the row in ``docs/reasons.md``. Nothing else names a denial.

Statuses follow RFC 6750 §3.1: ``invalid_request`` is 400, ``invalid_token`` is 401,
``insufficient_scope`` is 403, and a request without any credential gets a challenge
without an error code.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a request was denied. A closed enumeration."""

    # The request itself.
    REQUEST_MALFORMED = "request_malformed"
    REQUEST_TOO_LARGE = "request_too_large"
    HOST_MALFORMED = "host_malformed"
    PATH_AMBIGUOUS = "path_ambiguous"
    ROUTE_UNKNOWN = "route_unknown"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    # The credential, before it is read.
    TOKEN_MISSING = "token_missing"
    TOKEN_AMBIGUOUS = "token_ambiguous"
    TOKEN_SCHEME_UNSUPPORTED = "token_scheme_unsupported"
    TOKEN_TOO_LARGE = "token_too_large"
    TOKEN_MALFORMED = "token_malformed"
    # The JOSE header.
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    TOKEN_TYPE_NOT_ALLOWED = "token_type_not_allowed"
    HEADER_PARAMETER_NOT_ALLOWED = "header_parameter_not_allowed"
    KEY_UNKNOWN = "key_unknown"
    SIGNATURE_INVALID = "signature_invalid"
    # The claims.
    CLAIM_MISSING = "claim_missing"
    CLAIM_MALFORMED = "claim_malformed"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"
    TOKEN_ISSUED_IN_FUTURE = "token_issued_in_future"
    TOKEN_LIFETIME_TOO_LONG = "token_lifetime_too_long"
    ISSUER_MISMATCH = "issuer_mismatch"
    AUDIENCE_MISMATCH = "audience_mismatch"
    REFRESH_TOKEN_PRESENTED = "refresh_token_presented"
    TOKEN_REVOKED = "token_revoked"
    PII_IN_TOKEN = "pii_in_token"
    # The proof that a bound token is its sender's.
    TOKEN_BOUND = "token_bound"
    TOKEN_NOT_BOUND = "token_not_bound"
    CERTIFICATE_MISMATCH = "certificate_mismatch"
    DPOP_PROOF_MISSING = "dpop_proof_missing"
    DPOP_PROOF_INVALID = "dpop_proof_invalid"
    DPOP_PROOF_MISMATCH = "dpop_proof_mismatch"
    DPOP_PROOF_EXPIRED = "dpop_proof_expired"
    DPOP_PROOF_REPLAYED = "dpop_proof_replayed"
    DPOP_NONCE_REQUIRED = "dpop_nonce_required"
    # What the route requires.
    TENANT_UNKNOWN = "tenant_unknown"
    TENANT_MISMATCH = "tenant_mismatch"
    ROLE_MISSING = "role_missing"
    SCOPE_MISSING = "scope_missing"
    CLIENT_CERTIFICATE_MISSING = "client_certificate_missing"
    CLIENT_NOT_ALLOWED = "client_not_allowed"
    # The rate of requests.
    RATE_LIMITED = "rate_limited"
    # The bundle of a module.
    MODULE_MISSING = "module_missing"
    MODULE_TOO_LARGE = "module_too_large"
    MODULE_ENCODED = "module_encoded"
    MODULE_WITHDRAWN = "module_withdrawn"
    MODULE_UNSIGNED = "module_unsigned"
    MODULE_SIGNATURE_MALFORMED = "module_signature_malformed"
    MODULE_KEY_UNKNOWN = "module_key_unknown"
    MODULE_SIGNATURE_INVALID = "module_signature_invalid"
    # The sidecar's own failures: the request is denied all the same.
    DPOP_BUSY = "dpop_busy"
    MODULES_BUSY = "modules_busy"
    KEYS_UNAVAILABLE = "keys_unavailable"
    KEYS_DEGRADED = "keys_degraded"
    INTERNAL_FAULT = "internal_fault"


class Grant(StrEnum):
    """The reason for which a request was allowed."""

    TOKEN_VERIFIED = "token_verified"
    """The route requires (or accepts) a token, and the request has a valid one."""
    ANONYMOUS = "anonymous"
    """The route accepts a token, and the request has none."""
    PUBLIC = "public"
    """The route requires nothing; a token, if there was one, was not read."""
    CLIENT_VERIFIED = "client_verified"
    """The route requires a client certificate and no token, and the certificate is allowed."""
    CHALLENGE_ANSWERED = "challenge_answered"
    """A CA requested the token of an order in flight, and got the key authorization."""
    PREFLIGHT = "preflight"
    """A preflight of an allowed origin, which the sidecar answers."""
    SHADOW = "shadow"
    """The route is in shadow mode: the request would be denied, and passes without context."""


class GrpcCode(IntEnum):
    """The gRPC codes of the sidecar's answers (``google.rpc.Code``)."""

    INVALID_ARGUMENT = 3
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Answer(NamedTuple):
    """The answer that a client gets.

    ``challenge`` is the error code of ``WWW-Authenticate``, of RFC 6750 or of RFC 9449:
    ``None`` for no challenge at all, the empty string for a challenge without an error code.
    """

    status: int
    title: str
    challenge: str | None = None


_INVALID_TOKEN = "invalid_token"
_INVALID_REQUEST = "invalid_request"
_INSUFFICIENT_SCOPE = "insufficient_scope"
INVALID_DPOP_PROOF = "invalid_dpop_proof"
USE_DPOP_NONCE = "use_dpop_nonce"


def _token(title: str) -> Answer:
    return Answer(401, title, _INVALID_TOKEN)


def _proof(title: str) -> Answer:
    return Answer(401, title, INVALID_DPOP_PROOF)


ANSWERS: dict[Reason, Answer] = {
    Reason.REQUEST_MALFORMED: Answer(400, "The request could not be understood"),
    Reason.REQUEST_TOO_LARGE: Answer(431, "The request's headers are too large"),
    Reason.HOST_MALFORMED: Answer(400, "The host name is not valid"),
    Reason.PATH_AMBIGUOUS: Answer(400, "The path can be read in more than one way"),
    Reason.ROUTE_UNKNOWN: Answer(403, "No route allows this request"),
    Reason.ORIGIN_NOT_ALLOWED: Answer(403, "Pages of this origin may not ask this"),
    Reason.TOKEN_MISSING: Answer(401, "An access token is required", ""),
    Reason.TOKEN_AMBIGUOUS: Answer(400, "More than one credential was sent", _INVALID_REQUEST),
    Reason.TOKEN_SCHEME_UNSUPPORTED: Answer(
        401, "This scheme of authorization is not accepted here", ""
    ),
    Reason.TOKEN_TOO_LARGE: Answer(431, "The access token is too large", _INVALID_REQUEST),
    Reason.TOKEN_MALFORMED: _token("The access token is malformed"),
    Reason.ALGORITHM_NOT_ALLOWED: _token("The token's algorithm is not allowed"),
    Reason.TOKEN_TYPE_NOT_ALLOWED: _token("The token's type is not allowed"),
    Reason.HEADER_PARAMETER_NOT_ALLOWED: _token("The token's header holds what it must not"),
    Reason.KEY_UNKNOWN: _token("The token's key is not known"),
    Reason.SIGNATURE_INVALID: _token("The token's signature does not verify"),
    Reason.CLAIM_MISSING: _token("The token lacks a required claim"),
    Reason.CLAIM_MALFORMED: _token("A claim of the token is malformed"),
    Reason.TOKEN_EXPIRED: _token("The access token has expired"),
    Reason.TOKEN_NOT_YET_VALID: _token("The access token is not valid yet"),
    Reason.TOKEN_ISSUED_IN_FUTURE: _token("The access token was issued in the future"),
    Reason.TOKEN_LIFETIME_TOO_LONG: _token("The access token lives too long"),
    Reason.ISSUER_MISMATCH: _token("The token's issuer is not accepted"),
    Reason.AUDIENCE_MISMATCH: _token("The token is meant for another audience"),
    Reason.REFRESH_TOKEN_PRESENTED: _token("A refresh token is not an access token"),
    Reason.TOKEN_REVOKED: _token("The access token has been revoked"),
    Reason.PII_IN_TOKEN: _token("The access token holds personal data"),
    Reason.TOKEN_BOUND: _token("The access token is bound, and was sent without its proof"),
    Reason.TOKEN_NOT_BOUND: _token("The access token must be bound to a key of its holder"),
    Reason.CERTIFICATE_MISMATCH: _token("The access token is bound to another certificate"),
    Reason.DPOP_PROOF_MISSING: _proof("A DPoP proof is required"),
    Reason.DPOP_PROOF_INVALID: _proof("The DPoP proof is not valid"),
    Reason.DPOP_PROOF_MISMATCH: _proof("The DPoP proof is for another request, token or key"),
    Reason.DPOP_PROOF_EXPIRED: _proof("The DPoP proof was made too long ago, or in the future"),
    Reason.DPOP_PROOF_REPLAYED: _proof("The DPoP proof has been used before"),
    Reason.DPOP_NONCE_REQUIRED: Answer(401, "The DPoP proof needs this nonce", USE_DPOP_NONCE),
    Reason.TENANT_UNKNOWN: Answer(403, "The access token's tenant is not known here"),
    Reason.TENANT_MISMATCH: Answer(403, "The access token belongs to another tenant"),
    Reason.ROLE_MISSING: Answer(403, "The access token lacks a role", _INSUFFICIENT_SCOPE),
    Reason.SCOPE_MISSING: Answer(403, "The access token lacks a scope", _INSUFFICIENT_SCOPE),
    Reason.CLIENT_CERTIFICATE_MISSING: Answer(403, "A client certificate is required"),
    Reason.CLIENT_NOT_ALLOWED: Answer(403, "The client certificate is not allowed here"),
    Reason.RATE_LIMITED: Answer(429, "Too many requests"),
    Reason.MODULE_MISSING: Answer(422, "The module's bundle is missing"),
    Reason.MODULE_TOO_LARGE: Answer(413, "The module's bundle is too large"),
    Reason.MODULE_ENCODED: Answer(415, "The module's bundle must be sent as it was signed"),
    Reason.MODULE_WITHDRAWN: Answer(422, "The module's bundle has been withdrawn"),
    Reason.MODULE_UNSIGNED: Answer(422, "The module's bundle is not signed"),
    Reason.MODULE_SIGNATURE_MALFORMED: Answer(422, "The module's signature is malformed"),
    Reason.MODULE_KEY_UNKNOWN: Answer(422, "The module is signed by no registered publisher"),
    Reason.MODULE_SIGNATURE_INVALID: Answer(422, "The module's signature does not fit its bundle"),
    Reason.MODULES_BUSY: Answer(503, "Too many modules are being checked at the moment"),
    Reason.DPOP_BUSY: Answer(503, "DPoP proofs cannot be accepted at the moment"),
    Reason.KEYS_DEGRADED: Answer(503, "Tokens cannot be verified at the moment"),
    Reason.KEYS_UNAVAILABLE: Answer(503, "Tokens cannot be verified at the moment"),
    Reason.INTERNAL_FAULT: Answer(503, "The request could not be checked"),
}

GRPC_CODES = {
    400: GrpcCode.INVALID_ARGUMENT,
    401: GrpcCode.UNAUTHENTICATED,
    403: GrpcCode.PERMISSION_DENIED,
    413: GrpcCode.RESOURCE_EXHAUSTED,
    415: GrpcCode.INVALID_ARGUMENT,
    421: GrpcCode.INVALID_ARGUMENT,
    422: GrpcCode.INVALID_ARGUMENT,
    429: GrpcCode.RESOURCE_EXHAUSTED,
    431: GrpcCode.RESOURCE_EXHAUSTED,
    503: GrpcCode.UNAVAILABLE,
}
"""The code that a gRPC client gets, by the answer's HTTP status.

Envoy's own table is made for proxies: it maps 400 to an error of the client's library
(INTERNAL) and does not know 422 and 431 (UNKNOWN). This one is that of ``google.rpc.Code``.
"""
