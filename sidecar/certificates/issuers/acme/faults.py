"""The faults of an ACME CA, by their problem type (RFC 8555 §6.7)."""

import requests
from acme import errors, messages

from sidecar.common.errors import Fault
from sidecar.common.tls_failure import tls_failure

_FINAL = frozenset(
    {
        "accountDoesNotExist", "badCSR", "badPublicKey", "badSignatureAlgorithm", "caa",
        "externalAccountRequired", "invalidContact", "malformed", "rejectedIdentifier",
        "unsupportedContact", "unsupportedIdentifier", "userActionRequired",
    }
)  # fmt: skip
"""Problems that the same order meets again until a person has changed something."""
_KNOWN = frozenset(
    {
        "alreadyReplaced", "alreadyRevoked", "badNonce", "badRevocationReason", "compound",
        "connection", "dns", "incorrectResponse", "invalidProfile", "orderNotReady", "rateLimited",
        "serverInternal", "tls", "unauthorized",
    }
)  # fmt: skip
"""The other problems of RFC 8555 §6.7, and those that RFC 9773 and profiles add."""
PROBLEMS = _FINAL | _KNOWN | {"challenge", "unreachable", "other"}
"""All problems: a closed set, so that it may be a label. ``challenge``: it is not in place."""
_PREFIX = "urn:ietf:params:acme:error:"
_MAX_DETAIL_CHARACTERS = 300


class AcmeFault(Fault):
    """An ACME CA can't be reached, or refuses. ``problem`` is one of ``PROBLEMS``."""

    def __init__(
        self, problem: str, message: str, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(f"{problem}: {message}")
        self.problem = problem if problem in PROBLEMS else "other"
        self.retryable = self.problem not in _FINAL
        self.retry_after_seconds = retry_after_seconds


def from_problem(problem: messages.Error, retry_after_seconds: float | None) -> AcmeFault:
    """Return the fault of a problem document; a subproblem says which name it is about."""
    first = (problem.subproblems or (problem,))[0]
    shown = first if _code(first) != "other" else problem
    detail = str(shown.detail or shown.title or "no detail")
    about = f" ({shown.identifier.value})" if shown.identifier is not None else ""
    return AcmeFault(_code(shown), printable(detail) + about, retry_after_seconds)


def _code(problem: messages.Error) -> str:
    code = str(problem.typ).removeprefix(_PREFIX)
    return code if code in PROBLEMS else "other"


def translate(exc: Exception, where: str, retry_after_seconds: float | None) -> AcmeFault:
    """Return the fault for an exception of the ACME library or of requests."""
    if isinstance(exc, messages.Error):
        fault = from_problem(exc, retry_after_seconds)
        return AcmeFault(fault.problem, f"{where}: {fault}", fault.retry_after_seconds)
    if isinstance(exc, errors.IssuanceError):
        return translate(exc.error, where, retry_after_seconds)
    if isinstance(exc, requests.exceptions.RequestException):
        hint = (
            tls_failure(exc, "issuers[].ca_file")
            if isinstance(exc, requests.exceptions.SSLError)
            else "cannot be reached"
        )
        return AcmeFault("unreachable", f"{where}: {hint}", retry_after_seconds)
    return AcmeFault(
        "other", f"{where}: the answer can't be read ({type(exc).__name__})",
        retry_after_seconds,
    )  # fmt: skip


def printable(text: str) -> str:
    """Return a CA's text, bounded and on one line."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_DETAIL_CHARACTERS])
