"""What is revoked, out of a real OpenBao: spread over entries, long, apart from the keys."""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import hvac
import pytest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Denied, Fault
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.keys.revocation_source import KvRevocationSource
from sidecar.tokens.revocation import MAX_PART, Revocations
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from tests.support.minting import ISSUER
from tests.support.real import LaggingVault, TokenFile
from tests.tokens.test_revocation import claims_of

pytestmark = pytest.mark.real
ENTRY, LIST = ("data", '"read"'), ("metadata", '"read", "list"')
LIST_OF_VERSIONS = ("detailed-metadata", '"list"')


class World:
    """A poller over one path of its own in a shared OpenBao."""

    def __init__(self, bao: OpenBao, token_file: TokenFile) -> None:
        self.kv = bao.client.secrets.kv.v2
        self.path = f"revoked/{uuid4().hex}"
        self._bao, self._token_file = bao, token_file
        self.published: list[Revocations] = []
        self.changes: list[str] = []
        self.calls: list[str] = []
        self.allow(ENTRY, LIST, LIST_OF_VERSIONS)
        self.make()

    def allow(self, *rights: tuple[str, str]) -> None:
        """Have a policy with these rights to the entry and those below it."""
        policy = "\n".join(
            f'path "secret/{kind}/{self.path}{below}" {{ capabilities = [{right}] }}'
            for kind, right in rights
            for below in ("", "/*")
        )
        self._token_file.write(self._bao.token_for(policy, name=self.path.replace("/", "-")))

    def make(self, **settings: Any) -> None:
        self.vault = VaultClient(
            self._token_file.settings(self._bao.address),
            clock=monotonic_seconds,
            observe=lambda operation, _outcome, _seconds: self.calls.append(operation),
        )
        self.standby = LaggingVault(self.vault)
        self.ahead = 0.0
        self.fails = 0
        source = KvRevocationSource(
            model.RevocationsSettings(path=self.path, **settings),
            self.standby,
            retention_seconds=930,
            now=lambda: wall_seconds() + self.ahead,
            clock=monotonic_seconds,
        )
        self.poller = RevocationPoller(
            source,
            poll_seconds=0.1,
            max_age_seconds=3600,
            clock=monotonic_seconds,
            jitter=lambda: 0.0,
            publish=self.publish,
            on_state=lambda before, after, _why: self.changes.append(f"{before} {after}"),
        )

    def publish(self, revocations: Revocations, _state: KeyState) -> None:
        if self.fails:
            self.fails -= 1
            raise ValueError("a defect")
        self.published.append(revocations)

    def write(self, below: str = "", **fields: Any) -> None:
        path = f"{self.path}/{below}" if below else self.path
        self.kv.create_or_update_secret(path, fields)

    def revokes(self, jti: str, issuer: str = ISSUER) -> bool:
        try:
            self.poller.revocations.check(claims_of(iss=issuer, jti=jti))
        except Denied:
            return True
        return False


@pytest.fixture
def world(openbao: OpenBao, token_file: TokenFile) -> World:
    return World(openbao, token_file)


def lines(count: int, start: int = 0, exp: float = 0.0) -> str:
    exp = exp or wall_seconds() + 600
    return "\n".join(f"{number:032x} {exp:.0f}" for number in range(start, start + count))


FORMS: list[tuple[str, dict[str, Any]]] = [
    ("objects", {"tokens": [{"iss": ISSUER, "jti": "j", "exp": 2e9}]}),
    ("a line of the entry's issuer", {"iss": ISSUER, "tokens": "j 2000000000"}),
    ("a line with its issuer", {"tokens": f"\n{ISSUER} j 2000000000\n\n"}),
    ("windows' line ends", {"iss": ISSUER, "tokens": "x 2000000000\r\nj 2000000000\r\n"}),
]


@pytest.mark.parametrize("below", ["", "2026-11-25"])
@pytest.mark.parametrize("fields", [form[1] for form in FORMS], ids=[form[0] for form in FORMS])
async def test_every_form_in_the_entry_and_below_it(
    world: World, fields: dict[str, Any], below: str
) -> None:
    world.write(below, **fields)
    await world.poller.load()
    assert world.revokes("j")
    assert not world.revokes("k")
    assert not world.revokes("j", "https://other")
    await world.vault.close()


async def test_nothing_there_revokes_nothing(world: World) -> None:
    await world.poller.load()
    assert len(world.poller.revocations) == 0
    assert world.poller.lifecycle.state is KeyState.ACTIVE
    await world.vault.close()


async def test_only_what_has_changed_is_read_again(world: World) -> None:
    for name in ("a", "b", "c"):
        world.write(name, iss=ISSUER, tokens=f"{name}-1 2000000000")
    world.write(kids=["k"])
    await world.poller.load()
    assert world.poller.revocations.kids == {"k"}
    parts = world.poller.revocations.parts
    world.calls.clear()
    await world.poller.refresh()
    assert "kv_read" not in world.calls
    published = len(world.published)
    world.write("b", iss=ISSUER, tokens="b-2 2000000000")
    await world.poller.refresh()
    assert world.calls.count("kv_read") == 1
    assert len(world.published) == published + 1
    assert world.revokes("b-2")
    assert not world.revokes("b-1")
    kept = [part for part in parts if any(part is each for each in world.poller.revocations.parts)]
    assert len(kept) == len(parts) - 1
    await world.vault.close()


async def no_right(world: World) -> None:
    world.allow(ENTRY, LIST)
    world.make()


async def no_such_list(world: World) -> None:
    """HashiCorp's Vault has none: it says so with a 404 and words of its own."""

    async def ask(*_: object) -> None:
        world.calls.append("kv_list")

    world.standby.list_kv_histories = ask  # type: ignore[attr-defined]


async def an_empty_list(world: World) -> None:
    async def ask(*_: object) -> dict[str, Any]:
        world.calls.append("kv_list")
        return {}

    world.standby.list_kv_histories = ask  # type: ignore[attr-defined]


async def test_a_poll_costs_two_calls_however_many_entries_there_are(world: World) -> None:
    for number in range(5):
        world.write(f"{number}", iss=ISSUER, tokens=f"j-{number} 2000000000")
    await world.poller.load()
    world.calls.clear()
    await world.poller.refresh()
    assert world.calls == ["kv_list", "kv_metadata"]
    await world.vault.close()


WITHOUT = [(no_right, 2, 1), (no_such_list, 2, 1), (an_empty_list, 2, 2)]


@pytest.mark.parametrize(
    ("take_away", "first", "later"), WITHOUT, ids=[row[0].__name__ for row in WITHOUT]
)
async def test_where_versions_are_not_listed_each_entry_is_asked_for_its_own(
    world: World, take_away: Callable[[World], Any], first: int, later: int
) -> None:
    """The list that can't be had is asked for again some minutes later, not at every poll."""
    await take_away(world)
    for name in ("a", "b"):
        world.write(name, iss=ISSUER, tokens=f"{name} 2000000000")
    await world.poller.load()
    assert world.revokes("a")
    assert world.calls.count("kv_list") == first
    world.calls.clear()
    world.write("a", iss=ISSUER, tokens="a 2000000000\nc 2000000000")
    await world.poller.refresh()
    assert (world.revokes("b"), world.revokes("c")) == (True, True)
    assert world.calls.count("kv_list") == later
    assert world.calls.count("kv_metadata") == 3
    await world.vault.close()


async def removed(world: World) -> None:
    world.kv.delete_metadata_and_all_versions(f"{world.path}/a")


async def deleted(world: World) -> None:
    world.kv.delete_latest_version_of_secret(f"{world.path}/a")


async def written_empty(world: World) -> None:
    world.write("a")


async def removed_and_written_anew(world: World) -> None:
    """It counts from one again: the same number, another content."""
    world.kv.delete_metadata_and_all_versions(f"{world.path}/a")
    world.write("a", iss=ISSUER, tokens="other 2000000000")


ENDS = [removed, deleted, written_empty, removed_and_written_anew]


@pytest.mark.parametrize("end", ENDS, ids=[each.__name__ for each in ENDS])
async def test_what_stands_there_no_more_is_revoked_no_more(
    world: World, end: Callable[[World], Any]
) -> None:
    world.write("a", iss=ISSUER, tokens="j 2000000000")
    await world.poller.load()
    assert world.revokes("j")
    await end(world)
    await world.poller.refresh()
    assert not world.revokes("j")
    assert world.revokes("other") is (end is removed_and_written_anew)
    if end is deleted:
        world.kv.undelete_secret_versions(f"{world.path}/a", [1])
        await world.poller.refresh()
        assert world.revokes("j")
    await world.vault.close()


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("unknown field", {"toknes": []}, "toknes"),
    ("garbage", {"tokens": "j"}, "line 1"),
    ("a number", {"tokens": 5}, "tokens"),
    ("null", {"tokens": None}, "tokens"),
    ("not quoted: a time in words", {"iss": ISSUER, "tokens": "j tomorrow"}, "line 1"),
]


@pytest.mark.parametrize(("fields", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_a_bad_entry_keeps_what_it_said_and_holds_back_no_other(
    world: World, fields: dict[str, Any], said: str
) -> None:
    world.write("a", iss=ISSUER, tokens="first 2000000000")
    world.write("z", iss=ISSUER, tokens="z-1 2000000000")
    await world.poller.load()
    world.write("a", **fields)
    world.write("z", iss=ISSUER, tokens="z-2 2000000000")
    for _ in range(3):
        assert await world.poller.refresh() is KeyState.OUTAGE
    assert said in world.poller.status.problem
    assert f"{world.path}/a" in world.poller.status.problem
    assert (world.revokes("first"), world.revokes("z-2")) == (True, True)
    assert world.changes == ["active outage"]
    world.write("a", iss=ISSUER, tokens="second 2000000000")
    assert await world.poller.refresh() is KeyState.ACTIVE
    assert (world.revokes("first"), world.revokes("second")) == (False, True)
    assert world.changes == ["active outage", "outage active"]
    await world.vault.close()


@pytest.mark.parametrize("fields", [row[1] for row in BAD[:2]], ids=[row[0] for row in BAD[:2]])
async def test_a_start_with_what_can_not_be_read_is_refused(
    world: World, fields: dict[str, Any]
) -> None:
    """What is revoked and not known would pass."""
    world.write("a", **fields)
    with pytest.raises(Fault, match=f"{world.path}/a"):
        await world.poller.load()
    await world.vault.close()


async def test_a_folder_below_is_no_entry_and_is_not_passed_over_in_silence(world: World) -> None:
    world.write("a/b", iss=ISSUER, tokens="j 2000000000")
    with pytest.raises(Fault, match="is a folder"):
        await world.poller.load()
    await world.vault.close()


async def test_without_the_right_to_list_the_start_is_refused_and_names_the_line(
    world: World,
) -> None:
    world.allow(ENTRY)
    world.make()
    line = f'path "secret/metadata/{world.path}" {{ capabilities = \\["list", "read"\\] }}'
    with pytest.raises(VaultForbidden, match=line):
        await world.poller.load()
    world.make(spread=False)
    world.write(kids=["k"])
    world.write("a", kids=["below"])
    await world.poller.load()
    assert world.poller.revocations.kids == {"k"}, "the one entry is all that was asked for"
    await world.vault.close()


async def test_without_versions_every_entry_is_read_at_every_poll(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.allow(ENTRY, ("metadata", '"list"'))
    world.make()
    world.write("a", kids=["k"])
    await world.poller.load()
    published = len(world.published)
    world.calls.clear()
    for _ in range(3):
        await world.poller.refresh()
    assert world.calls.count("kv_read") == 6
    assert len(world.published) == published, "the same is no change"
    assert caplog.text.count("their versions can't be seen") == 1
    world.write("a", kids=["k", "l"])
    await world.poller.refresh()
    assert world.poller.revocations.kids == {"k", "l"}
    await world.vault.close()


def test_what_an_untuned_server_takes(openbao: OpenBao) -> None:
    """The numbers of docs/keys.md."""
    kv = openbao.client.secrets.kv.v2

    def write(tokens: object) -> None:
        kv.create_or_update_secret("revoked/limits", {"iss": ISSUER, "tokens": tokens})

    objects = [{"iss": ISSUER, "jti": f"{n:032x}", "exp": 2_000_000_000} for n in range(250)]
    write(objects[:195])
    with pytest.raises(hvac.exceptions.InvalidRequest, match="maximum number of strings"):
        write(objects[:201])
    write(lines(20_000))


BOUNDS = [
    ("MAX_ENTRIES", 1, "more than 1 entries"),
    ("MAX_REVOKED", 3, "over 3 revocations"),
]


@pytest.mark.parametrize(("bound", "value", "said"), BOUNDS, ids=[row[0] for row in BOUNDS])
async def test_the_whole_is_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, said: str
) -> None:
    monkeypatch.setattr(f"sidecar.keys.revocation_source.{bound}", value)
    for name in ("a", "b"):
        world.write(name, iss=ISSUER, tokens=f"{name}1 2000000000\n{name}2 2000000000")
    with pytest.raises(Fault, match=said):
        await world.poller.load()
    await world.vault.close()


async def test_what_has_expired_is_dropped_without_a_change_of_its_entry(world: World) -> None:
    world.write("a", iss=ISSUER, tokens=f"j {wall_seconds() + 60:.0f}")
    await world.poller.load()
    assert len(world.poller.revocations) == 1
    world.ahead = 60 + 930 + 2
    await world.poller.refresh()
    assert len(world.poller.revocations) == 0
    await world.vault.close()


SEEN = [(LIST, LIST_OF_VERSIONS), (LIST,), (("metadata", '"list"'),)]


@pytest.mark.parametrize("rights", SEEN, ids=["listed", "one by one", "not at all"])
async def test_a_standby_that_lags_undoes_no_revocation(
    world: World, rights: tuple[tuple[str, str], ...]
) -> None:
    world.allow(ENTRY, *rights)
    world.make()
    world.write("a", iss=ISSUER, tokens="first 2000000000")
    await world.poller.load()
    world.standby.remember()
    world.write("a", iss=ISSUER, tokens="first 2000000000\nsecond 2000000000")
    assert await world.poller.refresh() is KeyState.ACTIVE
    world.standby.lags = True
    assert await world.poller.refresh() is KeyState.OUTAGE
    assert "does a standby lag" in world.poller.status.problem
    assert world.revokes("second")
    world.standby.lags = False
    assert await world.poller.refresh() is KeyState.ACTIVE
    assert world.revokes("second")
    world.standby.lags = True
    for _ in range(3):
        await world.poller.refresh()
    assert not world.revokes("second"), "a backup was restored: that is what Vault says now"
    await world.vault.close()


async def test_a_clock_that_was_ahead_undoes_no_revocation(world: World) -> None:
    """What was read then was taken for past, and left out."""
    world.write()
    world.write("a", iss=ISSUER, tokens=lines(2))
    await world.poller.load()
    world.ahead = 86_400.0
    world.write("a", iss=ISSUER, tokens=lines(3))
    await world.poller.refresh()
    assert len(world.poller.revocations) == 0
    world.ahead = 0.0
    await world.poller.refresh()
    assert len(world.poller.revocations) == 3
    world.calls.clear()
    await world.poller.refresh()
    assert "kv_read" not in world.calls, "once"
    await world.vault.close()


def folder(world: World) -> str:
    world.write("b/c", kids=["k"])
    return "is a folder"


def one_too_many(world: World) -> str:
    for number in range(3):  # sorted before and after the one that is known
        world.write(f"{number}", kids=[f"k{number}"])
    world.write("z", kids=["z"])
    return "more than 2 entries"


def no_right_to_list(world: World) -> str:
    policy_of = world._bao.client.sys.create_or_update_policy
    name = world.path.replace("/", "-")
    paths = f'path "secret/data/{world.path}/*" {{ capabilities = ["read"] }}'
    more = f'path "secret/metadata/{world.path}/*" {{ capabilities = ["read"] }}'
    single = f'path "secret/+/{world.path}" {{ capabilities = ["read"] }}'
    policy_of(name, f"{paths}\n{more}\n{single}")
    return "entries below"


TROUBLE = [folder, one_too_many, no_right_to_list]


@pytest.mark.parametrize("begin", TROUBLE, ids=[each.__name__ for each in TROUBLE])
async def test_what_can_not_be_listed_holds_back_nothing_that_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch, begin: Callable[[World], str]
) -> None:
    monkeypatch.setattr("sidecar.keys.revocation_source.MAX_ENTRIES", 2)
    world.write("m", iss=ISSUER, tokens="first 2000000000")
    await world.poller.load()
    said = begin(world)
    world.write("m", iss=ISSUER, tokens="second 2000000000")
    for _ in range(2):
        assert await world.poller.refresh() is KeyState.OUTAGE
        assert said in world.poller.status.problem
        assert (world.revokes("first"), world.revokes("second")) == (False, True)
    await world.vault.close()


async def test_what_could_not_be_published_is_published_with_the_next_poll(world: World) -> None:
    """Nobody may take for known what nobody was told."""
    await world.poller.load()
    world.write("a", kids=["k"])
    world.fails = 2
    assert await world.poller.refresh() is KeyState.OUTAGE
    assert "ValueError" in world.poller.status.problem
    assert world.poller.revocations.kids == set()
    assert await world.poller.refresh() is KeyState.ACTIVE
    assert world.published[-1].kids == world.poller.revocations.kids == {"k"}
    await world.vault.close()


ENTRIES, IN_EACH = 15, 20_000
TURNS = 3
"""The quietest of so many measurements counts: what else the machine does is not judged."""


@pytest.mark.quiet
async def test_three_hundred_thousand_are_known_in_time_and_hold_nothing_up(world: World) -> None:
    """15 entries of 20,000; the loop that answers Checks ticks all the while."""
    await world.poller.load()
    exp, longest = wall_seconds() + 600, float("inf")
    for _ in range(TURNS):
        for number in range(ENTRIES):
            text = lines(IN_EACH, number * IN_EACH, exp)
            await asyncio.to_thread(world.write, f"e{number:02}", iss=ISSUER, tokens=text)
        longest, over = await watch_loop(world.poller.refresh)
        if longest < 0.02:
            break
    assert len(world.poller.revocations) == ENTRIES * IN_EACH
    assert over < 5, f"{over:.1f} s"
    assert world.revokes(f"{ENTRIES * IN_EACH - 1:032x}")
    assert not world.revokes(f"{ENTRIES * IN_EACH:032x}")
    assert MAX_PART <= 20_000, "what a worker takes in one piece"
    assert all(len(part) <= MAX_PART for part in world.poller.revocations.parts)
    world.write("e07", iss=ISSUER, tokens=lines(1, 999_999, exp))
    again, _ = await watch_loop(world.poller.refresh)
    assert len(world.poller.revocations) == (ENTRIES - 1) * IN_EACH + 1
    assert world.revokes(f"{999_999:032x}")
    assert max(longest, again) < 0.02, f"{longest * 1e3:.1f} ms, {again * 1e3:.1f} ms"
    await world.vault.close()


async def watch_loop(work: Callable[[], Any]) -> tuple[float, float]:
    """Run ``work``; returns the longest that a tick of the loop waited, and how long it all took.

    A tick's wait is counted in CPU time of this process, so that a busy machine is no pause. What
    the tests before it left behind is kept from the garbage collector: a sidecar has none of it.
    """
    longest, done = 0.0, False
    gc.collect()
    gc.freeze()

    async def tick() -> None:
        nonlocal longest
        last = time.process_time()
        while not done:
            await asyncio.sleep(0.001)
            now = time.process_time()
            longest, last = max(longest, now - last), now

    ticking = asyncio.create_task(tick())
    started = time.perf_counter()
    try:
        await work()
    finally:
        over = time.perf_counter() - started
        done = True
        await ticking
        gc.unfreeze()
    return longest, over
