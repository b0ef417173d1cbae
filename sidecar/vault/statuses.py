"""What each HTTP status of Vault means for the caller: one table. Pure.

A status that is not in the table is judged by its class: 4xx is a refusal, 5xx an outage. What
says that somebody could not answer is retryable; nothing that is served is taken back for it.
One refusal is an outage by its words alone: that of an engine which is not ready yet.
Source: Vault's "HTTP Status Codes", `sys/health` for 472 and 473; for the words `upgradeCheck`
of the engine KV, and the handlers of PKI that wait for the migration of its storage.
"""

from typing import NamedTuple
from urllib.parse import urlsplit

from sidecar.common.printable import printable
from sidecar.common.redact import redact
from sidecar.vault.errors import (
    VaultFault,
    VaultForbidden,
    VaultNotFound,
    VaultRejected,
    VaultSealed,
    VaultStale,
    VaultUnreachable,
)

STALE = 412
"""The standby that answered has not yet what was written: the same call is made again."""
MAX_WORDS = 300
_MAX_ERRORS = 8
_SAID_ALREADY = "permission denied"
_REDIRECTS = range(300, 400)
_SERVER_ERRORS = range(500, 600)

_INVALID = 400
"""hvac has an exception for it; an engine that is not ready yet says it too."""
_NOT_READY = (
    "This backend will be unavailable for a brief period",
    "until migration has completed",
)
"""What an engine says while it starts: KV version 2 after each unsealing and each change of the
leader, for as long as it looks whether its entries are versioned; PKI while it moves its own."""
_SEALED = "Vault is sealed, a standby, or not initialised"
_DENIED = "permission denied; see its policy and vault.auth"
_NO_ANSWER = "whoever stands before Vault got no answer from it"
_STATUSES: dict[int, tuple[type[VaultFault], str]] = {
    _INVALID: (VaultRejected, "Vault refused the request as invalid"),
    401: (VaultForbidden, _DENIED),
    403: (VaultForbidden, _DENIED),
    404: (VaultNotFound, "nothing exists there, or it was deleted"),
    405: (VaultRejected, "this path takes no such request; does the mount have this engine?"),
    408: (VaultUnreachable, "the request took too long"),
    STALE: (VaultStale, "the standby that answers lags behind its leader"),
    413: (VaultRejected, "the request is larger than Vault or a proxy allows"),
    425: (VaultUnreachable, "Vault or a proxy wants the request later"),
    429: (VaultUnreachable, "Vault limits the rate of requests"),
    472: (VaultSealed, "it is a standby for disaster recovery; set vault.address to the primary"),
    473: (VaultSealed, "it is a performance standby that can't answer this"),
    500: (VaultUnreachable, "Vault answered with an internal error"),
    501: (VaultSealed, _SEALED),
    502: (VaultUnreachable, _NO_ANSWER),
    503: (VaultSealed, _SEALED),
    504: (VaultUnreachable, _NO_ANSWER),
}


class VaultAnswer(NamedTuple):
    """What Vault answered, where that is no success."""

    status: int
    words: str = ""
    """Vault's own words, bounded, on one line, without secrets."""
    location: str = ""
    retry_after_seconds: float | None = None

    @property
    def is_not_ready(self) -> bool:
        """Tell whether an engine starts, and refuses everything until it is ready."""
        return self.status == _INVALID and any(each in self.words for each in _NOT_READY)

    @property
    def passes_soon(self) -> bool:
        """Tell whether the same call may well be answered in a moment."""
        return self.status == STALE or self.is_not_ready


def fault_of_answer(answer: VaultAnswer, where: str) -> VaultFault:
    """Return the fault for an answer; ``where`` begins the message."""
    kind, said = _meaning(answer)
    is_news = answer.words and not answer.words.endswith(_SAID_ALREADY)
    shown = f'; Vault says: "{answer.words}"' if is_news else ""
    fault = kind(f"{where}: {said}{shown}")
    fault.words = answer.words
    if fault.retryable:
        fault.retry_after_seconds = answer.retry_after_seconds
    return fault


def _meaning(answer: VaultAnswer) -> tuple[type[VaultFault], str]:
    status = answer.status
    if status in _REDIRECTS:
        return VaultSealed, (
            f"a standby, or a proxy, redirects to {origin_of(answer.location)}; redirects are not "
            "followed, since our token would go there: set vault.address to the leader or to a "
            "load balancer, or let standbys forward requests"
        )
    if answer.is_not_ready:
        return VaultUnreachable, "the engine that is mounted there starts, and is not ready yet"
    known = _STATUSES.get(status)
    if known is not None:
        return known
    if status in _SERVER_ERRORS:
        return VaultUnreachable, f"Vault answered {status}"
    return VaultRejected, f"Vault refused the request with status {status}"


def origin_of(location: str) -> str:
    """Return scheme, host and port of a URL: its path and query are nobody's business."""
    try:
        parts = urlsplit(location)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "somewhere"
    if not parts.scheme or not parts.hostname:
        return "somewhere"
    return printable(redact(f"{parts.scheme}://{parts.hostname}{port}", MAX_WORDS), MAX_WORDS)


def words_of(errors: object) -> str:
    """Return the ``errors`` of an answer's JSON as words that may be shown."""
    if not isinstance(errors, list):
        return ""
    listed = [" ".join(each.split()) for each in errors[:_MAX_ERRORS] if isinstance(each, str)]
    return printable(redact("; ".join(filter(None, listed)), MAX_WORDS), MAX_WORDS)
