"""How the sidecar says to Vault who it is: one small class a method, one interface.

Every method reads its credential from a file at the moment of the login, so that what
an agent or an orchestrator rotates is picked up. All of it runs in Vault's threads.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sidecar.config import model
from sidecar.vault.errors import VaultForbidden

MAX_CREDENTIAL_BYTES = 65_536
RENEW_AT_SHARE = 2 / 3


class Lease(NamedTuple):
    """A token to call Vault with. Times are monotonic seconds; ``None`` means never."""

    token: str
    renew_at: float | None
    expires_at: float | None
    renewable: bool

    def __repr__(self) -> str:
        """Show everything but the token."""
        return f"Lease(renew_at={self.renew_at}, expires_at={self.expires_at})"


class AuthMethod(Protocol):
    """One way to log in."""

    def login(self, client: Any, now: float) -> Lease:
        """Get a token; ``client`` is an ``hvac.Client`` without one."""

    def stale(self) -> bool:
        """Tell whether the credential has changed since the login."""


def make_auth(settings: model.TokenFileAuth | model.AppRoleAuth) -> AuthMethod:
    """Choose the method that the configuration names."""
    match settings:
        case model.TokenFileAuth():
            return TokenFile(Path(settings.path))
        case model.AppRoleAuth():
            return AppRole(
                Path(settings.role_id_file), Path(settings.secret_id_file), settings.mount
            )


class TokenFile:
    """A token that a Vault agent keeps fresh in a file (its sink). Renewing it is its job."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def login(self, client: Any, now: float) -> Lease:  # noqa: ARG002 - the interface
        """Read the file."""
        self._seen = self._fingerprint()
        return Lease(read_credential(self._path, "Vault token"), None, None, renewable=False)

    def stale(self) -> bool:
        """Tell whether the agent has written the file anew."""
        return self._fingerprint() != self._seen

    def _fingerprint(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return self._seen
        return status.st_mtime_ns, status.st_ino


class AppRole:
    """AppRole with both halves from files."""

    def __init__(self, role_id_file: Path, secret_id_file: Path, mount: str) -> None:
        self._role_id_file = role_id_file
        self._secret_id_file = secret_id_file
        self._mount = mount

    def login(self, client: Any, now: float) -> Lease:
        """Exchange role id and secret id for a token."""
        answer = client.auth.approle.login(
            role_id=read_credential(self._role_id_file, "AppRole role id"),
            secret_id=read_credential(self._secret_id_file, "AppRole secret id"),
            mount_point=self._mount,
            use_token=False,
        )
        return lease_of(answer["auth"], now)

    def stale(self) -> bool:
        """Return False: a token once given outlives its secret id."""
        return False


def lease_of(auth: dict[str, Any], now: float) -> Lease:
    """Read the ``auth`` part of Vault's answer to a login or a renewal."""
    ttl_seconds = float(auth.get("lease_duration") or 0)
    if ttl_seconds <= 0:
        return Lease(auth["client_token"], None, None, renewable=False)
    return Lease(
        token=auth["client_token"],
        renew_at=now + ttl_seconds * RENEW_AT_SHARE,
        expires_at=now + ttl_seconds,
        renewable=bool(auth.get("renewable")),
    )


def read_credential(path: Path, what: str) -> str:
    """Read a credential's file; raises ``VaultForbidden`` naming the file, never its content."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CREDENTIAL_BYTES + 1)
    except OSError as exc:
        raise VaultForbidden(f"the {what} cannot be read from {path}: {exc.strerror}") from exc
    text = raw.strip()
    if not text or len(raw) > MAX_CREDENTIAL_BYTES or not text.isascii():
        raise VaultForbidden(f"{path} holds no {what}: one line of ASCII is expected")
    return text.decode("ascii")
