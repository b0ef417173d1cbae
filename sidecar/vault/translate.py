"""What hvac and requests raise, turned into our faults without what they quote.

Their messages hold URLs and bodies of answers; ours an address, a path and what to do.
Faults are found by class name, so the libraries need not be imported for it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
    "SSLError": (VaultUnreachable, "TLS fails; is vault.ca_file its CA?"),
    "Timeout": (VaultUnreachable, "no answer in time"),
    "ContentDecodingError": (VaultRejected, "the answer is too large or can't be decoded"),
    "RequestException": _GONE,
    "HTTPError": _GONE,  # urllib3's, while an answer is read
    # hvac
    "VaultDown": (VaultSealed, "sealed, standing by or not initialised"),
    "VaultNotInitialized": (VaultSealed, "sealed, standing by or not initialised"),
    "Forbidden": (VaultForbidden, "permission denied; see its policy and vault.auth"),
    "Unauthorized": (VaultForbidden, "permission denied; see its policy and vault.auth"),
    "InvalidPath": (VaultNotFound, "nothing is there, or it was deleted"),
    "InvalidRequest": (VaultRejected, "the request is refused as invalid"),
    "RateLimitExceeded": (VaultUnreachable, "it limits our rate"),
    "InternalServerError": (VaultUnreachable, "it answers with an error of its own"),
    "BadGateway": _GONE,
}


def translate(exc: Exception, where: str, files: Iterable[str | None] = ()) -> VaultFault:
    """Name the fault of an exception of hvac or requests; ``where`` begins the message.

    ``files`` are the CA and the certificate that the connection stands on: one of them that
    can't be used is the reason, whatever was raised.
    """
    if isinstance(exc, OSError) and (problem := _file_problem(files)):
        return VaultUnreachable(f"{where}: {problem}")
    for kind in type(exc).__mro__:
        if kind.__name__ in _FAULTS:
            fault, words = _FAULTS[kind.__name__]
            return fault(f"{where}: {words}")
    if isinstance(exc, OSError):
        return VaultUnreachable(f"{where}: {describe(exc)}")
    return VaultRejected(f"{where}: the answer can't be understood ({type(exc).__name__})")


def _file_problem(files: Iterable[str | None]) -> str:
    from sidecar.common.http_client import pem_problem  # noqa: PLC0415 - brings requests

    for path in files:
        if path is not None and (problem := pem_problem(Path(path))):
            return f"{path} {problem}"
    return ""


@contextmanager
def translated(where: str, files: Iterable[str | None] = ()) -> Iterator[None]:
    """Let nothing but ``VaultFault`` out of the block."""
    try:
        yield
    except VaultFault:
        raise
    except Exception as exc:  # noqa: BLE001 - what the libraries raise ends here
        raise translate(exc, where, files) from None
