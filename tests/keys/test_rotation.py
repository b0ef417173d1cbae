"""Replaced or withdrawn: which keys verify after each refresh."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.keys.rotation import MAX_RETIRED, IssuerKeys, window_end
from sidecar.tokens.algorithms import ALGORITHMS, ES256
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
    return VerificationKey(kid, PUBLIC, "i", ES256)


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


WINDOWS = [
    ("nobody knows when", None, True, 100.0),
    ("seen at once", 0.0, True, 110.0),
    ("seen at the next poll", 10.0, True, 100.0),
    ("seen after an outage", 500.0, True, 100.0),
    ("started at once", 0.0, False, 110.0),
    ("started in the window", 60.0, False, 50.0),
    ("started after it", 500.0, False, -390.0),
    ("written by a clock ahead of ours", -50.0, False, 110.0),
]


@pytest.mark.parametrize(
    ("age", "seen_live", "left"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS]
)
def test_when_a_window_ends(age: float | None, seen_live: bool, left: float) -> None:
    assert window_end(100.0, 10.0, age, seen_live=seen_live) == left


@pytest.mark.parametrize("age", [None, 0.0, 5.0, 500.0])
@pytest.mark.parametrize("seen_live", [True, False])
def test_without_a_window_a_replaced_key_stops_at_once(age: float | None, seen_live: bool) -> None:
    assert window_end(0.0, 10.0, age, seen_live=seen_live) == 0.0


def test_a_key_that_is_bound_to_another_algorithm_is_another_key() -> None:
    """Cached tokens refer to the old one, so they end with it."""
    keys = IssuerKeys(100.0)
    old = key("a")
    keys.refresh([old], 0.0)
    keys.refresh([key("a")], 1.0)
    assert keys.verifying()[0] is old
    keys.refresh([old._replace(algorithm=ALGORITHMS["ES384"])], 2.0)
    (found,) = keys.verifying()
    assert found.algorithm.name == "ES384"
