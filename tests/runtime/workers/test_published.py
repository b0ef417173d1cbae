"""What workers are given: versions, order, and that nothing is kept which can't be encoded."""

import uuid
from collections.abc import Iterable
from typing import Any

import pytest

from sidecar.common.registered_domains import RegisteredDomains, shard_of
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.limits.bucket import Limit
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.runtime.workers.frames import (
    PROTOCOL,
    Domains,
    Drain,
    Policies,
    Readiness,
    Start,
    TenantTableFrame,
    ToWorker,
)
from sidecar.runtime.workers.framing import MAX_TO_WORKER_BYTES, FrameReader
from sidecar.runtime.workers.key_frames import KeysFrame, Revoked, public_keys
from sidecar.runtime.workers.limit_frames import (
    CreditSlotsFrame,
    LeasesHeld,
    LimitsState,
    TenantLimitsFrame,
    TenantRate,
)
from sidecar.runtime.workers.published import Given, PublishedState
from sidecar.tokens.keyring import EMPTY_RING, KeyRing
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.revocation import NOTHING_REVOKED, PartTables, RevocationPart, Revocations
from sidecar.tokens.tenant_tables import TenantTables
from tests.authz.conftest import CONFIG
from tests.support.minting import Issuer

SETTINGS = parse_config(CONFIG, "test")
NEVER_UNICODE = "\ud800"


TABLE = TableSource("https://iam.example", "secret", "iam/tenants")


def revoked(*kids: str) -> Revocations:
    return Revocations.of([RevocationPart(PartTables(kids=(kid,))) for kid in kids])


def decode(frames: Iterable[bytes]) -> list[Any]:
    reader = FrameReader(ToWorker, MAX_TO_WORKER_BYTES)
    return [frame for raw in frames for frame in reader.feed(raw)]


def started(state: PublishedState, *, draining: bool = False) -> list[Any]:
    """Return the frames that a worker gets first."""
    return decode(state.first_frames(3, "127.0.0.1:1", draining=draining))


def set_keys(state: PublishedState, ring: KeyRing, revocations: Revocations = NOTHING_REVOKED,
             degraded: bool = False) -> list[Any]:  # fmt: skip
    """Set keys; return the frames for workers that run."""
    update = state.set_keys(ring, revocations, KeyState.ACTIVE, degraded=degraded)
    return [] if update is None else decode((*update.parts, update.frame))


def test_a_worker_without_keys_does_not_serve_yet() -> None:
    state = PublishedState(SETTINGS)
    kinds = [type(each) for each in started(state)]
    assert kinds == [Start, Policies, Readiness]
    assert started(state)[0] == Start(PROTOCOL, 3, "127.0.0.1:1")


def test_with_a_decision_cache_a_worker_is_told_of_its_memory_and_of_leases() -> None:
    state = PublishedState(SETTINGS, control=7)
    raw = state.add_slot("acme", 0)
    assert list(FrameReader(ToWorker, MAX_TO_WORKER_BYTES).feed(raw)) == [
        CreditSlotsFrame({"acme": 0})
    ]
    for held in (False, True):
        state.leases_held = held
        frames = started(state)
        assert frames[0] == Start(PROTOCOL, 3, "127.0.0.1:1", 7)
        assert frames[3:] == [LeasesHeld(held), CreditSlotsFrame({"acme": 0})]


def test_the_keys_come_last_and_with_the_newest_version(issuer: Issuer) -> None:
    state = PublishedState(SETTINGS)
    state.ready = True
    set_keys(state, issuer.ring, revoked("a"))
    updates = list(state.set_domains(RegisteredDomains.of([("shop.example", "acme")])))
    assert [each.version for each in updates] == [2]
    frames = started(state)
    assert [type(each) for each in frames[2:]] == [Readiness, Revoked, Domains, KeysFrame]
    assert (frames[2].ready, frames[-1].version) == (True, 2)
    assert frames[-1].keys == public_keys(issuer.ring)
    assert frames[4] == Domains(0, shard_of("shop.example"), {"shop.example": "acme"})
    assert started(state, draining=True)[-1] == Drain()


@pytest.mark.parametrize(
    ("ring", "revocations", "degraded", "changed"),
    [
        ("same", revoked(), False, False),
        ("none", revoked(), False, True),
        ("same", revoked("a"), False, True),
        ("same", revoked(), True, True),
    ],
)
def test_only_a_change_is_sent(
    issuer: Issuer, ring: str, revocations: Revocations, degraded: bool, changed: bool
) -> None:
    state = PublishedState(SETTINGS)
    set_keys(state, issuer.ring)
    frames = set_keys(
        state, issuer.ring if ring == "same" else EMPTY_RING, revocations, degraded=degraded
    )
    assert bool(frames) is changed
    assert state.version == 1 + changed
    if changed:
        assert frames[-1].version == 2
        assert frames[-1].revocations_degraded is degraded
        assert len(frames[-1].revoked) == len(frames) - 1


def test_only_new_parts_are_sent_and_before_the_keys_that_name_them(issuer: Issuer) -> None:
    state = PublishedState(SETTINGS)
    first = revoked("a")
    set_keys(state, issuer.ring, first)
    second = Revocations.of([*first.parts, RevocationPart(PartTables(kids=("b",)))])
    part, keys = set_keys(state, issuer.ring, second)
    assert (part.part, keys.revoked) == (2, (1, 2))


def test_publishers_follow_the_keys(issuer: Issuer) -> None:
    state = PublishedState(SETTINGS)
    withdrawn = Publishers(withdrawn=["ab" * 32])
    assert state.set_publishers(withdrawn) is None
    assert set_keys(state, issuer.ring)[-1].withdrawn == ("ab" * 32,)
    update = state.set_publishers(NO_PUBLISHERS)
    assert update is not None
    assert (update.version, decode([update.frame])[0].withdrawn) == (2, ())


def test_only_changed_shards_are_sent() -> None:
    state = PublishedState(SETTINGS)
    domains = RegisteredDomains.of([("shop.example", "acme")])
    assert len(list(state.set_domains(domains))) == 1
    assert list(state.set_domains(RegisteredDomains.of([("shop.example", "acme")]))) == []
    (gone,) = state.set_domains(RegisteredDomains.of([]))
    assert decode([gone.frame]) == [Domains(2, shard_of("shop.example"), {})]


def test_what_can_not_be_encoded_changes_nothing(issuer: Issuer) -> None:
    """A lone surrogate is no Unicode."""
    state = PublishedState(SETTINGS)
    set_keys(state, issuer.ring, revoked("a"))
    before = started(state)
    bad = next(iter(issuer.ring))._replace(kid=NEVER_UNICODE)
    with pytest.raises(UnicodeEncodeError):
        set_keys(state, KeyRing([*issuer.ring, bad]), revoked("b"))
    with pytest.raises(UnicodeEncodeError):
        list(state.set_domains(RegisteredDomains.of([("shop.example", NEVER_UNICODE)])))
    with pytest.raises(UnicodeEncodeError):
        list(state.set_tenant_tables({TABLE: {NEVER_UNICODE: "t"}}))
    with pytest.raises(UnicodeEncodeError):
        state.set_publishers(Publishers(withdrawn=[NEVER_UNICODE]))
    assert (state.version, started(state)) == (1, before)
    set_keys(state, EMPTY_RING)
    assert state.version == 2


def test_of_tenants_tables_each_change_has_a_version_and_none_is_sent_twice(
    issuer: Issuer,
) -> None:
    state, other = PublishedState(SETTINGS), TABLE._replace(path="iam/others")

    def set_tables(tables: TenantTables) -> list[Any]:
        updates = list(state.set_tenant_tables(tables))
        frames = decode(each.frame for each in updates)
        assert [each.version for each in frames] == [each.version for each in updates]
        return frames

    first = TenantTableFrame(1, *TABLE, {"acme": "one"})
    assert set_tables({TABLE: {"acme": "one"}}) == [first]
    assert set_tables({TABLE: {"acme": "one"}}) == []
    set_keys(state, issuer.ring)
    assert set_tables({TABLE: {"acme": "one"}, other: {}}) == [TenantTableFrame(3, *other, {})]
    *_, one, two, keys = started(state)
    assert [one, two] == [TenantTableFrame(0, *TABLE, {"acme": "one"}),
                          TenantTableFrame(0, *other, {})]  # fmt: skip
    assert (type(keys), keys.version) == (KeysFrame, 3), "it serves from then on"
    assert set_tables({other: {"b": "two"}}) == [
        TenantTableFrame(4, *other, {"b": "two"}), TenantTableFrame(5, *TABLE, None)
    ]  # fmt: skip
    assert sum(isinstance(each, TenantTableFrame) for each in started(state)) == 1
    assert state.version == 5


def test_limits_are_sent_when_they_change_and_to_a_worker_that_comes_later() -> None:
    state = PublishedState(SETTINGS)
    limits = LimitsState(b"k" * 32, 1.0, 0.5)
    raw = state.set_limits(limits)
    assert raw is not None
    assert decode([raw]) == [limits]
    assert state.set_limits(limits) is None
    assert limits in started(state)


def test_of_tenants_limits_only_changes_are_sent_in_small_frames() -> None:
    state = PublishedState(SETTINGS)
    state.set_limits(LimitsState(b"k" * 32, 1.0, 0.5))
    limit = Limit("tenant", "tenant", 5, 1, 5)
    many = {str(uuid.UUID(int=number)): limit for number in range(10_000)}
    frames = state.set_tenant_limits(many)
    assert max(map(len, frames)) < 16_384
    rates = TenantRate(5, 1, 5, False)
    assert _joined(decode(frames)) == dict.fromkeys(many, rates)
    assert state.set_tenant_limits(many) == []
    assert state.set_tenant_limits(dict(many)) == []
    (gone, changed, *_), other = many, Limit("tenant", "tenant", 6, 1, 6)
    now = {tenant: each for tenant, each in many.items() if tenant != gone} | {changed: other}
    assert decode(state.set_tenant_limits(now)) == [
        TenantLimitsFrame({changed: TenantRate(6, 1, 6, False), gone: None})
    ]
    later = [each for each in started(state) if isinstance(each, TenantLimitsFrame)]
    assert _joined(later).keys() == now.keys()


def _joined(frames: Iterable[object]) -> dict[str, TenantRate | None]:
    joined: dict[str, TenantRate | None] = {}
    for frame in frames:
        assert isinstance(frame, TenantLimitsFrame)
        joined |= frame.rates
    return joined


def test_policies_are_in_force_with_keys_and_lists_of_one_frame(issuer: Issuer) -> None:
    state = PublishedState(SETTINGS)
    set_keys(state, EMPTY_RING, revoked("a"))
    policies = state.encode_policies(SETTINGS)
    assert [each.number for each in started(state) if isinstance(each, Policies)] == [1]
    publishers = Publishers([], ["ab" * 32])
    update = state.put_in_force(
        policies, Given(issuer.ring, KeyState.OUTAGE, revoked("b"), True, publishers)
    )
    *parts, frame = decode((*update.parts, update.frame))
    assert [each.tables.kids for each in parts] == [("b",)]
    assert frame == KeysFrame(
        2, public_keys(issuer.ring), (parts[0].part,), KeyState.OUTAGE, True,
        withdrawn=("ab" * 32,), policies=2,
    )  # fmt: skip
    first = started(state)
    assert [each.number for each in first if isinstance(each, Policies)] == [2]
    assert first[-1] == frame
    *_, later = set_keys(state, EMPTY_RING, revoked("b"))
    assert later.policies == 2, "keys that change later do not bring the old policies back"


def test_policies_that_were_given_up_are_never_in_force(issuer: Issuer) -> None:
    state = PublishedState(SETTINGS)
    given_up = state.encode_policies(SETTINGS)
    set_keys(state, issuer.ring)
    assert started(state)[-1].policies == 1
    assert state.encode_policies(SETTINGS).number == given_up.number + 1


def test_what_can_not_be_encoded_puts_nothing_in_force(issuer: Issuer) -> None:
    state = PublishedState(SETTINGS)
    set_keys(state, issuer.ring)
    before = started(state)
    bad = Publishers([], [NEVER_UNICODE])
    with pytest.raises(UnicodeEncodeError):
        state.put_in_force(
            state.encode_policies(SETTINGS),
            Given(EMPTY_RING, KeyState.ACTIVE, NOTHING_REVOKED, False, bad),
        )
    assert started(state) == before
