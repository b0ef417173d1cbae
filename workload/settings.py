"""Where Vault is, who we are to it, and what we want of it. Checked when they are made."""

import math
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from workload.errors import Fault

_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", re.ASCII)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+/?|unix:/[^\s\x00]+", re.ASCII)
_HEADER = re.compile(r"[\x21-\x7e]+", re.ASCII)
_PIN = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=", re.ASCII)
_MAX_PATH = 512
_MAX_MOUNTS = 16
_KUBERNETES_JWT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


class SettingsFault(Fault):
    """A setting can't be meant so; the message names it."""


@dataclass(frozen=True, slots=True)
class TokenFileLogin:
    """A token that a Vault agent keeps fresh in a file (its sink)."""

    path: str


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """AppRole, with both its ids in files; ``secret_id_wrapped`` where the file's is wrapped."""

    role_id_file: str
    secret_id_file: str
    mount: str = "approle"
    secret_id_wrapped: bool = False

    def __post_init__(self) -> None:
        _check_paths(self, "mount")


@dataclass(frozen=True, slots=True)
class JwtLogin:
    """A JWT of the platform's, such as a projected service account's token."""

    role: str
    jwt_file: str
    mount: str = "jwt"

    def __post_init__(self) -> None:
        _check_paths(self, "mount", "role")


@dataclass(frozen=True, slots=True)
class KubernetesLogin:
    """The pod's own service account, reviewed by the cluster."""

    role: str
    jwt_file: str = _KUBERNETES_JWT
    mount: str = "kubernetes"

    def __post_init__(self) -> None:
        _check_paths(self, "mount", "role")


@dataclass(frozen=True, slots=True)
class CertLogin:
    """A client certificate that every connection to Vault shows."""

    certificate_file: str
    key_file: str
    mount: str = "cert"
    role: str | None = None

    def __post_init__(self) -> None:
        _check_paths(self, "mount", *(["role"] if self.role is not None else []))


VaultLogin = TokenFileLogin | AppRoleLogin | JwtLogin | KubernetesLogin | CertLogin


@dataclass(frozen=True, slots=True)
class VaultServer:
    """HashiCorp Vault or OpenBao: ``https://host:port``, or ``unix:/path`` of an agent's socket."""

    address: str
    login: VaultLogin
    ca_file: str | None = None
    namespace: str | None = None
    timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not _is_address(self.address):
            raise SettingsFault(
                f"address {self.address!r} is neither https://host:port nor unix:/path"
            )
        if self.namespace is not None and not _HEADER.fullmatch(self.namespace):
            raise SettingsFault(f"namespace {self.namespace!r} is no namespace of Vault")
        _check_range(self, "timeout_seconds", 0.01, 60)


@dataclass(frozen=True, slots=True)
class PkiRole:
    """The role of a Vault PKI mount that signs our certificate."""

    role: str
    mount: str = "pki"
    ttl_seconds: int = 86_400

    def __post_init__(self) -> None:
        _check_paths(self, "mount", "role")
        _check_range(self, "ttl_seconds", 60, 34_560_000)


@dataclass(frozen=True, slots=True)
class PkiRoots:
    """The roots of Vault PKI mounts: every issuer's, so two while a CA is being replaced."""

    mounts: tuple[str, ...] = ("pki",)
    crl: bool | Literal["where_there"] = False
    """Read CRLs: of each CA, which must have one (True), or of those that have one."""

    def __post_init__(self) -> None:
        if self.crl not in {True, False, "where_there"}:
            raise SettingsFault(f"crl {self.crl!r} is none of True, False and 'where_there'")
        given: object = self.mounts
        if isinstance(given, str) or not 0 < len(self.mounts) <= _MAX_MOUNTS:
            raise SettingsFault(f"mounts must be a tuple of 1 to {_MAX_MOUNTS} names")
        for mount in self.mounts:
            _check_path("mounts", mount)


@dataclass(frozen=True, slots=True)
class KvRoots:
    """Roots as PEM in an entry of Vault KV v2, with their CRLs in another field of it."""

    path: str
    mount: str = "secret"
    field: str = "value"
    crl_field: str | None = None

    def __post_init__(self) -> None:
        _check_paths(self, "path", "mount")


@dataclass(frozen=True, slots=True)
class KvEntry:
    """An entry of Vault KV v2, all of its fields."""

    path: str
    mount: str = "secret"

    def __post_init__(self) -> None:
        _check_paths(self, "path", "mount")


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """A role of Vault's database engine: users made for us, or with ``static`` one user of ours."""

    role: str
    mount: str = "database"
    static: bool = False

    def __post_init__(self) -> None:
        _check_paths(self, "mount", "role")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe, and which of those may be our peers where a context names none."""

    roots: PkiRoots | KvRoots
    peers: tuple[str, ...] = ()
    spki_pins: tuple[str, ...] = ()
    poll_seconds: float = 60.0

    def __post_init__(self) -> None:
        given: tuple[object, ...] = (self.peers, self.spki_pins)
        if any(isinstance(each, str) for each in given):
            raise SettingsFault("peers and spki_pins are tuples of texts")
        for pin in self.spki_pins:
            if not _PIN.fullmatch(pin):
                raise SettingsFault(f"{pin!r} is no base64 of a SHA-256 (RFC 7469 section 2.4)")
        _check_range(self, "poll_seconds", 1, 86_400)


@dataclass(frozen=True, slots=True)
class FieldKeySettings:
    """The KEK of data keys in a Vault transit mount, and how long data keys are used."""

    kek: str
    """A transit key, aes256-gcm96 with ``derived=true``: it binds a data key to its scope."""
    mount: str = "transit"
    kek_per_tenant: bool = False
    """Wrap with ``<kek>-<tenant>``: deleting that key ends backups of the wrapped keys too."""
    may_create: bool = True
    """Make the first key of a scope, and the next one when the last has become old."""
    ttl_seconds: float = 300.0
    """After this the key store and Vault are asked again. Other processes see a shredding then."""
    max_stale_seconds: float = 3600.0
    """How long keys are used without Vault having confirmed them; then they are wiped."""
    rotate_after_seconds: float = 7_776_000.0
    max_scopes: int = 1000
    """Scopes whose keys are in memory at once."""

    def __post_init__(self) -> None:
        _check_paths(self, "kek", "mount")
        if "/" in self.kek:
            raise SettingsFault(f"kek {self.kek!r} is the name of a key, and no path")
        _check_range(self, "ttl_seconds", 1, 86_400)
        _check_range(self, "max_stale_seconds", 1, 604_800)
        _check_range(self, "rotate_after_seconds", 3600, 31_536_000)
        _check_range(self, "max_scopes", 1, 100_000)
        if self.max_stale_seconds < self.ttl_seconds:
            raise SettingsFault("max_stale_seconds must not be less than ttl_seconds")
        if self.rotate_after_seconds <= self.publish_ahead_seconds:
            raise SettingsFault("rotate_after_seconds must be more than twice max_stale_seconds")

    @property
    def publish_ahead_seconds(self) -> float:
        """How long a new version is only read: until no process can be without it."""
        return 2 * self.max_stale_seconds


def _is_address(address: str) -> bool:
    if not _ADDRESS.fullmatch(address):
        return False
    try:
        url = urlsplit(address)
        return url.scheme == "unix" or (bool(url.hostname) and url.port != 0)
    except ValueError:  # a port that is none, an IPv6 address that is none
        return False


def _check_paths(settings: object, *names: str) -> None:
    for name in names:
        _check_path(name, getattr(settings, name))


def _check_path(name: str, value: object) -> None:
    """Refuse what would be another place of Vault's API than it says."""
    is_path = isinstance(value, str) and len(value) <= _MAX_PATH and _PATH.fullmatch(value)
    if not is_path or {".", ".."} & set(str(value).split("/")):
        raise SettingsFault(f"{name} {value!r} is no path of Vault: letters, digits, _ . - and /")


def _check_range(settings: object, name: str, low: float, high: float) -> None:
    value = getattr(settings, name)
    if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise SettingsFault(f"{name} must be a number from {low:g} to {high:g}, and is {value!r}")
