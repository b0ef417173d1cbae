"""The interface between the poller and the sources of secrets."""

from typing import Generic, NamedTuple, Protocol, TypeVar

from sidecar.common.errors import Fault

T = TypeVar("T")
Kind = str
"""``trust_bundle``, ``session_ticket_keys`` or ``generic_secret``: a metric's label."""


class SecretFault(Fault):
    """The content of Vault can't be served as this kind of secret."""


class VersionedValue(NamedTuple, Generic[T]):
    """A value and its version, which changes with the value and is the same in every process."""

    value: T
    version: str
    again_seconds: float
    """The seconds until the next read, at most."""
    ends_at: float | None = None
    """Unix seconds after which the value is of no use; ``None`` if it does not end."""

    def __repr__(self) -> str:
        """Leave the value out: it may be a secret."""
        return f"VersionedValue(version={self.version!r})"


class SecretSource(Protocol[T]):
    """The source of one secret."""

    @property
    def kind(self) -> Kind:
        """Return the kind of the secret."""

    @property
    def name(self) -> str:
        """Return the name that Envoy asks for."""

    async def fetch(self) -> VersionedValue[T]:
        """Read the secret. Raises ``Fault``."""
