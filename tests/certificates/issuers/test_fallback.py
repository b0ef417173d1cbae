"""A second CA: when it is asked, and what is said when both fail."""

import pytest

from sidecar.certificates.issuers.base import Order, RenewalAdvice
from sidecar.certificates.issuers.fallback import FallbackFault, FallbackIssuer
from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultUnreachable
from workload.x509.material import Material

ORDER = Order("edge", ("a.example",))


class Ca:
    """A CA that issues, or raises what it is given."""

    def __init__(self, name: str, raised: Exception | None = None) -> None:
        self.name = name
        self.raised = raised
        self.orders: list[Order] = []

    async def issue(self, order: Order) -> Material:
        self.orders.append(order)
        if self.raised is not None:
            raise self.raised
        return Material(b"", b"", order.dns_names, self.name, 0.0, 1e10)

    async def advise(self, _material: Material) -> RenewalAdvice | None:
        if self.raised is not None:
            raise self.raised
        return RenewalAdvice(None, float(len(self.name)))


def fault(text: str = "no", *, retryable: bool = False, after: float | None = None) -> Fault:
    made = Fault(text)
    made.retryable, made.retry_after_seconds = retryable, after
    return made


async def test_the_second_is_not_asked_while_the_first_issues() -> None:
    first, second = Ca("first"), Ca("second")
    issuer = FallbackIssuer(first, second)
    assert (await issuer.issue(ORDER)).serial == "first"
    assert (second.orders, issuer.fell_back, issuer.name) == ([], 0, "first")


async def test_the_second_has_the_same_order_when_the_first_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = FallbackIssuer(Ca("first", fault("rateLimited")), second := Ca("second"))
    assert (await issuer.issue(ORDER)).serial == "second"
    assert (second.orders, issuer.fell_back) == ([ORDER], 1)
    assert "issuer first failed: rateLimited; asking the fallback second" in caplog.text


@pytest.mark.parametrize("raised", [VaultUnreachable("away"), ZeroDivisionError("a defect")])
async def test_what_is_not_the_cas_fault_is_no_reason_to_change_cas(raised: Exception) -> None:
    issuer = FallbackIssuer(Ca("first", raised), second := Ca("second"))
    with pytest.raises(type(raised)):
        await issuer.issue(ORDER)
    assert second.orders == []


BOTH = [
    ("neither is retryable", fault(), fault(), False, None),
    ("the first is", fault(retryable=True), fault(), True, None),
    ("the second is", fault(), fault(retryable=True), True, None),
    ("both ask to wait", fault(after=600.0), fault(after=5.0), False, 5.0),
    ("the first asks to wait for less", fault(after=5.0), fault(after=600.0), False, 5.0),
    ("one can be asked at any time", fault(after=600.0), fault(), False, None),
]


@pytest.mark.parametrize(
    ("first", "second", "retryable", "after"), [b[1:] for b in BOTH], ids=[b[0] for b in BOTH]
)
async def test_when_both_fail(
    first: Fault, second: Fault, retryable: bool, after: float | None
) -> None:
    issuer = FallbackIssuer(Ca("first", first), Ca("second", second))
    with pytest.raises(FallbackFault, match="no; then the fallback: no") as both:
        await issuer.issue(ORDER)
    assert (both.value.retryable, both.value.retry_after_seconds) == (retryable, after)
    assert issuer.fell_back == 0


async def test_advice_is_the_firsts_unless_it_has_none() -> None:
    material = await Ca("x").issue(ORDER)
    first, second = Ca("first"), Ca("second")
    issuer = FallbackIssuer(first, second)
    assert await issuer.advise(material) == RenewalAdvice(None, 5.0)
    first.raised = fault("not mine")
    assert await issuer.advise(material) == RenewalAdvice(None, 6.0)
    second.raised = fault("nor mine")
    with pytest.raises(Fault, match="nor mine"):
        await issuer.advise(material)
