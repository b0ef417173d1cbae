"""Translates the exceptions of hvac and requests to faults.

Their messages contain URLs and whole answers; ours contain an address, a path, what to do, and
Vault's own words (``statuses``). Exceptions are matched by class name, along their bases.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.common.http_client import pem_problem
from sidecar.common.polling import describe
from sidecar.common.tls_failure import tls_failure
from sidecar.vault.errors import (
    VaultFault,
    VaultRejected,
    VaultUnreachable,
)
from sidecar.vault.session import VaultStatusError
from sidecar.vault.statuses import VaultAnswer, fault_of_answer, words_of

_GONE = (VaultUnreachable, "cannot be reached")
_FAULTS: dict[str, tuple[type[VaultFault], str]] = {
    "SSLError": (VaultUnreachable, ""),
    "Timeout": (VaultUnreachable, "no answer in time"),
    "ContentDecodingError": (VaultRejected, "the answer is too large or can't be decoded"),
    "RequestException": _GONE,
    "HTTPError": _GONE,  # urllib3's, while an answer is read
}
_STATUSES = {"InvalidRequest": 400, "Forbidden": 403, "InvalidPath": 404}
"""The exceptions of hvac for the statuses that ``session`` leaves to it."""


def translate(exc: Exception, where: str, files: Iterable[str | None] = ()) -> VaultFault:
    """Return the fault for an exception of hvac or requests; ``where`` begins the message.

    ``files`` are the CA and the certificate that the connection needs: if one of them can't be
    used, that is the reason, whatever was raised.
    """
    if isinstance(exc, OSError) and (problem := _file_problem(files)):
        return VaultUnreachable(f"{where}: {problem}")
    if isinstance(exc, VaultStatusError):
        return fault_of_answer(exc.answer, where)
    for kind in type(exc).__mro__:
        if kind.__name__ in _STATUSES:
            said = words_of(getattr(exc, "errors", None))
            return fault_of_answer(VaultAnswer(_STATUSES[kind.__name__], said), where)
        if kind.__name__ in _FAULTS:
            fault, words = _FAULTS[kind.__name__]
            return fault(f"{where}: {words or tls_failure(exc, 'vault.ca_file')}")
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
