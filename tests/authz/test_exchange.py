"""A snapshot that is exchanged: news is told, and a poll without news is none."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sidecar.authz.decision import Snapshot
from sidecar.authz.exchange import decides_alike, exchanged
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import Publishers
from sidecar.runtime.check import (
    exchange,
    give_domains,
    give_keys,
    give_publishers,
    give_revocations,
)
from sidecar.tokens.keyring import EMPTY_RING, KeyRing
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations, read_revocations
from tests.authz.conftest import CONFIG, Bench
from tests.support.minting import NOW, TENANT, Issuer

ISSUER, OTHER = Issuer.generate(), Issuer.generate("key-2")
SNAPSHOT = build_snapshot(parse_config(CONFIG, "test"), ISSUER.ring)
OWNERS = RegisteredDomains.of([("shop.example", TENANT)])


def revoked() -> Revocations:
    entry = {"tenants": [{"tenant": TENANT, "issued_before": NOW}]}
    return Revocations(read_revocations(entry), NOW, 930)


def headers(registered: RegisteredDomains) -> dict[str, Any]:
    return {"headers": SNAPSHOT.headers._replace(registered=registered)}


NO_NEWS: dict[str, Callable[[], dict[str, Any]]] = {
    "the same keys, read again": lambda: {"ring": Issuer(ISSUER.private).ring},
    "the same state": lambda: {"key_state": KeyState.ACTIVE},
    "an empty list of revocations": lambda: {"revocations": Revocations.of(())},
    "the same owners": lambda: headers(RegisteredDomains.of(())),
    "nothing": dict,
}
ALIKE: dict[str, Callable[[], dict[str, Any]]] = {
    "publishers of bundles": lambda: {"publishers": Publishers((), ["00" * 32])},
    "old revocations where that refuses nothing": lambda: {"revocations_degraded": True},
}
DIFFERENT: dict[str, Callable[[], dict[str, Any]]] = {
    "a key more": lambda: {"ring": KeyRing([ISSUER.key, OTHER.key])},
    "no key": lambda: {"ring": EMPTY_RING},
    "another key by its kid": lambda: {"ring": Issuer.generate(ISSUER.kid).ring},
    "a revocation": lambda: {"revocations": revoked()},
    "the state of the keys": lambda: {"key_state": KeyState.OUTAGE},
    "an owner more": lambda: headers(OWNERS),
    "names to remove": lambda: {"names_to_remove": ("x-any",)},
    "old keys are refused": lambda: {"refuse_degraded": True},
}


@pytest.mark.parametrize("news", NO_NEWS)
def test_equal_content_keeps_the_snapshot(news: str) -> None:
    assert exchanged(SNAPSHOT, **NO_NEWS[news]()) is SNAPSHOT


@pytest.mark.parametrize("news", ALIKE)
def test_a_change_of_what_is_never_repeated_decides_alike(news: str) -> None:
    fresh = exchanged(SNAPSHOT, **ALIKE[news]())
    assert fresh is not SNAPSHOT
    assert decides_alike(SNAPSHOT, fresh)
    assert decides_alike(fresh, SNAPSHOT)


@pytest.mark.parametrize("news", DIFFERENT)
def test_every_other_change_decides_anew(news: str) -> None:
    fresh = exchanged(SNAPSHOT, **DIFFERENT[news]())
    assert not decides_alike(SNAPSHOT, fresh)
    assert not decides_alike(fresh, SNAPSHOT)


def test_old_revocations_count_where_they_refuse() -> None:
    strict = msgspec.structs.replace(SNAPSHOT, refuse_degraded=True)
    assert not decides_alike(strict, exchanged(strict, revocations_degraded=True))


def test_every_field_of_a_snapshot_is_compared_unless_it_is_named() -> None:
    ignored = {"modules", "publishers", "revocations_degraded"}
    for name in set(Snapshot.__struct_fields__) - ignored:
        fresh = msgspec.structs.replace(SNAPSHOT, **{name: object()})
        assert not decides_alike(SNAPSHOT, fresh), name


class Heard:
    """A service, and what it was told of."""

    def __init__(self) -> None:
        self.service = Bench(ISSUER).service
        self.exchanges: list[tuple[Snapshot, Snapshot]] = []
        self.service.on_exchange = lambda held, fresh: self.exchanges.append((held, fresh))


def test_polls_without_news_are_not_heard_of() -> None:
    heard = Heard()
    held = heard.service.snapshot
    for _ in range(3):
        give_keys(heard.service, Issuer(ISSUER.private).ring, KeyState.ACTIVE)
        give_revocations(heard.service, Revocations.of(()), KeyState.ACTIVE)
        give_domains(heard.service, RegisteredDomains.of(()))
        give_publishers(heard.service, held.publishers)
    assert heard.exchanges == []
    assert heard.service.snapshot is held


def test_each_change_is_heard_of_once_it_decides() -> None:
    heard = Heard()
    give_keys(heard.service, KeyRing([ISSUER.key, OTHER.key]), KeyState.ACTIVE)
    give_revocations(heard.service, revoked(), KeyState.ACTIVE)
    give_revocations(heard.service, NOTHING_REVOKED, KeyState.ACTIVE)
    give_domains(heard.service, OWNERS)
    exchange(heard.service, names_to_remove=())
    assert [decides_alike(*each) for each in heard.exchanges] == [False] * 5
    assert heard.exchanges[-1][1] is heard.service.snapshot
