"""Replaced or withdrawn: which keys verify after each refresh."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.keys.rotation import MAX_RETIRED, IssuerKeys
from sidecar.tokens.keyring import VerificationKey

PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()
Steps = list[tuple[float, str]]
HISTORIES: list[tuple[str, Steps, float, str]] = [
    ("a key is there", [(0, "a")], 0, "a"),
    ("a new key beside it", [(0, "a"), (10, "ab")], 10, "ab"),
    ("replaced: both", [(0, "a"), (10, "b")], 10, "ab"),
    ("replaced: both, until the window ends", [(0, "a"), (10, "b")], 109.9, "ab"),
    ("replaced: the window has ended", [(0, "a"), (10, "b")], 110, "b"),
    ("listed for longer than the window", [(0, "a"), (10, "ab"), (500, "ab")], 500, "ab"),
    ("withdrawn: at once", [(0, "ab"), (10, "b")], 10, "b"),
    ("withdrawn: all", [(0, "a"), (10, "")], 10, ""),
    ("replaced twice", [(0, "a"), (10, "b"), (20, "c")], 20, "abc"),
    ("replaced twice, the first has ended", [(0, "a"), (10, "b"), (20, "c")], 115, "bc"),
    ("replaced and put back", [(0, "a"), (10, "b"), (20, "ab")], 500, "ab"),
    ("put back, then withdrawn", [(0, "a"), (10, "b"), (20, "ab"), (30, "b")], 30, "b"),
    ("rolled back: no new key, so withdrawn", [(0, "a"), (10, "b"), (20, "a")], 20, "a"),
    ("nothing changes", [(0, "a"), (10, "a"), (20, "a")], 20, "a"),
]


def key(kid: str) -> VerificationKey:
    return VerificationKey(kid, PUBLIC, "i")


@pytest.mark.parametrize(
    ("steps", "now", "kids"), [h[1:] for h in HISTORIES], ids=[h[0] for h in HISTORIES]
)
def test_histories(steps: Steps, now: float, kids: str) -> None:
    keys = IssuerKeys(100.0)
    for moment, listed in steps:
        keys.expire(moment)
        keys.refresh(map(key, listed), moment)
    keys.expire(now)
    assert "".join(sorted(each.kid for each in keys.verifying())) == kids


def test_a_denied_key_stops_listed_or_replaced() -> None:
    keys = IssuerKeys(100.0)
    keys.refresh([key("a")], 0)
    keys.refresh([key("b")], 10)
    assert [each.kid for each in keys.verifying(denied=["a"])] == ["b"]
    assert keys.verifying(denied=["a", "b"]) == []


def test_replaced_keys_are_bounded() -> None:
    keys = IssuerKeys(1e9)
    for number in range(100):
        keys.refresh([key(str(number))], float(number))
    assert len(keys.verifying()) == MAX_RETIRED + 1
    assert keys.next_expiry() == pytest.approx(1e9 + 100 - MAX_RETIRED)
