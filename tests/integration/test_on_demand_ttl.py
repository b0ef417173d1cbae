"""What Envoy obtained on demand is taken back in time, and no handshake fails for it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo.handshake import Handshake, Handshaker
from demo.process import fetch_text
from demo.stack import Stack
from tests.integration.test_on_demand import ALICE, envoys, number, orders
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
TTL_SECONDS = 1
NAMES = [f"shop{each}.example" for each in range(120)]
USED = NAMES[:20]
ORDERED_AT_THE_CA = 'septem_fleet_certificates_total{from="order",issuer="customers"}'


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    limits = {
        "orders_burst": 5000,
        "ttl_seconds": TTL_SECONDS,
        "max_names": 100,
    }
    with Stack(on_demand=limits) as running:
        running.register(dict.fromkeys(NAMES, ALICE))
        wait_until(lambda: number(running, "septem_domain_registry_entries") == len(NAMES))
        yield running


def memory_kb(stack: Stack) -> float:
    text = fetch_text(stack.ports.admin, "/memory")
    return int(text.partition('"allocated": "')[2].partition('"')[0]) / 1024


def test_idle_names_leave_envoy_and_names_in_use_never_miss(stack: Stack) -> None:
    hands = Handshaker(stack.ports.https, stack.ca_pem)
    before_kb = memory_kb(stack)
    assert all(hands.shake(name).done for name in NAMES)
    ordered = orders(stack)
    wait_until(lambda: envoys(stack, "cert_active") <= 100)
    held_kb = memory_kb(stack)

    def use(_: int) -> list[Handshake]:
        made, end = [], time.monotonic() + 3 * TTL_SECONDS
        while time.monotonic() < end:
            made += [hands.shake(name) for name in USED]
        return made

    with ThreadPoolExecutor(4) as pool:
        made = [each for part in pool.map(use, range(4)) for each in part]
    assert [each.failure for each in made if not each.done] == []
    assert len(made) > 500
    assert number(stack, "septem_on_demand_names_evicted_total") >= len(NAMES) + len(USED)
    wait_until(lambda: envoys(stack, "cert_active") == 0)
    wait_until(lambda: number(stack, "septem_on_demand_names") == 0)
    assert orders(stack) <= ordered + len(USED), "what is asked for again is still here"
    assert number(stack, ORDERED_AT_THE_CA) == len(NAMES), "or in Vault"
    assert memory_kb(stack) - before_kb < (held_kb - before_kb) / 2


def test_after_a_restart_of_everything_nothing_is_ordered(stack: Stack) -> None:
    hands = Handshaker(stack.ports.https, stack.ca_pem)
    before = [hands.shake(name).serial for name in USED]
    stack.sidecar.stop()
    stack.envoy.stop()
    stack.start_sidecar()
    stack.start_envoy()
    assert number(stack, "septem_on_demand_names") == 0, "nothing is touched before it is asked for"
    assert [hands.shake(name).serial for name in USED] == before
    assert number(stack, ORDERED_AT_THE_CA) == 0
