"""Nonces without memory: of one secret, for one to two periods."""

import pytest

from sidecar.tokens.dpop_nonces import Nonces

NOW = 1_750_000_000.0
OURS = Nonces(b"a" * 32)


@pytest.mark.parametrize(
    ("made_at", "holds"),
    [(NOW, True), (NOW - 60, True), (NOW - 120, False), (NOW + 60, False), (0.0, False)],
)
def test_how_long_a_nonce_holds(made_at: float, holds: bool) -> None:
    assert OURS.is_ours(OURS.current(60, made_at), 60, NOW) is holds


def test_a_nonce_changes_with_its_period_and_not_within_it() -> None:
    begin = NOW // 60 * 60
    assert OURS.current(60, begin) == OURS.current(60, begin + 59.9) != OURS.current(60, begin + 60)


def test_a_nonce_is_of_one_secret() -> None:
    other = Nonces(b"b" * 32)
    assert not other.is_ours(OURS.current(60, NOW), 60, NOW)


def test_every_character_of_a_nonce_counts() -> None:
    nonce = OURS.current(60, NOW)
    for at, letter in enumerate(nonce):
        changed = nonce[:at] + ("A" if letter != "A" else "B") + nonce[at + 1 :]
        assert not OURS.is_ours(changed, 60, NOW)


def test_a_nonce_is_nothing_but_characters_of_a_nonce() -> None:
    """RFC 9449 §8.1: NQCHAR, without ``"`` and ``\\``."""
    assert all(c.isalnum() or c in "-_" for c in OURS.current(60, NOW))
