"""A ring finds keys by kid, and keeps issuers apart."""

import pytest

from sidecar.common.errors import Fault
from sidecar.tokens.keyring import EMPTY_RING, MAX_KEYS, KeyRing
from tests.support.minting import Issuer

OURS = Issuer.generate("k", "https://a.example")
THEIRS = Issuer.generate("k", "https://b.example")


def test_two_issuers_may_use_one_kid() -> None:
    ring = KeyRing([OURS.key, THEIRS.key])
    assert ring.find("k") == (OURS.key, THEIRS.key)
    assert ring.find("K") == ()
    assert list(ring) == [OURS.key, THEIRS.key]
    assert len(ring) == 2


def test_one_issuer_may_not_use_a_kid_twice() -> None:
    again = Issuer.generate("k", "https://a.example").key
    with pytest.raises(Fault, match=r"two keys of issuer 'https://a\.example' share the kid 'k'"):
        KeyRing([OURS.key, THEIRS.key, again])


def test_a_ring_without_keys_is_false() -> None:
    assert not EMPTY_RING
    assert KeyRing([OURS.key])


def test_a_ring_is_bounded() -> None:
    keys = [OURS.key._replace(kid=f"k{number}") for number in range(MAX_KEYS + 1)]
    assert len(KeyRing(keys[:-1])) == MAX_KEYS
    with pytest.raises(Fault, match=f"{MAX_KEYS + 1} keys"):
        KeyRing(keys)
