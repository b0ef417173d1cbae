"""The interface of what writes TXT records: RFC 2136 or acme-dns."""

from typing import Protocol

from sidecar.certificates.challenges.dns01.names import TxtRecord


class TxtWriter(Protocol):
    """Adds and removes single values; other values at the same name stay as they are."""

    async def begin(self) -> None:
        """Prepare for the values of one order. Raises ``Fault``."""

    async def check(self, record: TxtRecord) -> None:
        """Raise ``Fault`` if a record must not or can't be written. Nothing is written."""

    async def add(self, record: TxtRecord) -> None:
        """Add one value. Raises ``Fault``; then it is unknown whether it was added."""

    async def remove(self, record: TxtRecord) -> None:
        """Remove one value, also if it is not there. Raises ``Fault``."""

    def close(self) -> None:
        """Make no further calls."""
