"""A drill: each order is its own affair, and what fails is told apart from what is not placed."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sidecar.certificates.drill.drill import FAILED, OK, SKIPPED, Drill
from sidecar.certificates.drill.envoy import EnvoyFault
from sidecar.certificates.drill.plan import Rehearsal
from sidecar.certificates.issuers.base import Issuer, Issuers, Order
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateExceeded
from sidecar.common.errors import Fault
from tests.support.authorities import Ca
from workload.x509.material import Material

CA = Ca("platform")


class Limited(Fault):
    retryable = True
    retry_after_seconds = 90.0


class Issues:
    """Issues what is asked for, or what ``fault`` says."""

    def __init__(self, name: str, fault: Exception | None = None) -> None:
        self.name, self.fault = name, fault
        self.asked: list[str] = []
        self.at_once = self.most = 0

    async def issue(self, order: Order) -> Material:
        self.asked.append(order.name)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if order.name == "hangs":
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault
        return CA.material(dns_names=order.dns_names)


async def permit_all(_rehearsal: Rehearsal) -> str:
    return ""


async def not_listed(_issuer: str, _serial: str) -> str:
    return ""


def drill(*issuers: Issuer, **change: Any) -> Drill:
    made: dict[str, Any] = {
        "permit": permit_all, "crl_problem": not_listed, "now": lambda: 0.0, "clock": lambda: 0.0,
        "order_seconds": 0.05, **change,
    }  # fmt: skip
    return Drill(Issuers({each.name: each for each in issuers}), **made)


def planned(*pairs: tuple[str, str], skipped: str = "") -> list[Rehearsal]:
    return [Rehearsal(Order(n, (f"{n}.example",)), issuer, skipped) for n, issuer in pairs]


async def test_one_issuers_trouble_is_its_own() -> None:
    well, ill = Issues("well"), Issues("ill", Fault("no"))
    plan = planned(("a", "ill"), ("b", "well"), ("hangs", "ill"), ("c", "well"), ("d", "ill"))
    results = await drill(well, ill).run(plan)
    assert [(each.name, each.outcome, each.detail) for each in results] == [
        ("a", FAILED, "no"), ("b", OK, ""), ("hangs", FAILED, "no certificate within 0 s"),
        ("c", OK, ""), ("d", FAILED, "no"),
    ]  # fmt: skip
    assert all(each.serial and each.not_after for each in results if each.outcome == OK)


async def test_of_one_issuer_one_order_at_a_time() -> None:
    one = Issues("one")
    await drill(one).run(planned(*((f"n{at}", "one") for at in range(20))))
    assert (len(one.asked), one.most) == (20, 1)


async def test_who_asked_to_wait_is_asked_no_more() -> None:
    ca, other = Issues("ca", Limited("rateLimited")), Issues("other")
    results = await drill(ca, other).run(planned(("a", "ca"), ("b", "ca"), ("c", "other")))
    assert [each.outcome for each in results] == [FAILED, SKIPPED, OK]
    assert results[1].detail == "the CA asked to wait 90 s"
    assert ca.asked == ["a"]


async def test_what_is_not_placed_is_no_failure() -> None:
    async def permit(rehearsal: Rehearsal) -> str:
        return "not now" if rehearsal.order.name == "b" else ""

    issuer = Issues("one")
    plan = [*planned(("a", "one"), skipped="by the plan"), *planned(("b", "one"))]
    results = await drill(issuer, permit=permit).run(plan)
    assert [(each.outcome, each.detail) for each in results] == [
        (SKIPPED, "by the plan"), (SKIPPED, "not now"),
    ]  # fmt: skip
    assert issuer.asked == []
    limited = Issues("one", IssuanceRateExceeded("orders_too_fast", 5.0))
    (result,) = await drill(limited).run(planned(("a", "one")))
    assert (result.outcome, result.detail) == (SKIPPED, "on_demand's own limit: orders_too_fast")


async def _listed(_issuer: str, _serial: str) -> str:
    return "its CA's CRL lists it as revoked"


async def _unreadable(_issuer: str, _serial: str) -> str:
    raise Fault("the CRL can't be read")


async def _full(_rehearsal: Rehearsal, _material: Material) -> None:
    raise Fault("the store is away")


CHECKS: list[tuple[str, dict[str, Any], str]] = [
    ("revoked", {"crl_problem": _listed}, "its CA's CRL lists it as revoked"),
    ("no CRL", {"crl_problem": _unreadable}, "the CRL can't be read"),
    ("no store", {"keep": _full}, "the store is away"),
]


@pytest.mark.parametrize(("change", "why"), [r[1:] for r in CHECKS], ids=[r[0] for r in CHECKS])
async def test_a_certificate_that_came_may_still_fail(change: dict[str, Any], why: str) -> None:
    (result,) = await drill(Issues("one"), **change).run(planned(("a", "one")))
    assert (result.outcome, result.detail) == (FAILED, why)
    assert result.serial, "it was issued, and may have to be revoked"


async def test_envoys_word_counts() -> None:
    async def judge(materials: Sequence[Material]) -> Sequence[str]:
        return ["" if each.names == ("a.example",) else "KEY_VALUES" for each in materials]

    shown: list[str] = []

    def may_see(rehearsal: Rehearsal) -> bool:
        shown.append(rehearsal.order.name)
        return rehearsal.order.name != "c"

    made = drill(Issues("one"), judge=judge, shows_envoy=may_see)
    results = await made.run(planned(("a", "one"), ("b", "one"), ("c", "one")))
    assert [(each.outcome, each.envoy, each.detail) for each in results] == [
        (OK, "takes it", ""), (FAILED, "KEY_VALUES", "Envoy does not take it"), (OK, "", ""),
    ]  # fmt: skip
    assert shown == ["a", "b", "c"]


async def test_an_envoy_that_can_not_be_asked_is_a_failure() -> None:
    async def judge(_materials: Sequence[Material]) -> Sequence[str]:
        raise EnvoyFault("it can't be run")

    (result,) = await drill(Issues("one"), judge=judge).run(planned(("a", "one")))
    assert (result.outcome, result.envoy) == (FAILED, "could not be asked: it can't be run")
