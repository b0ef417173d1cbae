"""Translates the exceptions of hvac and requests to faults that quote no data.

Their messages contain URLs and bodies of answers; ours contain an address, a path and what to
do. Exceptions are matched by class name, along their bases.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.common.http_client import pem_problem
from sidecar.common.polling import describe
from sidecar.vault.errors import (
    VaultFault,
    VaultForbidden,
    VaultNotFound,
    VaultRejected,
    VaultSealed,
    VaultUnreachable,
)

_GONE = (VaultUnreachable, "cannot be reached")
_FAULTS: dict[str, tuple[type[VaultFault], str]] = {
    # requests
    "SSLError": (VaultUnreachable, "TLS fails; check vault.ca_file"),
    "Timeout": (VaultUnreachable, "no answer in time"),
    "ContentDecodingError": (VaultRejected, "the answer is too large or can't be decoded"),
    "RequestException": _GONE,
    "HTTPError": _GONE,  # urllib3's, while an answer is read
    # hvac
    "VaultDown": (VaultSealed, "Vault is sealed, a standby, or not initialised"),
    "VaultNotInitialized": (VaultSealed, "Vault is sealed, a standby, or not initialised"),
    "Forbidden": (VaultForbidden, "permission denied; see its policy and vault.auth"),
    "Unauthorized": (VaultForbidden, "permission denied; see its policy and vault.auth"),
    "InvalidPath": (VaultNotFound, "nothing exists there, or it was deleted"),
    "InvalidRequest": (VaultRejected, "Vault refused the request as invalid"),
    "RateLimitExceeded": (VaultUnreachable, "Vault limits the rate of requests"),
    "InternalServerError": (VaultUnreachable, "Vault answered with an internal error"),
    "BadGateway": _GONE,
}


def translate(exc: Exception, where: str, files: Iterable[str | None] = ()) -> VaultFault:
    """Return the fault for an exception of hvac or requests; ``where`` begins the message.

    ``files`` are the CA and the certificate that the connection needs: if one of them can't be
    used, that is the reason, whatever was raised.
    """
    if isinstance(exc, OSError) and (problem := _file_problem(files)):
        return VaultUnreachable(f"{where}: {problem}")
    for kind in type(exc).__mro__:
        if kind.__name__ in _FAULTS:
            fault, words = _FAULTS[kind.__name__]
            return fault(f"{where}: {words}")
    if isinstance(exc, OSError):
        return VaultUnreachable(f"{where}: {describe(exc)}")
    return VaultRejected(f"{where}: the answer can't be read ({type(exc).__name__})")


def _file_problem(files: Iterable[str | None]) -> str:
    for path in files:
        if path is not None and (problem := pem_problem(Path(path))):
            return f"{path} {problem}"
    return ""


@contextmanager
def translated(where: str, files: Iterable[str | None] = ()) -> Iterator[None]:
    """Translate all exceptions of the block to ``VaultFault``."""
    try:
        yield
    except VaultFault:
        raise
    except Exception as exc:  # noqa: BLE001 - no library's exception leaves this module
        raise translate(exc, where, files) from None
