"""Who we are to Vault at this moment: a token, renewed and replaced as that falls due.

Every credential is read from its file at the moment it is needed, so that what an agent or an
orchestrator rotates is picked up.
"""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

from workload.clock import Now
from workload.settings import (
    AppRoleLogin,
    CertLogin,
    JwtLogin,
    KubernetesLogin,
    TokenFileLogin,
    VaultLogin,
)
from workload.vault.errors import VaultCallFault, VaultHasNot, VaultInvalid, VaultRefuses
from workload.vault.http import VaultHttp, fingerprint

MAX_CREDENTIAL_BYTES = 65_536
_VISIBLE = frozenset(range(0x21, 0x7F))
"""ASCII that can be seen: no space, no control character."""
RENEW_AT_SHARE = 2 / 3
LOGIN_PAUSE_SECONDS = 60.0
"""After a login that did not help: each may leave a live token behind in Vault."""


class Lease(NamedTuple):
    """A token to call Vault with. Times are monotonic seconds; ``None`` means never."""

    token: str
    renew_at: float | None
    expires_at: float | None
    renewable: bool

    def __repr__(self) -> str:
        """Show everything but the token."""
        return f"Lease(renew_at={self.renew_at}, expires_at={self.expires_at})"


class VaultSession:
    """Logs in when that is needed, renews at two thirds of a token's life."""

    def __init__(self, login: VaultLogin, http: VaultHttp, clock: Now) -> None:
        self._login = login
        self._http = http
        self._clock = clock
        self._lease: Lease | None = None
        self._lock = asyncio.Lock()
        self._no_login_before = clock()
        self._unwrapped: tuple[object, str] | None = None
        self._last_token = ""
        self.token_changes = 0
        """How often another token took the place of the one before: what it leased ends with it."""

    async def token(self) -> str:
        """Return a live token. Raises ``VaultCallFault``."""
        token = await self._live_token()
        if token != self._last_token:
            self._last_token = token
            self.token_changes += 1
        return token

    async def _live_token(self) -> str:
        if isinstance(self._login, TokenFileLogin):
            return read_credential(self._login.path, "Vault token")
        async with self._lock:
            now, lease = self._clock(), self._lease
            if lease is None or _past(lease.expires_at, now):
                return await self._log_in(self._login)
            if _past(lease.renew_at, now) and not await self._renew(lease):
                return await self._log_in(self._login)
            return lease.token

    async def after_refusal(self, refused: str) -> str | None:
        """Return the token to try again with, or ``None`` where the refusal stands.

        Vault answers 403 both to a dead token and to a live one whose policy does not allow
        the call. A token that can be renewed is alive; a new one would change nothing and stay
        behind in Vault until it expires.
        """
        if isinstance(self._login, TokenFileLogin):
            now_there = read_credential(self._login.path, "Vault token")
            return now_there if now_there != refused else None
        async with self._lock:
            now, lease = self._clock(), self._lease
            if lease is not None and lease.token != refused:
                return lease.token
            if now < self._no_login_before or (lease is not None and await self._renew(lease)):
                return None
            self._no_login_before = now + LOGIN_PAUSE_SECONDS
            return await self._log_in(self._login)

    def login_helped(self) -> None:
        """Take note that Vault took the new token: the next refusal may be answered at once."""
        self._no_login_before = self._clock()

    def forget(self) -> None:
        """Drop the token."""
        self._lease = self._unwrapped = None

    async def _log_in(self, login: AppRoleLogin | JwtLogin | KubernetesLogin | CertLogin) -> str:
        body = await self._credential(login)
        now = self._clock()
        try:
            answer = await self._http.ask("POST", f"auth/{login.mount}/login", "", body)
        except (VaultInvalid, VaultRefuses, VaultHasNot):
            raise VaultRefuses(
                f"Vault refuses our login at auth/{login.mount}: "
                "is what the login names still valid, and its role still there?"
            ) from None
        self._lease = lease_of(answer, now)
        return self._lease.token

    async def _renew(self, lease: Lease) -> bool:
        """Renew; false where Vault will not, or not for long enough to be of use."""
        if not lease.renewable:
            return False
        now = self._clock()
        try:
            answer = await self._http.ask("POST", "auth/token/renew-self", lease.token, {})
        except (VaultInvalid, VaultRefuses):
            return False
        self._lease = renewed = lease_of(answer, now)
        # Near its maximum a token is renewed for less and less: then a new one is due.
        return not _past(lease.renew_at, now) or _later(renewed.renew_at, lease.expires_at)

    async def _credential(
        self, login: AppRoleLogin | JwtLogin | KubernetesLogin | CertLogin
    ) -> dict[str, str]:
        match login:
            case AppRoleLogin():
                role_id = read_credential(login.role_id_file, "AppRole role id")
                return {"role_id": role_id, "secret_id": await self._secret_id(login)}
            case JwtLogin() | KubernetesLogin():
                return {"role": login.role, "jwt": read_credential(login.jwt_file, "JWT")}
            case CertLogin():
                return {"name": login.role} if login.role is not None else {}

    async def _secret_id(self, login: AppRoleLogin) -> str:
        """Read the secret id; one that is wrapped is unwrapped once, which is all Vault allows."""
        if not login.secret_id_wrapped:
            return read_credential(login.secret_id_file, "AppRole secret id")
        seen = fingerprint(Path(login.secret_id_file))
        if self._unwrapped is None or self._unwrapped[0] != seen:
            wrapping = read_credential(login.secret_id_file, "wrapped AppRole secret id")
            # The wrapping token is itself what authorises its unwrapping.
            answer = await self._http.ask("POST", "sys/wrapping/unwrap", wrapping, {})
            self._unwrapped = seen, _text(answer.get("data"), "secret_id")
        return self._unwrapped[1]


def lease_of(answer: dict[str, Any], now: float) -> Lease:
    """Read Vault's answer to a login or a renewal. Raises ``VaultCallFault``."""
    auth = answer.get("auth")
    token = _text(auth, "client_token")
    seconds = auth.get("lease_duration") if isinstance(auth, dict) else None
    renewable = isinstance(auth, dict) and auth.get("renewable") is True
    if not isinstance(seconds, int | float) or seconds <= 0:
        return Lease(token, None, None, renewable=False)
    return Lease(token, now + seconds * RENEW_AT_SHARE, now + seconds, renewable)


def read_credential(path: str, what: str) -> str:
    """Read a credential's file; raises ``VaultRefuses`` naming the file, never its content."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_CREDENTIAL_BYTES + 1)
    except OSError as exc:
        raise VaultRefuses(f"the {what} cannot be read from {path}: {exc.strerror}") from None
    text = raw.strip()
    if len(raw) > MAX_CREDENTIAL_BYTES or not _is_line(text):
        raise VaultRefuses(f"{path} holds no {what}: one line of ASCII is expected")
    return text.decode("ascii")


def _is_line(text: bytes) -> bool:
    """Return whether a text can be a header's value: visible ASCII, and not empty."""
    return bool(text) and _VISIBLE.issuperset(text)


def _text(part: object, name: str) -> str:
    value = part.get(name) if isinstance(part, dict) else None
    if not isinstance(value, str) or not _is_line(value.encode("utf-8", "replace")):
        raise VaultCallFault(f"Vault's answer has no {name}")
    return value


def _past(moment: float | None, now: float) -> bool:
    return moment is not None and now >= moment


def _later(moment: float | None, other: float | None) -> bool:
    return moment is None or other is None or moment > other
