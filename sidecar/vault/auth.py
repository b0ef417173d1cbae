"""The methods of logging in to Vault: what each sends, and the lease it gets.

Every method reads its credential from a file at the time of the login, so that a credential
which an agent or an orchestrator rotates is used. All of it runs in the client's threads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hvac import exceptions

from sidecar.config import model
from sidecar.vault.errors import VaultForbidden
from sidecar.vault.statuses import words_of

MAX_CREDENTIAL_BYTES = 65_536
RENEW_AT_SHARE = 2 / 3


class TokenLease(NamedTuple):
    """A token for calls to Vault. Times are monotonic seconds; ``None`` means never."""

    token: str
    renew_at: float | None
    expires_at: float | None
    renewable: bool

    def __repr__(self) -> str:
        """Show everything except the token."""
        return f"Lease(renew_at={self.renew_at}, expires_at={self.expires_at})"


class AuthMethod(Protocol):
    """One login method."""

    def login(self, client: Any, now: float, /) -> TokenLease:
        """Get a token; ``client`` is an ``hvac.Client`` without one."""

    def stale(self) -> bool:
        """Tell whether the credential has changed since the login."""


def make_auth(settings: model.VaultAuth) -> AuthMethod:
    """Return the method that the configuration names."""
    match settings:
        case model.TokenFileAuth():
            return TokenFile(Path(settings.path))
        case model.AppRoleAuth():
            secret_id = SecretId(Path(settings.secret_id_file), wrapped=settings.secret_id_wrapped)
            role_id_file = Path(settings.role_id_file)
            return Login(
                settings.mount,
                lambda client: {
                    "role_id": read_credential(role_id_file, "AppRole role id"),
                    "secret_id": secret_id.read(client),
                },
            )
        case model.KubernetesAuth() | model.JwtAuth():
            jwt_file, role = Path(settings.jwt_file), settings.role
            return Login(
                settings.mount,
                lambda _client: {"role": role, "jwt": read_credential(jwt_file, "JWT")},
            )
        case model.CertAuth():
            name = settings.role
            return Login(settings.mount, lambda _client: {"name": name} if name else {})


class TokenFile:
    """A token that a Vault agent writes to a file (its sink), and renews."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None

    def login(self, _client: Any, _now: float, /) -> TokenLease:
        """Read the file."""
        self._seen = fingerprint(self._path)
        return TokenLease(read_credential(self._path, "Vault token"), None, None, renewable=False)

    def stale(self) -> bool:
        """Tell whether the agent has written the file again."""
        return fingerprint(self._path) != self._seen


class Login:
    """A method that exchanges a credential for a token at ``auth/<mount>/login``."""

    def __init__(self, mount: str, credential: Callable[[Any], dict[str, str]]) -> None:
        self._mount = mount
        self._credential = credential

    def login(self, client: Any, now: float) -> TokenLease:
        """Exchange the credential. Raises ``VaultForbidden`` if Vault refuses it."""
        try:
            answer = client.adapter.login(
                use_token=False, url=f"/v1/auth/{self._mount}/login", json=self._credential(client)
            )
        except (exceptions.InvalidRequest, exceptions.Forbidden, exceptions.InvalidPath) as exc:
            words = words_of(exc.errors)
            raise VaultForbidden(
                f"Vault refuses our login at auth/{self._mount}: "
                "check that the credential of vault.auth is valid and that its role exists"
                + (f'; Vault says: "{words}"' if words else "")
            ) from None
        return lease_of(answer["auth"], now)

    def stale(self) -> bool:
        """Return False: a token stays valid when its credential changes."""
        return False


class SecretId:
    """AppRole's secret id from its file, unwrapped if it is wrapped.

    A wrapping token can be used once. The secret id is kept in memory for the next login,
    until the file has another wrapping token.
    """

    def __init__(self, path: Path, *, wrapped: bool) -> None:
        self._path = path
        self._wrapped = wrapped
        self._seen: object = None
        self._unwrapped = ""

    def read(self, client: Any) -> str:
        """Return the secret id itself."""
        if not self._wrapped:
            return read_credential(self._path, "AppRole secret id")
        seen = fingerprint(self._path)
        if seen != self._seen:
            # The wrapping token itself authorises its unwrapping.
            client.token = read_credential(self._path, "wrapped AppRole secret id")
            try:
                self._unwrapped = str(client.sys.unwrap()["data"]["secret_id"])
            finally:
                client.token = ""
            self._seen = seen
        return self._unwrapped


def lease_of(auth: dict[str, Any], now: float) -> TokenLease:
    """Read the ``auth`` part of Vault's answer to a login or a renewal."""
    ttl_seconds = float(auth.get("lease_duration") or 0)
    if ttl_seconds <= 0:
        return TokenLease(auth["client_token"], None, None, renewable=False)
    return TokenLease(
        token=auth["client_token"],
        renew_at=now + ttl_seconds * RENEW_AT_SHARE,
        expires_at=now + ttl_seconds,
        renewable=bool(auth.get("renewable")),
    )


def fingerprint(path: Path) -> tuple[int, int] | None:
    """Return a mark that changes when a file is written; ``None`` if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def read_credential(path: Path, what: str) -> str:
    """Read a credential's file. Raises ``VaultForbidden``, which never quotes the content."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CREDENTIAL_BYTES + 1)
    except OSError as exc:
        raise VaultForbidden(f"the {what} cannot be read from {path}: {exc.strerror}") from exc
    text = raw.strip()
    if not text or len(raw) > MAX_CREDENTIAL_BYTES or not text.isascii():
        raise VaultForbidden(f"{path} holds no {what}: one line of ASCII is expected")
    return text.decode("ascii")
