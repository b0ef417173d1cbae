"""Ticket keys of a fleet: no Envoy is given a ticket that another one can't read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.sds.secrets.session_tickets import KEY_BYTES, MAX_KEYS, TicketRing, read_ring
from sidecar.sds.secrets.source import SecretFault

ROTATE, POLL = 1000.0, 100.0
LEAD = 2.5 * POLL


def key(number: int) -> bytes:
    return number.to_bytes(2, "big") * (KEY_BYTES // 2)


def test_the_first_key_encrypts_at_once() -> None:
    ring = TicketRing().successor(50.0, rotate_seconds=ROTATE, lead_seconds=LEAD, fresh=key(1))
    assert ring is not None
    assert ring.served(50.0) == (key(1),)


def test_a_key_is_there_before_it_encrypts_and_after() -> None:
    ring = TicketRing()
    for number, at in ((1, 0.0), (2, 750.0), (3, 1750.0), (4, 2750.0)):
        before = ring.successor(at - 1, rotate_seconds=ROTATE, lead_seconds=LEAD, fresh=key(number))
        assert number == 1 or before is None, "not yet due"
        ring = ring.successor(
            at, rotate_seconds=ROTATE, lead_seconds=LEAD, fresh=key(number)
        ) or pytest.fail("due")
    assert ring.served(2750.0) == (key(3), key(4), key(2))
    assert ring.next_change(2750.0) == 3000.0
    assert ring.served(3000.0) == (key(4), key(3), key(2))
    assert ring.next_change(3000.0) is None


def test_after_an_outage_the_next_key_still_waits_for_everyone() -> None:
    ring = TicketRing().successor(0.0, rotate_seconds=ROTATE, lead_seconds=LEAD, fresh=key(1))
    assert ring is not None
    late = ring.successor(9000.0, rotate_seconds=ROTATE, lead_seconds=LEAD, fresh=key(2))
    assert late is not None
    assert late.served(9000.0)[0] == key(1)
    assert late.next_change(9000.0) == 9000.0 + LEAD


class Entry:
    """An entry of Vault KV with check-and-set."""

    def __init__(self) -> None:
        self.ring, self.version, self.made = TicketRing(), 0, 0

    def write(self, ring: TicketRing, version: int) -> None:
        if version == self.version:
            self.ring, self.version = ring, version + 1


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_no_ticket_goes_unread_in_a_fleet_that_polls_at_random(data: st.DataObject) -> None:
    """Each of four polls within POLL, with clocks 20 s apart; whoever is due writes."""
    entry = Entry()
    skews = data.draw(st.lists(st.floats(-20, 20), min_size=4, max_size=4))
    dues = [0.0] * 4
    held: list[tuple[bytes, ...]] = [()] * 4
    seen: set[bytes] = set()
    now = 0.0
    for _ in range(260):
        now = min(dues)
        who = dues.index(now)
        local = 10_000 + now + skews[who]
        ring, version = entry.ring, entry.version
        entry.made += 1
        fresh = ring.successor(
            local, rotate_seconds=ROTATE, lead_seconds=LEAD, fresh=key(entry.made)
        )
        if fresh is not None:
            entry.write(fresh, version)
        held[who] = entry.ring.served(local)
        change = entry.ring.next_change(local)
        pause = data.draw(st.floats(POLL * 0.9, POLL))
        dues[who] = now + (pause if change is None else min(pause, change - local))
        if all(held):
            encrypting = {keys[0] for keys in held}
            seen |= encrypting
            assert all(encrypting <= set(keys) for keys in held)
            assert all(len(keys) <= MAX_KEYS for keys in held)
    assert len(seen) > 3, "they rotate"


def test_an_entry_is_read_as_it_was_written() -> None:
    ring = TicketRing().successor(1.5, rotate_seconds=ROTATE, lead_seconds=LEAD, fresh=key(1))
    assert ring is not None
    assert read_ring(ring.to_entry(), "x") == ring
    assert "key=" not in repr(ring.keys[0])


GOOD = {"serial": 1, "encrypts_from": 1.0, "key": "AAAA" * 26 + "AAA="}
BAD = [
    ("nothing", {}),
    ("no keys", {"keys": []}),
    ("not base64", {"keys": [{**GOOD, "key": "?" * 108}]}),
    ("too short", {"keys": [{**GOOD, "key": "AAAA"}]}),
    ("too many", {"keys": [{**GOOD, "serial": n} for n in range(9)]}),
    ("a serial twice", {"keys": [GOOD, GOOD]}),
    ("a time that is none", {"keys": [{**GOOD, "encrypts_from": "now"}]}),
]


@pytest.mark.parametrize("entry", [b[1] for b in BAD], ids=[b[0] for b in BAD])
def test_an_entry_that_is_none_is_refused_without_being_quoted(entry: dict[str, object]) -> None:
    with pytest.raises(SecretFault) as fault:
        read_ring(entry, "secret/tls/tickets")
    assert "secret/tls/tickets" in str(fault.value)
    assert "AAAA" not in str(fault.value)
