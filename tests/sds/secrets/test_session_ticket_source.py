"""The ticket keys of a fleet in Vault: who makes the next one, and what Envoy is given."""

import asyncio
import time
from collections.abc import Callable

import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.config.secrets import SessionTicketKeys
from sidecar.sds.secrets.session_ticket_source import TicketSource
from sidecar.sds.secrets.session_tickets import KEY_BYTES, read_ring
from sidecar.sds.secrets.source import SecretFault
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultConflict, VaultUnreachable
from tests.support.fleet_kv import NOW, MemoryKv
from tests.support.real import TokenFile

PATH = "tls/tickets"
POLICY = """\
path "secret/data/tls/tickets"     { capabilities = ["create", "update", "read"] }
path "secret/metadata/tls/tickets" { capabilities = ["create", "update"] }
"""
ROTATE, POLL = 1000.0, 100.0
LEAD = 2.5 * POLL


def source(
    vault: MemoryKv | VaultClient, now: Callable[[], float], make: Callable[[], bytes] | None = None
) -> TicketSource:
    settings = SessionTicketKeys(name="t", path=PATH, rotate_seconds=ROTATE, poll_seconds=POLL)
    return TicketSource(settings, vault, now, *([] if make is None else [make]))


class World:
    """One entry, a clock, and keys of which each is filled with its own number."""

    def __init__(self) -> None:
        self.kv = MemoryKv()
        self.now = NOW
        self.made = 0

    def make(self) -> bytes:
        self.made += 1
        return bytes([self.made]) * KEY_BYTES

    def source(self) -> TicketSource:
        return source(self.kv, lambda: self.now, self.make)

    async def fetch(self) -> tuple[list[int], str, float]:
        """Return the keys by their numbers, their version, and the pause."""
        value, version, again_seconds, _ = await self.source().fetch()
        return [key[0] for key in value], version, round(again_seconds, 3)


def conflict() -> None:
    raise VaultConflict(PATH)


@pytest.fixture
async def world() -> World:
    return World()


async def test_the_first_key_is_made_and_encrypts_at_once(world: World) -> None:
    keys, version, pause = await world.fetch()
    assert (keys, version, pause) == ([1], f"1.1.{NOW:.0f}", POLL)
    again, same, _ = await world.fetch()
    assert (again, same) == (keys, version), "nothing changed"


async def test_the_next_key_is_there_before_it_encrypts(world: World) -> None:
    await world.fetch()
    first = f"1.{NOW:.0f}"
    second = f"2.{NOW + ROTATE:.0f}"
    number = {1: 1}
    steps = [
        ("nothing is due", ROTATE - LEAD - 1, 1, f"1.{first}", POLL),
        ("it is made", ROTATE - LEAD, 2, f"2.{first}", POLL),
        ("it is about to encrypt", ROTATE - 30, 2, f"2.{first}", 30.0),
        ("a moment before", ROTATE - 0.01, 2, f"2.{first}", 0.05),
        ("it encrypts", ROTATE, 2, f"2.{second}", POLL),
    ]
    for what, at, count, version, pause in steps:
        world.now = NOW + at
        keys, found, again = await world.fetch()
        assert (len(keys), found, again) == (count, version, pause), what
        number[count] = keys[0]
    assert number[2] != number[1], "the new one comes first now"


async def test_of_two_that_make_one_at_once_the_first_that_is_stored_is_used(world: World) -> None:
    other = MemoryKv()
    await source(other, lambda: NOW, lambda: b"o" * KEY_BYTES).fetch()

    def another_writes_first() -> None:
        if not world.kv.entries:
            world.kv.put(PATH, other.data(PATH))

    world.kv.on_write = another_writes_first
    keys, version, _ = await world.fetch()
    assert (keys, version) == ([ord("o")], f"1.1.{NOW:.0f}")


async def test_a_conflict_without_another_ring_is_raised(world: World) -> None:
    world.kv.on_write = conflict
    with pytest.raises(VaultConflict):
        await world.fetch()


async def test_an_entry_that_is_something_else_is_not_overwritten(world: World) -> None:
    world.kv.put(PATH, {"password": "hunter2"})
    with pytest.raises(SecretFault, match=f"secret/{PATH}") as fault:
        await world.fetch()
    assert "hunter2" not in str(fault.value)
    assert world.kv.data(PATH) == {"password": "hunter2"}


async def test_vault_away_is_a_fault(world: World) -> None:
    world.kv.away = True
    with pytest.raises(VaultUnreachable):
        await world.fetch()


async def test_a_key_is_random_and_of_envoys_length() -> None:
    kv = MemoryKv()
    (one,) = (await source(kv, lambda: NOW).fetch()).value
    (other,) = (await source(MemoryKv(), lambda: NOW).fetch()).value
    assert len(one) == len(other) == KEY_BYTES
    assert one != other
    assert read_ring(kv.data(PATH), PATH).keys[0].key == one


@pytest.mark.real
async def test_ten_sidecars_at_once_make_one_key(openbao: OpenBao, token_file: TokenFile) -> None:
    token_file.write(openbao.token_for(POLICY, name="tickets"))
    settings = token_file.settings(openbao.address)
    fleet = [VaultClient(settings, clock=monotonic_seconds) for _ in range(10)]
    try:
        got = await asyncio.gather(*(source(vault, time.time).fetch() for vault in fleet))
        assert len({(each.value, each.version) for each in got}) == 1
        later = time.time() + ROTATE - LEAD + 50
        got = await asyncio.gather(*(source(vault, lambda: later).fetch() for vault in fleet))
        assert len({each.value for each in got}) == 1
        assert {each.version[:4] for each in got} == {"2.1."}, "the next is there and waits"
        much_later = time.time() + ROTATE + 50
        then = await source(fleet[0], lambda: much_later).fetch()
        assert then.value == got[0].value[::-1]
    finally:
        for vault in fleet:
            await vault.close()
    kv = openbao.client.secrets.kv.v2
    assert list(kv.read_secret_metadata(PATH)["data"]["versions"]) == ["2"], (
        "a key that was rotated away is not in an older version either"
    )
