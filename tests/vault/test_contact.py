"""How Vault has answered: since when, with which words, and by which clock."""

import pytest

from sidecar.vault.contact import MAX_SKEW_SECONDS, VaultContact
from sidecar.vault.errors import (
    VaultConflict,
    VaultFault,
    VaultForbidden,
    VaultNotFound,
    VaultSealed,
    VaultUnreachable,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_since_when_it_answers_and_does_not() -> None:
    clock = Clock()
    contact = VaultContact(clock)
    assert (contact.is_healthy, contact.since, contact.answered_at) == (True, 100.0, None)
    clock.now = 110.0
    contact.succeeded()
    clock.now = 120.0
    contact.refused("kv_read", VaultUnreachable("gone"))
    clock.now = 130.0
    contact.refused("kv_read", VaultSealed("sealed"))
    assert (contact.is_healthy, contact.since, contact.answered_at) == (False, 120.0, 110.0)
    assert contact.failed is not None
    assert (contact.failed.at, str(contact.failed.fault)) == (130.0, "sealed")
    clock.now = 140.0
    contact.succeeded()
    assert (contact.is_healthy, contact.since) == (True, 140.0)


@pytest.mark.parametrize(
    ("fault", "is_kept"),
    [(VaultForbidden("no"), True), (VaultNotFound("none"), False), (VaultConflict("cas"), False)],
)
def test_a_refusal_is_an_answer(fault: VaultFault, is_kept: bool) -> None:
    """That nothing is at a path is what most who ask there wanted to know."""
    contact = VaultContact(Clock())
    contact.refused("kv_read", fault)
    assert contact.is_healthy
    assert (contact.failed is not None) is is_kept


def test_its_clock() -> None:
    clock = Clock()
    contact = VaultContact(clock)
    contact.saw_date(100.0 + MAX_SKEW_SECONDS)
    assert (contact.clock_ahead_seconds, contact.skewed_since) == (MAX_SKEW_SECONDS, None)
    contact.saw_date(60.0)
    clock.now = 200.0
    contact.saw_date(160.0)
    assert (contact.clock_ahead_seconds, contact.skewed_since) == (-40.0, 100.0)
    contact.saw_date(200.0)
    assert contact.skewed_since is None
