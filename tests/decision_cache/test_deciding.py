"""The epoch is raised by what changes decisions, and beats come from the loop that decides."""

import asyncio
import time
from collections.abc import Callable

import pytest

from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import parse_config
from sidecar.decision_cache.control import make_control
from sidecar.decision_cache.credits import WithoutLimits
from sidecar.decision_cache.deciding import BEAT_SECONDS, DecidingProcess
from sidecar.decision_cache.route_rows import scopes_of
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import Publishers
from sidecar.runtime.check import (
    compile_policies,
    give_domains,
    give_keys,
    give_policies,
    give_publishers,
    give_revocations,
    give_tenant_tables,
)
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.keyring import EMPTY_RING
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations, read_revocations
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG, Bench
from tests.support.minting import NOW, TENANT, Issuer
from tests.support.waiting import until

ISSUER = Issuer.generate()
EPOCH_WORD, BEAT_WORD = 16, 17


class Deciding(Bench):
    """A process that decides, and its word."""

    def __init__(self) -> None:
        super().__init__(ISSUER, cache=TokenCache(100))
        self.control = make_control(1, 500_000_000, 0)
        self.process = DecidingProcess(
            self.control,
            0,
            parse_config(CONFIG, "test"),
            self.service,
            WithoutLimits(),
            clock_ns=time.monotonic_ns,
        )

    @property
    def epoch(self) -> int:
        return self.control.words[EPOCH_WORD]

    @property
    def beat(self) -> int:
        return self.control.words[BEAT_WORD]


def revoked() -> Revocations:
    entry = {"tenants": [{"tenant": TENANT, "issued_before": NOW}]}
    return Revocations(read_revocations(entry), NOW, 930)


def with_table(deciding: Deciding, words: dict[str, str]) -> None:
    source = TableSource(ISSUER.name, "secret", "iam/tenants")
    give_tenant_tables(deciding.service, TokenCache(), {source: words} if words else {})


CHANGES: dict[str, Callable[[Deciding], None]] = {
    "no key": lambda d: give_keys(d.service, EMPTY_RING, KeyState.ACTIVE),
    "the state": lambda d: give_keys(d.service, ISSUER.ring, KeyState.OUTAGE),
    "a revocation": lambda d: give_revocations(d.service, revoked(), KeyState.ACTIVE),
    "an owner": lambda d: give_domains(d.service, RegisteredDomains.of([("a.example", TENANT)])),
    "a table of tenants": lambda d: with_table(d, {"acme": TENANT}),
}
NO_NEWS: dict[str, Callable[[Deciding], None]] = {
    "the same keys": lambda d: give_keys(d.service, Issuer(ISSUER.private).ring, KeyState.ACTIVE),
    "no revocations": lambda d: give_revocations(d.service, NOTHING_REVOKED, KeyState.ACTIVE),
    "no owners": lambda d: give_domains(d.service, RegisteredDomains.of([])),
    "no table": lambda d: with_table(d, {}),
    "publishers": lambda d: give_publishers(d.service, Publishers((), ["00" * 32])),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_changes_decisions_raises_the_epoch_once(change: str) -> None:
    deciding = Deciding()
    before = deciding.epoch
    CHANGES[change](deciding)
    assert deciding.epoch == deciding.process.epoch == before + 1
    CHANGES[change](deciding)
    assert deciding.epoch == before + 1


@pytest.mark.parametrize("news", NO_NEWS)
async def test_a_poll_without_news_raises_nothing(news: str) -> None:
    deciding = Deciding()
    before = deciding.epoch
    for _ in range(5):
        NO_NEWS[news](deciding)
    assert deciding.epoch == before


async def test_the_epoch_is_raised_when_the_change_decides_already() -> None:
    """Whoever sees the new epoch, and asks, is answered by what raised it."""
    deciding = Deciding()
    seen = []
    exchanged = deciding.service.on_exchange

    def at_the_raise(*snapshots: object) -> None:
        seen.append((deciding.epoch, deciding.ask(ISSUER.mint()).status))
        exchanged(*snapshots)  # type: ignore[arg-type]

    deciding.service.on_exchange = at_the_raise
    before = deciding.epoch
    give_revocations(deciding.service, revoked(), KeyState.ACTIVE)
    assert (seen, deciding.epoch) == ([(before, 401)], before + 1)


async def test_an_answer_names_the_epoch_it_was_decided_under() -> None:
    deciding = Deciding()
    deciding.process.hold(True)
    raw = check_request(headers={"authorization": f"Bearer {ISSUER.mint().decode()}"})
    for state in (KeyState.OUTAGE, KeyState.ACTIVE):
        give_keys(deciding.service, ISSUER.ring, state)
        assert b"\x1f0\x1f%d\x1f" % deciding.epoch in deciding.handle(raw)
    deciding.process.hold(False)
    assert b"septem_decision_cache" not in deciding.handle(raw)


async def test_it_beats_until_it_stops() -> None:
    deciding = Deciding()
    assert deciding.beat == 0, "it does not decide yet"
    deciding.process.start()
    first = deciding.beat
    assert 0 <= time.monotonic_ns() - first < 1e9
    await until(lambda: deciding.beat > first)
    deciding.process.stop()
    assert deciding.beat == 0
    await asyncio.sleep(3 * BEAT_SECONDS)
    assert deciding.beat == 0


async def test_a_loop_that_stands_still_does_not_beat() -> None:
    deciding = Deciding()
    deciding.process.start()
    before = deciding.beat
    time.sleep(3 * BEAT_SECONDS)  # noqa: ASYNC251 - the loop stands still
    assert deciding.beat == before
    deciding.process.stop()


async def test_other_routes_have_their_numbers_in_the_next_epoch() -> None:
    deciding = Deciding()
    before = deciding.epoch
    text = CONFIG.replace("  - {name: public, path_prefix: /public, auth: none}\n", "")
    compiled = compile_policies(parse_config(text, "test"))
    deciding.process.use_routes(compiled.snapshot.routes.routes)
    give_policies(deciding.service, TokenCache(), compiled)
    assert deciding.epoch == before + 1
    assert deciding.process.answers._scopes == scopes_of(compiled.snapshot.routes.routes)
    assert deciding.process.answers._scopes["api"] == 3
