"""Certificates on demand through the real Envoy: who is served, who is refused, how fast."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from signal import SIGCONT, SIGSTOP
from statistics import median

import pytest

from demo.handshake import Handshake, Handshaker
from demo.process import fetch_text
from demo.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
ALICE = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
BOB = "00000000-0000-4000-8000-000000000b0b"
MANY = [f"shop{number}.customer{number}.example" for number in range(1000)]
REGISTERED = {
    **dict.fromkeys(MANY, ALICE),
    "plain.example": ALICE,
    "bücher.example": ALICE,
    "*.wild.example": ALICE,
    "upper.example": ALICE,
    "lower.upper.example": BOB,
    "gone.example": ALICE,
    "slow.example": ALICE,
}
LIMITS = {
    "issuer": "internal",
    "orders_burst": 5000,
    "orders_waiting": 2000,
    "max_labels": 6,
    "retry_seconds": 0.5,
}
ORDERED = 'septem_on_demand_orders_total{outcome="ok"}'
SIGNED = 'septem_vault_calls_total{operation="pki_sign",outcome="ok"}'


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(on_demand=LIMITS) as running:
        running.register(REGISTERED)
        wait_until(lambda: number(running, "septem_domain_registry_entries") == len(REGISTERED))
        yield running


@pytest.fixture
def hands(stack: Stack) -> Handshaker:
    return Handshaker(stack.ports.https, stack.ca_pem)


def number(stack: Stack, name: str) -> float:
    """One number of the sidecar's metrics."""
    return number_of(fetch_text(stack.admin_port, "/metrics"), name)


def number_of(page: str, name: str) -> float:
    """One number of a page of them, which are all of one moment."""
    found = [line for line in page.splitlines() if line.startswith(f"{name} ")]
    return float(found[0].rpartition(" ")[2]) if found else -1.0


def orders(stack: Stack) -> float:
    return number(stack, ORDERED)


def refusals(stack: Stack, reason: str) -> float:
    return number(stack, f'septem_on_demand_refusals_total{{reason="{reason}"}}')


def envoys(stack: Stack, counter: str) -> int:
    text = fetch_text(stack.ports.admin, f"/stats?filter=on_demand_secret.{counter}$")
    found = [int(line.rpartition(" ")[2]) for line in text.splitlines()]
    assert found, "Envoy did not answer"
    return sum(found)


def shake_all(hands: Handshaker, names: list[str]) -> list[Handshake]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(hands.shake, names))


def test_a_thousand_names_each_with_a_certificate_of_its_own(
    stack: Stack, hands: Handshaker
) -> None:
    started = time.monotonic()
    cold = shake_all(hands, MANY)
    took = time.monotonic() - started
    assert [each.failure for each in cold if not each.done] == []
    assert [each.names for each in cold] == [(name,) for name in MANY]
    assert len({each.serial for each in cold}) == len(MANY)
    assert orders(stack) == len(MANY), "one order a name"
    assert took < 60
    warm = shake_all(hands, MANY)
    assert [each.serial for each in warm] == [each.serial for each in cold]
    assert orders(stack) == len(MANY)
    assert number(stack, "septem_sds_streams") == 1, "one stream for all of them"


def test_an_unknown_name_is_refused_at_once_and_nobody_is_asked(
    stack: Stack, hands: Handshaker
) -> None:
    before, signed = orders(stack), vault_calls(stack)
    answers = [hands.shake(f"unknown{each}.example") for each in range(50)]
    assert not any(each.done for each in answers)
    assert median(each.milliseconds for each in answers) < 250
    assert (orders(stack), vault_calls(stack)) == (before, signed)
    assert refusals(stack, "domain_unknown") >= 50
    assert envoys(stack, "cert_active") <= len(MANY) + len(REGISTERED), "Envoy keeps none of them"


def vault_calls(stack: Stack) -> float:
    return number(stack, SIGNED)


def test_every_spelling_of_a_name_is_served_the_same_certificate(
    stack: Stack, hands: Handshaker
) -> None:
    first = hands.shake("plain.example")
    before = orders(stack)
    for spelling in ("PLAIN.example", "Plain.Example", "plain.example."):
        other = hands.shake(spelling, check_name=False)
        assert other.done, other
        assert other.serial == first.serial
    assert orders(stack) == before
    many = [hands.shake(f"{a}{b}{c}in.example") for a in "pP" for b in "lL" for c in "aA"]
    assert sum(each.done for each in many) == 6, "up to eight beside the normal form"
    assert refusals(stack, "too_many_spellings") == 2
    assert hands.shake("plain.example").done, "which is always served"


def test_an_international_name_is_known_by_its_a_label(hands: Handshaker) -> None:
    assert hands.shake("xn--bcher-kva.example").names == ("xn--bcher-kva.example",)


REFUSED = [
    ("an address in disguise", "127.1", "name_is_address"),
    ("too deep", "a.b.c.d.e.plain.example", "name_too_deep"),
    ("a label that begins with a hyphen", "-a.example", "name_malformed"),
    ("another tenant's domain above it", "lower.upper.example", "domain_of_other_tenant"),
]


@pytest.mark.parametrize(("name", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_nothing_is_issued_for(
    stack: Stack, hands: Handshaker, name: str, reason: str
) -> None:
    before, ordered = refusals(stack, reason), orders(stack)
    assert not hands.shake(name, check_name=False).done
    assert refusals(stack, reason) == before + 1
    assert orders(stack) == ordered


@pytest.mark.parametrize("name", [None, "localhost", "edge", "roots"])
def test_without_a_name_with_a_dot_it_is_the_platforms_own_certificate(
    stack: Stack, hands: Handshaker, name: str | None
) -> None:
    """A name of one label reaches no secret of the sidecar's: it is not passed on."""
    before = envoys(stack, "cert_requested")
    assert hands.shake(name, check_name=False).names == ("localhost",)
    assert envoys(stack, "cert_requested") == before


def test_below_a_wildcard_each_name_is_ordered_by_itself(stack: Stack, hands: Handshaker) -> None:
    before = orders(stack)
    assert hands.shake("a.wild.example").names == ("a.wild.example",)
    assert hands.shake("b.wild.example").names == ("b.wild.example",)
    assert orders(stack) == before + 2
    assert not hands.shake("a.b.wild.example").done
    assert not hands.shake("wild.example").done


def test_refused_now_registered_a_moment_later_served(stack: Stack, hands: Handshaker) -> None:
    assert not hands.shake("late.example").done
    stack.register({**REGISTERED, "late.example": BOB})
    wait_until(lambda: hands.shake("late.example").done)


def test_what_is_registered_no_more_is_served_no_more(stack: Stack, hands: Handshaker) -> None:
    assert hands.shake("gone.example").done
    stack.register({name: who for name, who in REGISTERED.items() if name != "gone.example"})
    wait_until(lambda: not hands.shake("gone.example").done)
    stack.register(REGISTERED)
    wait_until(lambda: hands.shake("gone.example").done)


def test_without_vault_new_names_fail_cleanly_and_held_ones_do_not(
    stack: Stack, hands: Handshaker
) -> None:
    assert hands.shake("plain.example").done
    stack.openbao.process.signal(SIGSTOP)
    try:
        failed = hands.shake("slow.example")
        assert not failed.done
        assert failed.milliseconds < 10_000, "Envoy is told, and waits for no time-out of its own"
        assert hands.shake("plain.example").done
    finally:
        stack.openbao.process.signal(SIGCONT)
    wait_until(lambda: hands.shake("slow.example").done, 20)


def test_a_sidecar_that_starts_anew_orders_nothing_and_touches_nothing(
    stack: Stack, hands: Handshaker
) -> None:
    held = {name: hands.shake(name).serial for name in MANY[:50]}
    stack.sidecar.stop()
    assert hands.shake(MANY[0]).serial == held[MANY[0]], "Envoy has it"
    stack.start_sidecar()
    wait_until(lambda: number(stack, "septem_sds_streams") == 1)
    signed = vault_calls(stack)
    assert {name: hands.shake(name).serial for name in held} == held
    time.sleep(1)
    # On a busy machine a TTL ends meanwhile: then one name is ordered, to see whether the CA
    # answers before a client loses what it holds.
    page = fetch_text(stack.admin_port, "/metrics")
    ordered = number_of(page, ORDERED)
    assert ordered <= 1
    assert number_of(page, SIGNED) - ordered == signed <= 1, "the platform's own certificate"
    # A name that was evicted at the end of its TTL, and is in use, is sent again.
    sent = number_of(page, "septem_sds_resources_pushed_total")
    evicted = number_of(page, "septem_on_demand_names_evicted_total")
    assert sent <= 1 + ordered + evicted, (sent, ordered, evicted)
