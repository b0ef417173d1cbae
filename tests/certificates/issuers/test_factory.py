"""Which issuers a configuration makes, and in which layers: sharing outside, a fallback within."""

from typing import Any

import pytest

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.base import IssuerFault, Issuers, Order
from sidecar.certificates.issuers.factory import IssuerFactory, make_solver
from sidecar.certificates.issuers.shared import SharedIssuer
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.config import model, parse_config
from tests.config.test_certificates import ACME, DNS, PKI, STORE, text
from tests.support.authorities import Ca
from tests.support.fleet_kv import MemoryKv

KV = "{name: stored, type: vault_kv, prefix: tls}"
SHARED = PKI[:-1] + ", share: true}"
FALLBACK = ACME + ", fallback: internal}"


def configured(*issuers: str, store: bool = True) -> model.Config:
    return parse_config(text(", ".join(issuers), more=STORE if store else ""), "test.yaml")


class Made:
    """The issuers of a configuration, and the factory that made them."""

    def __init__(self, config: model.Config, **more: Any) -> None:
        vault: Any = MemoryKv()
        self.vault = vault
        self.solver = make_solver(config, vault)
        self.factory = IssuerFactory(config, vault, self.solver, **more)
        self.issuers: Issuers = self.factory.make()


KINDS: list[tuple[str, tuple[str, ...], str, type]] = [
    ("Vault PKI", (PKI,), "internal", PkiIssuer),
    ("Vault PKI for the fleet", (SHARED,), "internal", SharedIssuer),
    ("stored by somebody else", (KV,), "stored", KvIssuer),
    ("ACME is always shared", (ACME + "}",), "public", SharedIssuer),
    ("ACME with a second CA", (PKI, FALLBACK), "public", SharedIssuer),
    ("the second CA by itself", (PKI, FALLBACK), "internal", PkiIssuer),
]


@pytest.mark.parametrize(
    ("issuers", "name", "kind"), [k[1:] for k in KINDS], ids=[k[0] for k in KINDS]
)
def test_the_issuer_of_each_type(issuers: tuple[str, ...], name: str, kind: type) -> None:
    made = Made(configured(*issuers))
    assert type(made.issuers[name]) is kind
    assert made.issuers[name].name == name


def test_what_is_watched_and_counted_is_each_listed_once() -> None:
    factory = Made(configured(SHARED, KV, FALLBACK)).factory
    assert [each.name for each in factory.shared] == ["internal", "public"]
    assert [each.name for each in factory.kv] == ["stored"]
    assert [each.name for each in factory.acme] == ["public"]
    assert [each.name for each in factory.fallbacks] == ["public"]


def test_a_fallback_asks_the_very_issuer_of_that_name() -> None:
    made = Made(configured(PKI, FALLBACK))
    (fallback,) = made.factory.fallbacks
    assert fallback._second is made.issuers["internal"], "not a copy with counters of its own"


EDGE = [
    ("ACME waits for the edge", ACME + "}", "public", True),
    ("PKI does not", SHARED, "internal", False),
    ("dns-01 does not", DNS + "}", "public", False),
]


@pytest.mark.parametrize(
    ("issuer", "name", "waits"), [e[1:] for e in EDGE], ids=[e[0] for e in EDGE]
)
def test_who_waits_for_our_edge(issuer: str, name: str, waits: bool) -> None:
    shared = Made(configured(issuer)).issuers[name]
    assert isinstance(shared, SharedIssuer)
    assert (shared.edge_seconds > 0) is waits


SOLVERS = [
    ("with an ACME issuer", (PKI, ACME + "}"), True),
    ("without one", (SHARED, KV), False),
    ("with dns-01 alone", (DNS + "}",), False),
]


@pytest.mark.parametrize(
    ("issuers", "solved"), [s[1:] for s in SOLVERS], ids=[s[0] for s in SOLVERS]
)
def test_challenges_are_solved_if_a_ca_poses_any(issuers: tuple[str, ...], solved: bool) -> None:
    assert isinstance(Made(configured(*issuers)).solver, DistributedSolver) is solved


def test_a_solver_for_the_dns_is_each_issuers_own() -> None:
    other = DNS.replace("name: public", "name: other") + "}"
    made = Made(configured(DNS + "}", ACME.replace("name: public", "name: edge") + "}", other))
    assert set(made.factory.dns01) == {"public", "other"}
    assert isinstance(made.solver, DistributedSolver), "for the one that needs the edge"
    solvers = {each.name: each._solver for each in made.factory.acme}
    assert solvers["public"] is made.factory.dns01["public"]
    assert solvers["edge"] is made.solver


def test_a_reload_takes_over_the_solver_of_the_same_settings() -> None:
    made = Made(configured(DNS + "}"))
    before = made.factory
    same = IssuerFactory(configured(DNS + "}"), made.vault, None, before=before)
    same.make()
    assert same.closing() == before.closing()
    changed = DNS.replace("acme.platform.example", "other.platform.example") + "}"
    other = IssuerFactory(configured(changed), made.vault, None, before=before)
    other.make()
    assert set(other.closing()).isdisjoint(before.closing())


def test_an_acme_issuer_without_a_solver_is_a_fault() -> None:
    config = configured(ACME + "}")
    vault: Any = MemoryKv()
    with pytest.raises(IssuerFault, match="issuer 'public' needs certificate_store"):
        IssuerFactory(config, vault, None).make()


async def test_a_revoked_certificate_of_its_issuer_is_not_taken_from_the_store() -> None:
    asked: list[tuple[str, str]] = []

    def is_revoked(issuer: str, serial: str) -> bool:
        asked.append((issuer, serial))
        return True

    made = Made(configured(SHARED), is_revoked=is_revoked)
    material = Ca("platform").material(dns_names=("a.example",))
    made.vault.put(
        "septem/certificates/certificates/internal/a.example",
        {"certificate": material.chain_pem.decode(), "private_key": material.key_pem.decode()},
    )
    shared = made.issuers["internal"]
    assert isinstance(shared, SharedIssuer)
    assert await shared.find(Order("edge", ("a.example",))) is None
    assert asked == [("internal", material.serial)]
