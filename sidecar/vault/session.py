"""The HTTP session of the calls to Vault: what hvac gets wrong is put right below it.

- Some paths exist in the root namespace alone (``sys/health`` answers 400 in any other), and
  hvac sends ``vault.namespace`` with every request.
- hvac knows few statuses by their class, and takes a redirect for an answer. Those that no
  caller of hvac's exceptions waits for are raised here, with Vault's words.
"""

import contextlib
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import requests

from sidecar.common.http_client import make_session
from sidecar.config import model
from sidecar.vault.statuses import VaultAnswer, words_of

ROOT_PATHS = frozenset(
    {
        "/v1/sys/ha-status", "/v1/sys/health", "/v1/sys/host-info", "/v1/sys/init",
        "/v1/sys/leader", "/v1/sys/seal-status",
    }
)  # fmt: skip
"""Paths that are asked for without ``vault.namespace``."""
_HEALTH = "/v1/sys/health"
_NAMESPACE = "X-Vault-Namespace"
_HVACS_OWN = frozenset({400, 403, 404})
"""The statuses whose exceptions of hvac the callers catch, but for an engine that starts."""
_CONNECTIONS = 32
"""Kept open: each issuer has threads of its own, and all of them this one session."""
_FIRST_PROBLEM = 300
_MAX_RETRY_AFTER_SECONDS = 3600.0
_MAX_WORDS_BYTES = 65_536


class VaultStatusError(Exception):
    """Vault answered with a status that is no success."""

    def __init__(self, answer: VaultAnswer) -> None:
        super().__init__(f"status {answer.status}")
        self.answer = answer


def make_vault_session(
    settings: model.Vault,
    client_certificate: tuple[str, str] | None,
    saw_date: Callable[[float], None] = lambda _seconds: None,
) -> requests.Session:
    """Return the session that all calls to Vault share.

    ``saw_date`` is called with the time that Vault says it is, of each answer.
    """
    address = settings.address
    session = make_session(
        ca_file=settings.ca_file,
        client_certificate=client_certificate,
        unix_socket=address.removeprefix("unix:") if address.startswith("unix:") else None,
        connections=_CONNECTIONS,
    )
    session.auth = _outside_namespaces
    session.hooks["response"].append(partial(_note_date, saw_date))
    session.hooks["response"].append(_raise_for_status)
    return session


def _note_date(
    saw_date: Callable[[float], None], response: requests.Response, *_: object, **__: object
) -> None:
    with contextlib.suppress(ValueError, OverflowError):
        saw_date(parsedate_to_datetime(response.headers.get("Date", "")).timestamp())


def _outside_namespaces(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Take the namespace from a request for a path of the root; called before it is sent."""
    if _path(request) in ROOT_PATHS:
        request.headers.pop(_NAMESPACE, None)
    return request


def _raise_for_status(response: requests.Response, *_: object, **__: object) -> None:
    status = response.status_code
    if status < _FIRST_PROBLEM:
        return
    if _path(response.request) == _HEALTH:
        return  # there a status says what kind of server it is, and the body is an answer
    answer = VaultAnswer(
        status,
        words_of(_errors(response)),
        response.headers.get("Location", ""),
        _retry_after(response.headers.get("Retry-After", "")),
    )
    if status not in _HVACS_OWN or answer.is_not_ready:
        raise VaultStatusError(answer)


def _path(request: requests.PreparedRequest) -> str:
    return request.path_url.partition("?")[0]


def _errors(response: requests.Response) -> Any:
    if len(response.content) > _MAX_WORDS_BYTES:
        return None
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body.get("errors") if isinstance(body, dict) else None


def _retry_after(header: str) -> float | None:
    """Return the seconds of a ``Retry-After``, as Vault's quotas send it (no dates)."""
    if not (header.isascii() and header.isdigit()):
        return None
    return min(float(header), _MAX_RETRY_AFTER_SECONDS)
