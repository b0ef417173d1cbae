"""One login to Vault, and the calls of hvac that use it. All of it runs in a client's threads.

Several clients may share a connection (``VaultClient.with_own_threads``): they have one token,
one session of requests, and one opinion on whether Vault answers.
"""

from collections.abc import Callable
from time import sleep
from typing import Any, TypeVar

import hvac

from sidecar.common.clock import wall_seconds
from sidecar.config import model
from sidecar.vault.auth import make_auth
from sidecar.vault.contact import VaultContact
from sidecar.vault.identity import VaultIdentity
from sidecar.vault.session import VaultStatusError, make_vault_session
from sidecar.vault.translate import translated
from sidecar.vault.versions import CappedEntries

T = TypeVar("T")
_CATCH_UP_SECONDS = (0.1, 0.3)
"""The pauses before a call is made again that a standby, or an engine, could not answer yet."""


class VaultConnection:
    """Calls Vault with a live token; a refused token is replaced once."""

    def __init__(self, settings: model.Vault, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._session: Any = None
        self.identity = VaultIdentity(make_auth(settings.auth), self._make_client, clock)
        self.capped = CappedEntries()
        self.contact = VaultContact(wall_seconds)

    def where(self, path: str) -> str:
        """Return the beginning of a fault's message about a call."""
        return f"Vault at {self._settings.address}, {path}"

    def run(self, path: str, function: Callable[[Any], T]) -> T:
        """Make one call with hvac's client. Raises only ``VaultFault``."""
        with translated(self.where(path), self._files()):
            bearer = self.identity.bearer()
            try:
                return _repeated(function, bearer.client)
            except hvac.exceptions.Forbidden:
                other = self.identity.after_refusal(bearer)
                if other is None:
                    raise
            result = _repeated(function, other.client)
            self.identity.login_helped()
            return result

    def _files(self) -> list[str | None]:
        """Return the files that every connection needs."""
        settings, auth = self._settings, self._settings.auth
        own = [auth.certificate_file, auth.key_file] if isinstance(auth, model.CertAuth) else []
        return [settings.ca_file, *own]

    def close_idle(self) -> None:
        """Close the connections that no call is using; a later call opens another.

        A restart inside the process leaves the client behind, whose connections would stay.
        """
        if self._session is not None:
            self._session.close()

    def _make_client(self, token: str) -> Any:
        """Build an ``hvac.Client``; all share one session, and so its connections."""
        settings = self._settings
        address, auth = settings.address, settings.auth
        certificate = None
        if isinstance(auth, model.CertAuth):
            certificate = (auth.certificate_file, auth.key_file)
        on_socket = address.startswith("unix:")
        if self._session is None:
            self._session = make_vault_session(settings, certificate, self.contact.saw_date)
        return hvac.Client(
            url="http://localhost" if on_socket else address.rstrip("/"),
            token=token,  # never None: hvac would read VAULT_TOKEN
            timeout=settings.timeout_seconds,
            verify=settings.ca_file or True,
            cert=certificate or (),  # never None: it would read VAULT_CLIENT_CERT
            allow_redirects=False,
            namespace=settings.namespace,
            session=self._session,
        )


def _repeated(function: Callable[[Any], T], client: Any) -> T:
    """Call; once more and then again where the standby lags behind or the engine starts."""
    for pause in _CATCH_UP_SECONDS:
        try:
            return function(client)
        except VaultStatusError as exc:
            if not exc.answer.passes_soon:
                raise
        sleep(pause)
    return function(client)
