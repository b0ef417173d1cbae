"""Whose a host is by the registry."""

import pytest

from sidecar.certificates.on_demand.domains import DomainIndex, read_registrations
from sidecar.common.registered_domains import (
    NO_DOMAINS,
    SHARDS,
    SHARED,
    RegisteredDomains,
    shard_of,
)
from sidecar.headers.security import SecurityHeaders

A, B, PLATFORM = "tenant-a", "tenant-b", "platform"


def registered(*entries: dict[str, object]) -> RegisteredDomains:
    found, problems = read_registrations(list(entries))
    assert problems == []
    return RegisteredDomains.of(DomainIndex(found).owners())


TABLE = registered(
    {"domain": "shop.example", "tenant_id": A},
    {"domain": "second-shop.example", "tenant_id": A},
    {"domain": "*.wild.example", "tenant_id": B},
    {"domain": "platform.example", "tenant_id": PLATFORM, "shared": True},
    {"domain": "*.platform.example", "tenant_id": PLATFORM, "shared": True},
    {"domain": "a.platform.example", "tenant_id": A},
    {"domain": "intruder.shop.example", "tenant_id": B},
    {"domain": "Shouted.Example", "tenant_id": "TENANT-B"},
    {"domain": "bücher.example", "tenant_id": B},
)
ROWS = [
    ("a domain", "shop.example", A),
    ("another of the same tenant", "second-shop.example", A),
    ("what is below it", "www.shop.example", A),
    ("and deep below it", "x.y.z.shop.example", A),
    ("what another registered below it", "intruder.shop.example", A),
    ("and what is below that", "x.intruder.shop.example", A),
    ("one that only ends alike", "myshop.example", None),
    ("what is above it", "example", None),
    ("a wildcard", "x.wild.example", B),
    ("below a wildcard", "x.y.wild.example", B),
    ("the wildcard's own domain", "wild.example", None),
    ("a shared domain", "platform.example", None),
    ("a name below it that nobody registered", "other.platform.example", None),
    ("a name below it that somebody did", "a.platform.example", A),
    ("and below that", "www.a.platform.example", A),
    ("unknown", "nobody.test", None),
    ("an address", "127.0.0.1", None),
    ("nothing", "", None),
    ("dots", "...", None),
    ("very deep", "x." * 100 + "shop.example", A),
    ("another spelling when it was registered", "shouted.example", B),
    ("an international name, in A-labels", "xn--bcher-kva.example", B),
]


@pytest.mark.parametrize(("host", "owner"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_whose_a_host_is(host: str, owner: str | None) -> None:
    assert TABLE.owner_of(host) == owner
    assert NO_DOMAINS.owner_of(host) is None


HEADERS = SecurityHeaders({}, (), {A: "a.example"}, {"a.example": A}, registered=TABLE)
DOMAINS = [
    ("its configured domain", "a.example", None, "a.example"),
    ("a registered one of who has a configured one", "shop.example", None, "a.example"),
    ("the same with its token", "shop.example", A, "a.example"),
    ("a registered one of who has no other", "x.wild.example", None, "x.wild.example"),
    ("the same with its token", "x.wild.example", B, "x.wild.example"),
    ("the platform's, with a token", "platform.example", A, "a.example"),
    ("the platform's, without", "platform.example", None, None),
    ("nobody's", "nobody.test", B, None),
]


@pytest.mark.parametrize(
    ("host", "tenant", "domain"), [r[1:] for r in DOMAINS], ids=[r[0] for r in DOMAINS]
)
def test_which_domain_a_page_may_name(host: str, tenant: str | None, domain: str | None) -> None:
    assert HEADERS.domain_of(host, tenant) == domain


def test_a_change_touches_one_shard_and_the_rest_is_the_same() -> None:
    changed = TABLE.changed({"new.example": B})
    assert changed.owner_of("new.example") == B
    assert TABLE.owner_of("new.example") is None, "a table never changes"
    others = [number for number in range(SHARDS) if number != shard_of("new.example")]
    assert all(changed.shards[number] is TABLE.shards[number] for number in others)
    assert changed.changed({"new.example": B}) is changed
    assert changed.changed({"never.example": None}) is changed
    gone = changed.changed({"new.example": None})
    assert gone.owner_of("new.example") is None
    assert len(gone) == len(TABLE)
    assert gone.changed({"shop.example": SHARED}).owner_of("shop.example") is None


def test_an_equal_shard_makes_no_other_table() -> None:
    for number, shard in enumerate(TABLE.shards):
        assert TABLE.with_shard(number, dict(shard)) is TABLE
    number = shard_of("shop.example")
    assert TABLE.with_shard(number, {}).owner_of("shop.example") is None
