"""Orders on demand: how many at a time, and when one that failed is tried again."""

import asyncio

import pytest

from sidecar.certificates.issuers.base import Issuer, Issuers, Order
from sidecar.certificates.managed.obtaining import CertificateFault
from sidecar.certificates.on_demand.domains import Registration
from sidecar.certificates.on_demand.issuance_limits import IssuanceRateExceeded
from sidecar.certificates.on_demand.name_table import Entry
from sidecar.certificates.on_demand.names import NameRefused
from sidecar.certificates.on_demand.orders import OnDemandEvents, Orders
from sidecar.common.errors import Fault
from sidecar.config.on_demand import FileRegistry, OnDemandSettings
from tests.support.on_demand_world import World
from workload.x509.material import Material


async def test_a_failure_is_answered_at_once_and_retried_with_backoff() -> None:
    world = World(retry_seconds=5.0, max_retry_seconds=12.0)
    world.register("shop.example")
    world.ca.failing = Fault("down")
    for pause in (5.0, 10.0, 12.0, 12.0):
        assert await world.get("shop.example") == "order_failed"
        count = len(world.ca.orders)
        world.now += pause - 0.1
        assert world.ask("shop.example") == "order_failed"
        await asyncio.sleep(0)
        assert len(world.ca.orders) == count
        world.now += 0.2
        world.notified.clear()
    world.ca.failing = None
    assert await world.get("shop.example") == "5"


async def test_a_ca_that_says_when_is_not_asked_before() -> None:
    world = World(retry_seconds=5.0)
    world.register("shop.example")
    fault = Fault("busy")
    fault.retry_after_seconds = 600.0
    world.ca.failing = fault
    assert await world.get("shop.example") == "order_failed"
    world.now += 599
    assert world.ask("shop.example") == "order_failed"
    world.now += 2
    assert world.ask("shop.example") == "..."


async def test_a_spent_budget_is_the_reason_and_is_retried_before_it_is_full() -> None:
    world = World(retry_seconds=5.0)
    world.register("shop.example")
    world.ca.failing = IssuanceRateExceeded("domain_budget_spent", 100_000.0)
    assert await world.get("shop.example") == "domain_budget_spent"
    assert world.failed == ["domain_budget_spent"]
    world.now += 6
    assert world.ask("shop.example") == "..."


async def test_only_so_many_orders_wait() -> None:
    world = World(orders_waiting=2)
    world.register("*.shop.example")
    world.ca.held.clear()
    assert [world.ask(f"{n}.shop.example") for n in "abc"] == ["...", "...", "too_many_orders"]
    world.ca.held.set()
    assert await world.get("a.shop.example") == "1"
    assert await world.get("c.shop.example") == "3"


async def test_an_order_cancelled_before_it_began_frees_its_place() -> None:
    world = World(orders_waiting=1)
    world.register("shop.example", "other.example")
    assert world.ask("shop.example") == "..."
    world.register("other.example")
    await world.on_demand.forget_withdrawn()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert world.on_demand.open_orders == 0
    assert await world.get("other.example") == "1"


async def test_closing_cancels_the_open_orders() -> None:
    world = World()
    world.register("shop.example")
    world.ca.held.clear()
    world.ask("shop.example")
    await asyncio.sleep(0)
    await world.on_demand.close()
    assert world.on_demand.open_orders == 0


async def test_an_issuer_that_is_not_there_is_a_failure_like_another() -> None:
    world = World()
    world.register("shop.example", issuer="nobody")
    assert await world.get("shop.example") == "order_failed"
    assert world.failed == ["order_failed"]


class Manager:
    """Obtains nothing, and raises what it is given."""

    def __init__(self, raised: Exception | None = None) -> None:
        self.name = "internal"
        self.raised = raised
        self.asked: list[tuple[Order, str]] = []

    async def obtain(self, order: Order, issuer: Issuer) -> Material:
        self.asked.append((order, issuer.name))
        if self.raised is not None:
            raise self.raised
        return await self.issue(order)

    async def issue(self, order: Order) -> Material:
        return Material(b"", b"", order.dns_names, "1", 0.0, 1e10)

    def forget(self, name: str) -> None:
        raise AssertionError(name)

    def use_issuer(self, name: str, issuer: Issuer) -> None:
        raise AssertionError((name, issuer))


class Other(Manager):
    def __init__(self) -> None:
        super().__init__()
        self.name = "other"


class Direct:
    """Orders at a manager, and what was reported of them."""

    def __init__(self, manager: Manager) -> None:
        self.now = 1000.0
        self.manager = manager
        self.obtained: list[tuple[str, float]] = []
        self.failed: list[tuple[str, str, str]] = []
        self.done: list[Entry] = []
        settings = OnDemandSettings(
            registry=FileRegistry(path="-"), issuer="internal",
            retry_seconds=5.0, max_retry_seconds=40.0,
        )  # fmt: skip
        self.orders = Orders(
            settings,
            Issuers({"internal": manager, "other": Other()}),
            manager,
            OnDemandEvents(
                lambda *_: None,
                lambda key, _registration, seconds: self.obtained.append((key, seconds)),
                lambda *failure: self.failed.append(failure),
                lambda *_: None,
            ),
            clock=lambda: self.now,
            jitter=lambda: 0.0,
            done=self.done.append,
        )

    async def order(self, entry: Entry) -> None:
        self.orders.begin(entry)
        await asyncio.gather(entry.task)


def entry(registration: Registration | None) -> Entry:
    return Entry("a.shop.example", registration)


ALICES = Registration("*.shop.example", "alice")


@pytest.mark.parametrize(
    ("registration", "issuer"),
    [(ALICES, "internal"), (Registration("*.shop.example", "alice", "other"), "other")],
)
async def test_a_domain_chooses_its_issuer_and_pays_for_its_names(
    registration: Registration, issuer: str
) -> None:
    direct = Direct(Manager())
    one = entry(registration)
    await direct.order(one)
    wanted = Order("a.shop.example", ("a.shop.example",), account="*.shop.example")
    assert direct.manager.asked == [(wanted, issuer)]
    assert direct.obtained == [("a.shop.example", 0.0)]
    assert (direct.done, direct.failed, len(direct.orders)) == ([one], [], 0)


def rate_exceeded() -> CertificateFault:
    cause = IssuanceRateExceeded("orders_too_fast", 900.0)
    fault = CertificateFault("no", cause)
    fault.__cause__ = cause
    return fault


def asks_to_wait() -> Fault:
    fault = Fault("rateLimited")
    fault.retry_after_seconds = 900.0
    return fault


FAILURES = [
    ("a fault", Fault("no"), "order_failed", "no", 5.0),
    ("a fault that says when", asks_to_wait(), "order_failed", "rateLimited", 900.0),
    ("our own limit", rate_exceeded(), "orders_too_fast", "no", 5.0),
]


@pytest.mark.parametrize(
    ("raised", "reason", "said", "pause"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
async def test_a_failure_and_its_pause(
    raised: Exception, reason: str, said: str, pause: float
) -> None:
    direct = Direct(Manager(raised))
    one = entry(ALICES)
    await direct.order(one)
    assert direct.failed == [("a.shop.example", reason, said)]
    assert (one.refused, one.retry_at - direct.now, one.failures) == (reason, pause, 1)
    assert (direct.done, direct.obtained, one.task) == ([one], [], None)
    direct.now += pause - 0.1
    with pytest.raises(NameRefused, match=reason):
        direct.orders.begin(one)
    direct.now += 0.1
    direct.manager.raised = None
    await direct.order(one)
    assert (one.failures, one.retry_at) == (0, 0.0), "a success begins anew"


async def test_a_defect_is_reported_and_refuses_its_name_alone() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: reported.append(context["exception"])
    )
    defect = ZeroDivisionError("secret words")
    direct = Direct(Manager(defect))
    one = entry(ALICES)
    await direct.order(one)
    assert reported == [defect]
    ((_, reason, said),) = direct.failed
    assert (reason, said) == (
        "order_failed", "internal error (a bug in the sidecar): ZeroDivisionError",
    )  # fmt: skip
    assert (direct.done, len(direct.orders)) == ([one], 0)


async def test_a_configured_certificate_that_has_expired_is_not_ordered_here() -> None:
    direct = Direct(Manager())
    await direct.order(entry(None))
    assert direct.manager.asked == []
    assert direct.failed[0][2] == "the configured certificate has expired"
