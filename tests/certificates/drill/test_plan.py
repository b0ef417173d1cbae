"""What a drill orders, and where what it obtained may not be."""

from typing import Any

import pytest

from sidecar.certificates.drill.plan import (
    Acme,
    DrillFault,
    check_store,
    chosen,
    plan_drill,
    with_directory,
)
from sidecar.certificates.issuers.base import Order
from sidecar.config import model, parse_config
from tests.config.test_certificates import ACME, PKI, STORE, text

FALLBACK = ACME + ", fallback: internal}"
HOST = (Order("a", ("a.example",)), "public")
WILD = (Order("w", ("*.a.example",)), "public")
SERVICE = (Order("s", (), ("spiffe://d/s",)), "internal")


def config(*issuers: str, more: str = STORE) -> model.Config:
    return parse_config(text(", ".join(issuers or (PKI, FALLBACK)), more=more), "test.yaml")


def test_a_fallback_is_rehearsed_too() -> None:
    plan = list(plan_drill(config(), [HOST, SERVICE], Acme.ORDER))
    assert [(each.order.name, each.issuer, each.skipped) for each in plan] == [
        ("a", "public", ""), ("a", "internal", ""), ("s", "internal", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("acme", Acme)
def test_a_public_ca_is_asked_by_wish_alone(acme: Acme) -> None:
    first, second = plan_drill(config(), [HOST], acme)
    assert bool(first.skipped) is (acme is Acme.SKIP)
    assert second.skipped == ""


def test_what_the_challenge_can_not_prove_is_the_fallbacks() -> None:
    first, second = plan_drill(config(), [WILD], Acme.ORDER)
    assert first.skipped == "http-01 can't prove it: its fallback issues it"
    assert second.skipped == ""


def test_a_staging_directory_takes_the_place_of_every_ca() -> None:
    changed = with_directory(config(), "https://staging.example/dir")
    (issuer,) = (each for each in changed.issuers if isinstance(each, model.AcmeIssuerSettings))
    assert issuer.directory == "https://staging.example/dir"
    for wrong in ("http://staging.example/dir", "ftp://x", "staging"):
        with pytest.raises(DrillFault, match="must be https"):
            with_directory(config(), wrong)


STORES: list[tuple[str, str, bool]] = [
    ("elsewhere", "rehearsed", True),
    ("beside the store", "septem/certificates-2", True),
    ("the store", "septem/certificates", False),
    ("below the store", "septem/certificates/drill", False),
    ("above the store", "septem", False),
    ("the account's key", "septem/acme/public", False),
    ("above the account's key", "septem/acme", False),
    ("the key of tokens", "iam/jwt-signing-key", False),
]


@pytest.mark.parametrize(("path", "free"), [r[1:] for r in STORES], ids=[r[0] for r in STORES])
def test_the_second_store_is_nothing_that_the_sidecar_reads(path: str, free: bool) -> None:
    if free:
        check_store(config(), "secret", path)
        return
    with pytest.raises(DrillFault, match="which the sidecar reads"):
        check_store(config(), "secret", path)
    check_store(config(), "other", path)


def test_a_prefix_of_stored_certificates_is_read_too() -> None:
    stored: Any = config(PKI, "{name: stored, type: vault_kv, prefix: tls}")
    with pytest.raises(DrillFault, match="secret/tls, which"):
        check_store(stored, "secret", "tls/x")


def test_names_choose() -> None:
    assert chosen([HOST, SERVICE], ()) == ([HOST, SERVICE], [])
    assert chosen([HOST, SERVICE], ("s", "shop.example")) == ([SERVICE], ["shop.example"])
