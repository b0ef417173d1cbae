"""What the poller asks again and again, and what it is given."""

from typing import Generic, NamedTuple, Protocol, TypeVar

from sidecar.common.errors import Fault

T = TypeVar("T")
Kind = str
"""``trust_bundle``, ``session_ticket_keys`` or ``generic_secret``: a metric's label."""


class SecretFault(Fault):
    """What Vault holds can't be served as what it should be."""


class VersionedValue(NamedTuple, Generic[T]):
    """A value with its version: another whenever the value is, the same in every process."""

    value: T
    version: str
    again_seconds: float
    """When to ask again, at the latest."""
    ends_at: float | None = None
    """Unix seconds after which it is of no use to anyone, if there is such a time."""

    def __repr__(self) -> str:
        """Show no value: it may be a secret."""
        return f"Fetched(version={self.version!r})"


class SecretSource(Protocol[T]):
    """Where one secret comes from."""

    @property
    def kind(self) -> Kind:
        """What kind of secret it is."""

    @property
    def name(self) -> str:
        """The name Envoy asks for."""

    async def fetch(self) -> VersionedValue[T]:
        """Read it. Raises ``Fault``."""
