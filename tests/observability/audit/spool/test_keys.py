"""The data keys in memory: one question for each, and no key of another length."""

import pytest

from sidecar.observability.audit.spool.keys import DataKey, SpoolKeys
from sidecar.observability.audit.spool.records import KeyReference
from tests.observability.audit.spool.spooled import KeyShelf


def test_a_key_that_is_known_is_not_asked_for() -> None:
    shelf = KeyShelf()
    keys = SpoolKeys(shelf)
    fresh, foreign = keys.new(), shelf.new()
    assert keys.open(foreign.reference) == foreign.secret
    shelf.away = True
    assert keys.open(fresh.reference) == fresh.secret
    assert keys.open(foreign.reference) == foreign.secret
    with pytest.raises(OSError, match="does not answer"):
        keys.new()


class Short:
    def new(self) -> DataKey:
        return DataKey(bytes(16), KeyReference(version=1))

    def open(self, _reference: KeyReference) -> bytes:
        return bytes(31)


def test_a_key_of_another_length_is_refused() -> None:
    keys = SpoolKeys(Short())
    with pytest.raises(OSError, match="32 bytes"):
        keys.new()
    with pytest.raises(OSError, match="32 bytes"):
        keys.open(KeyReference(version=1))
