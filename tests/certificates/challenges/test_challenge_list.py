"""The fleet's list of challenges in one entry of Vault: what is read of it, and how it changes."""

import asyncio
from typing import Any

import pytest

from demo.openbao import OpenBao
from sidecar.certificates.challenges.challenge_list import (
    LATEST,
    MAX_ANSWER_CHARACTERS,
    MAX_IN_FLIGHT,
    Challenge,
    ChallengeFault,
    ChallengeList,
    Listed,
)
from sidecar.common.clock import Now, monotonic_seconds, wall_seconds
from sidecar.vault.client import VaultClient
from tests.support.fleet_kv import NOW, MemoryKv
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile

PATH = "septem/certificates/challenges"
TOKEN = "t" * 16
GOOD = Challenge(TOKEN, "a.example", "answer", NOW + 1)


def challenge_list(kv: Any, now: Now = lambda: NOW) -> ChallengeList:
    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)

    return ChallengeList(kv, "secret", PATH, now=now, sleep=sleep, jitter=lambda: 0.5)


def adding(*challenges: Challenge) -> Any:
    return lambda listed: listed | {each.token: each for each in challenges}


WRITTEN: list[tuple[str, str, dict[str, object], bool]] = [
    ("as it is written", TOKEN, {}, True),
    ("the longest token", "t" * 128, {}, True),
    ("a token that is too short", "t" * 15, {}, False),
    ("a token that is too long", "t" * 129, {}, False),
    ("a token that could be a path", "../" * 8, {}, False),
    ("the longest answer", TOKEN, {"answer": "x" * MAX_ANSWER_CHARACTERS}, True),
    ("an answer that is too long", TOKEN, {"answer": "x" * (MAX_ANSWER_CHARACTERS + 1)}, False),
    ("an answer that no header holds", TOKEN, {"answer": "a\r\nb"}, False),
    ("an answer beyond ASCII", TOKEN, {"answer": "é"}, False),
    ("a host that is no text", TOKEN, {"host": 1}, False),
    ("a host that no log line holds", TOKEN, {"host": "a\n"}, False),
    ("a kind that no log line holds", TOKEN, {"kind": "\x00"}, False),
    ("a moment later", TOKEN, {"until": NOW + 0.5}, True),
    ("whole seconds", TOKEN, {"until": int(NOW) + 1}, True),
    ("it has just ended", TOKEN, {"until": NOW}, False),
    ("the last time there is", TOKEN, {"until": LATEST}, True),
    ("a time that is none", TOKEN, {"until": LATEST + 1}, False),
    ("a number that no float holds", TOKEN, {"until": 10**400}, False),
    ("no number", TOKEN, {"until": "soon"}, False),
]


@pytest.mark.parametrize(
    ("token", "change", "listed"), [w[1:] for w in WRITTEN], ids=[w[0] for w in WRITTEN]
)
async def test_what_is_listed(token: str, change: dict[str, object], listed: bool) -> None:
    kv = MemoryKv()
    kv.put(PATH, {"challenges": {token: {**GOOD._asdict(), **change}}})
    found, version = await challenge_list(kv).read()
    assert version == 1
    assert set(found) == ({token} if listed else set())


@pytest.mark.parametrize("data", [{}, {"challenges": ["what"]}, {"challenges": {TOKEN: None}}])
async def test_an_entry_that_is_something_else_lists_nothing(data: dict[str, Any]) -> None:
    kv = MemoryKv()
    kv.put(PATH, data)
    assert await challenge_list(kv).read() == ({}, 1)


async def test_challenges_of_a_dead_sidecar_are_removed_by_the_next_writer() -> None:
    kv = MemoryKv()
    ended = GOOD._replace(token="e" * 16, until=NOW - 1)
    kv.put(PATH, {"challenges": {ended.token: ended._asdict()}})
    await challenge_list(kv).change(adding(GOOD))
    assert kv.data(PATH) == {"challenges": {TOKEN: GOOD._asdict()}}


@pytest.mark.parametrize(("more", "fits"), [(1, True), (2, False)])
async def test_no_more_are_in_flight_than_allowed(more: int, fits: bool) -> None:
    kv = MemoryKv()
    others = [GOOD._replace(token=f"{number:020}") for number in range(MAX_IN_FLIGHT - 1)]
    kv.put(PATH, {"challenges": {each.token: each._asdict() for each in others}})
    fresh = [GOOD._replace(token=f"new-{number:020}") for number in range(more)]
    if fits:
        await challenge_list(kv).change(adding(*fresh))
    else:
        with pytest.raises(ChallengeFault, match="1000 challenges in flight"):
            await challenge_list(kv).change(adding(*fresh))
    assert len(kv.data(PATH)["challenges"]) == MAX_IN_FLIGHT - 1 + (more if fits else 0)


def contended(kv: MemoryKv, times: int) -> None:
    """Let another sidecar write before each of the next writes."""
    left = [times]

    def write() -> None:
        if left[0]:
            left[0] -= 1
            other = GOOD._replace(token=f"other-{left[0]:020}")
            listed = kv.data(PATH)["challenges"]
            kv.put(PATH, {"challenges": listed | {other.token: other._asdict()}})

    kv.put(PATH, {"challenges": {}})
    kv.on_write = write


async def test_a_change_is_made_to_what_another_wrote_meanwhile() -> None:
    kv = MemoryKv()
    contended(kv, 3)
    await challenge_list(kv).change(adding(GOOD))
    assert len(kv.data(PATH)["challenges"]) == 4, "nobody's challenge is lost"


async def test_a_list_that_all_write_at_once_is_a_fault() -> None:
    kv = MemoryKv()
    contended(kv, 1000)
    with pytest.raises(ChallengeFault, match="too many write it at once") as fault:
        await challenge_list(kv).change(adding(GOOD))
    assert fault.value.retryable


@pytest.mark.real
async def test_many_sidecars_write_one_list(openbao: OpenBao, token_file: TokenFile) -> None:
    token_file.write(openbao.token_for(FLEET_POLICY, name="challenges"))
    vaults = [
        VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds) for _ in range(8)
    ]
    lists = [challenge_list(vault, wall_seconds) for vault in vaults]
    until = wall_seconds() + 100
    wanted = [GOOD._replace(token=f"{number:020}", until=until) for number in range(8)]
    await asyncio.gather(
        *(each.change(adding(one)) for each, one in zip(lists, wanted, strict=True))
    )
    listed, _ = await lists[0].read()
    assert set(listed.values()) == set(wanted)

    def without(one: Challenge) -> Any:
        def change(listed: dict[str, Challenge]) -> Listed:
            del listed[one.token]
            return listed

        return change

    await asyncio.gather(
        *(each.change(without(one)) for each, one in zip(lists, wanted, strict=True))
    )
    assert (await lists[0].read())[0] == {}
    for vault in vaults:
        await vault.close()
