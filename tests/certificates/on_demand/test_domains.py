"""Which domains are whose."""

from typing import Any

import pytest

from sidecar.certificates.on_demand.domains import (
    DomainIndex,
    Registration,
    RegistryFault,
    read_registrations,
    summarise,
)
from sidecar.certificates.on_demand.names import NameRefused

A, B = "tenant-a", "tenant-b"


def index(*entries: tuple[str, str] | dict[str, Any]) -> DomainIndex:
    listed = [e if isinstance(e, dict) else {"domain": e[0], "tenant_id": e[1]} for e in entries]
    found, problems = read_registrations(listed)
    assert problems == []
    return DomainIndex(found)


def owner(domains: DomainIndex, name: str) -> str | None:
    try:
        found = domains.find(name)
    except NameRefused as refused:
        return refused.reason
    return None if found is None else found.tenant_id


OTHER = "domain_of_other_tenant"
SHARED = {"domain": "platform.example", "tenant_id": A, "shared": True}
OWNERS: list[tuple[str, tuple[Any, ...], str, str | None]] = [
    ("its own name", (("shop.example", A),), "shop.example", A),
    ("a name nobody registered", (("shop.example", A),), "other.example", None),
    ("a name below one", (("shop.example", A),), "www.shop.example", None),
    ("one label below a wildcard", (("*.shop.example", A),), "www.shop.example", A),
    ("two labels below it", (("*.shop.example", A),), "a.www.shop.example", None),
    ("the name above it", (("*.shop.example", A),), "shop.example", None),
    ("exact before wildcard", (("*.s.example", A), ("a.s.example", A)), "a.s.example", A),
    ("below another tenant's", (("s.example", A), ("a.s.example", B)), "a.s.example", OTHER),
    ("far below another's", (("s.example", A), ("a.b.c.s.example", B)), "a.b.c.s.example", OTHER),
    ("below another's wildcard", (("*.s.example", A), ("a.s.example", B)), "a.s.example", OTHER),
    ("far below it", (("*.s.example", A), ("a.b.s.example", B)), "a.b.s.example", OTHER),
    ("one's own below one's own", (("s.example", A), ("a.s.example", A)), "a.s.example", A),
    ("a wildcard below another's", (("s.example", A), ("*.s.example", B)), "a.s.example", OTHER),
    ("above another's", (("s.example", A), ("a.s.example", B)), "s.example", A),
    ("beside another's", (("s.example", A), ("t.example", B)), "t.example", B),
    ("below a shared one", (SHARED, ("shop.platform.example", B)), "shop.platform.example", B),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "name", "whose"), [o[1:] for o in OWNERS], ids=[o[0] for o in OWNERS]
)
def test_whose_a_name_is(entries: tuple[Any, ...], name: str, whose: str | None) -> None:
    assert owner(index(*entries), name) == whose


def test_domains_are_known_in_their_normal_form() -> None:
    domains = index(("*.Bücher.EXAMPLE.", A))
    assert owner(domains, "a.xn--bcher-kva.example") == A
    assert len(domains) == 1


BAD: list[tuple[str, Any, str]] = [
    ("no object", "shop.example", "not a registration"),
    ("no tenant", {"domain": "a.example"}, "not a registration"),
    ("an empty tenant", {"domain": "a.example", "tenant_id": ""}, "tenant_id"),
    ("a number for a tenant", {"domain": "a.example", "tenant_id": 7}, "not a registration"),
    ("a tenant that is no Unicode", {"domain": "a.example", "tenant_id": "\ud800"}, "printable"),
    ("a tenant of two lines", {"domain": "a.example", "tenant_id": "a\nb"}, "printable"),
    ("an unknown field", {"domain": "a.example", "tenant_id": A, "x": 1}, "not a registration"),
    ("an address", {"domain": "192.0.2.1", "tenant_id": A}, "name_is_address"),
    ("a whole zone", {"domain": "*.example", "tenant_id": A}, "name_too_shallow"),
    ("everything", {"domain": "*", "tenant_id": A}, "name_malformed"),
    (
        "a wildcard certificate for one name",
        {"domain": "a.example", "tenant_id": A, "wildcard": True},
        "needs a domain that begins with",
    ),
]


@pytest.mark.parametrize(("entry", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_entry_is_reported_and_affects_no_other(entry: Any, said: str) -> None:
    good = {"domain": "good.example", "tenant_id": A}
    found, problems = read_registrations({"domains": [entry, good]})
    assert list(found) == ["good.example"]
    assert len(problems) == 1
    assert problems[0].startswith("domains[0] ")
    assert said in problems[0]


def test_a_domain_of_two_tenants_is_neithers() -> None:
    entries = [{"domain": d, "tenant_id": t} for d, t in (("s.example", A), ("S.example.", B))]
    found, problems = read_registrations([*entries, {"domain": "t.example", "tenant_id": A}])
    assert list(found) == ["t.example"]
    assert "s.example is listed twice" in problems[0]
    same, problems = read_registrations([entries[0], entries[0]])
    assert list(same) == ["s.example"]
    assert problems == [], "said twice is said once"


@pytest.mark.parametrize("document", [None, "x", 7, {}, {"domains": {}}, {"domain": []}])
def test_what_is_no_list_is_no_registry(document: Any) -> None:
    with pytest.raises(RegistryFault):
        read_registrations(document)


def test_ten_thousand_domains_are_found_as_fast_as_one() -> None:
    domains = index(*((f"shop{each}.example", A) for each in range(10_000)))
    assert owner(domains, "shop9999.example") == A
    assert isinstance(domains.find("shop1.example"), Registration)


def test_many_problems_are_summarised() -> None:
    assert summarise(["a", "b"]) == "a; b"
    assert summarise([str(each) for each in range(9)]) == "0; 1; 2; 3; 4; and 4 more"
