"""The sidecar's token of Vault, renewed and replaced when that is due.

All of it runs in the client's threads, several at once. A token and the client that sends it
are one immutable pair: a call uses the pair it began with while another thread logs in.
"""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from hvac import exceptions

from sidecar.vault.auth import AuthMethod, TokenLease, lease_of
from sidecar.vault.errors import VaultForbidden

RENEW_PAUSE_SECONDS = 10.0
"""After a renewal that failed, and no login either."""
LOGIN_PAUSE_SECONDS = 60.0
"""After a login that did not help, since each may leave a live token in Vault."""


class Bearer(NamedTuple):
    """An ``hvac.Client`` and the lease on the token it sends."""

    client: Any
    lease: TokenLease


class VaultIdentity:
    """Logs in when needed, and renews at two thirds of a token's life."""

    def __init__(
        self,
        auth: AuthMethod,
        make_client: Callable[[str], Any],
        clock: Callable[[], float],
    ) -> None:
        self._auth = auth
        self._make_client = make_client
        self._clock = clock
        self._bearer: Bearer | None = None
        self._lock = threading.Lock()
        self._no_login_before = clock()
        self._no_renewal_before = clock()
        self._problem: Exception | None = None
        """Why our token could not be renewed or replaced when that was due."""

    @property
    def lease(self) -> TokenLease | None:
        """Return the lease in use; ``None`` before the first login."""
        return self._bearer.lease if self._bearer is not None else None

    def bearer(self) -> Bearer:
        """Return the bearer of a live token; renew or log in first if that is due."""
        with self._lock:
            bearer, now = self._bearer, self._clock()
            if bearer is None or _past(bearer.lease.expires_at, now):
                return self._log_in(now)
            if self._auth.stale():
                try:
                    return self._log_in(now)
                except VaultForbidden:
                    # The file is missing or half written: the old token is used until refused.
                    return bearer
            if _past(bearer.lease.renew_at, now) and now >= self._no_renewal_before:
                return self._renew_or_keep(bearer, now)
            return bearer

    def _renew_or_keep(self, bearer: Bearer, now: float) -> Bearer:
        """Renew a token that lives, or log in; whatever comes of that, it is good until it ends.

        Where Vault can be read and not written to (a standby whose leader is gone, a login that
        is refused), what we read goes on being read. ``check`` says that there is a problem.
        """
        try:
            return self._renew(bearer, now) or self._log_in(now)
        except Exception as exc:  # noqa: BLE001 - whatever the libraries raise, the token lives
            self._problem = exc
            self._no_renewal_before = now + RENEW_PAUSE_SECONDS
            return bearer

    def check(self) -> None:
        """Raise what the libraries raised when our token was to be renewed, while it is not."""
        with self._lock:
            if self._problem is not None:
                raise self._problem

    def after_refusal(self, refused: Bearer) -> Bearer | None:
        """Return the bearer for another try, or ``None`` if the refusal is final.

        Vault answers 403 both to a dead token and to a live one whose policy does not
        allow the call. A token that can be renewed is alive; then a new one would change
        nothing and stay in Vault until it expires.
        """
        with self._lock:
            if self._bearer is not None and self._bearer is not refused:
                return self._bearer
            now = self._clock()
            if self._auth.stale():
                return self._log_in(now)
            if self._renew(refused, now) is not None or now < self._no_login_before:
                return None
            self._no_login_before = now + LOGIN_PAUSE_SECONDS
            return self._log_in(now)

    def login_helped(self) -> None:
        """Record that Vault accepted the new token: the next refusal may cause a login at once."""
        with self._lock:
            self._no_login_before = self._clock()

    def forget(self) -> None:
        """Drop the token."""
        self._bearer = None

    def _log_in(self, now: float) -> Bearer:
        lease = self._auth.login(self._make_client(""), now)
        self._bearer = Bearer(self._make_client(lease.token), lease)
        self._problem = None
        return self._bearer

    def _renew(self, bearer: Bearer, now: float) -> Bearer | None:
        """Renew; return ``None`` if Vault refuses, or if the new life is too short to be of use."""
        client, lease = bearer
        if not lease.renewable:
            return None
        try:
            renewed = lease_of(client.auth.token.renew_self()["auth"], now)
        except (exceptions.Forbidden, exceptions.InvalidRequest):
            return None
        self._bearer = Bearer(client, renewed)
        # Close to its maximum a token is renewed for less and less: then a new one is due.
        if _past(lease.renew_at, now) and not _later(renewed.renew_at, lease.expires_at):
            return None
        self._problem = None
        return self._bearer


def _past(moment: float | None, now: float) -> bool:
    return moment is not None and now >= moment


def _later(moment: float | None, other: float | None) -> bool:
    return moment is None or other is None or moment > other
