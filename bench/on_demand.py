"""Certificates on demand, measured: handshakes, memory a name in Envoy and here, the start.

``python -m bench.on_demand [NAMES]`` runs the real Envoy, the real OpenBao and the sidecar on
loopback. Times are of one machine: the ratios are what is to be looked at.
"""

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from demo.handshake import Handshake, Handshaker
from demo.process import fetch_text
from demo.stack import Stack

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
COLD = 200
STARTS = 5
SIGNED = 'septem_vault_call_duration_seconds_sum{operation="pki_sign"}'
SIGNED_COUNT = 'septem_vault_call_duration_seconds_count{operation="pki_sign"}'


def limits(ttl_seconds: float) -> dict[str, object]:
    return {
        "issuer": "internal",
        "orders_burst": 100_000,
        "orders_waiting": 10_000,
        "max_names": 90_000,
        "ttl_seconds": ttl_seconds,
    }


def resident_kb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def envoy_heap_kb(stack: Stack) -> float:
    text = fetch_text(stack.ports.admin, "/memory")
    return int(text.partition('"allocated": "')[2].partition('"')[0]) / 1024


def number(stack: Stack, name: str) -> float:
    lines = fetch_text(stack.admin_port, "/metrics").splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def envoy_holds(stack: Stack) -> int:
    lines = fetch_text(stack.ports.admin, "/stats?filter=on_demand_secret.cert_active").splitlines()
    return sum(int(line.split()[-1]) for line in lines) if lines else -1


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def register(stack: Stack, names: Iterable[str]) -> None:
    known = dict.fromkeys(names, TENANT)
    stack.register(known)
    wait_for(lambda: number(stack, "septem_domain_registry_entries") == len(known))


def shake_all(hands: Handshaker, names: list[str]) -> list[Handshake]:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(hands.shake, names))
    assert all(each.done for each in done), next(each for each in done if not each.done)
    return done


def handshakes() -> None:
    """One at a time: the first for a name, and the ones after it."""
    names = [f"cold{number}.example" for number in range(COLD)]
    with Stack(on_demand=limits(3600)) as stack:
        register(stack, names)
        hands = Handshaker(stack.ports.https, stack.ca_pem)
        hands.shake("localhost")
        before, count = number(stack, SIGNED), number(stack, SIGNED_COUNT)
        cold = median(hands.shake(name).milliseconds for name in names)
        warm = median(hands.shake(name).milliseconds for name in names)
        refused = median(hands.shake(f"no{name}").milliseconds for name in names)
        signed = (number(stack, SIGNED) - before) / (number(stack, SIGNED_COUNT) - count) * 1000
        print(f"first handshake for a name, median     {cold:8.2f} ms")
        print(f"handshake after that, median           {warm:8.2f} ms")
        print(f"refusal of an unknown name, median     {refused:8.2f} ms")
        print(f"bare call of Vault to sign, mean       {signed:8.2f} ms")
        print(f"first : (bare call + handshake)        {cold / (signed + warm):8.2f}")


def memory(count: int) -> None:
    """So many names, held and taken back."""
    names = [f"shop-{number:05}.customer.example" for number in range(count)]
    ttl = max(240.0, count * 0.12)
    with Stack(on_demand=limits(ttl)) as stack:
        register(stack, names)
        hands = Handshaker(stack.ports.https, stack.ca_pem)
        shake_all(hands, names[:50])
        heap, ours = envoy_heap_kb(stack), resident_kb(stack.sidecar.pid)
        started = time.monotonic()
        shake_all(hands, names[50:])
        took, held = time.monotonic() - started, count - 50
        assert took < ttl * 0.8, "names leave before all are there: the machine is too busy"
        print(f"{held} names obtained in                {took:8.1f} s")
        print(
            f"Envoy's heap a name                    {(envoy_heap_kb(stack) - heap) / held:8.1f} KB"
        )
        each = (resident_kb(stack.sidecar.pid) - ours) / held
        print(f"the sidecar's resident memory a name   {each:8.1f} KB")
        full, full_rss = envoy_heap_kb(stack), resident_kb(stack.envoy.process.pid)
        wait_for(lambda: envoy_holds(stack) == 0, 2 * ttl)
        back = envoy_heap_kb(stack)
        print(f"Envoy's heap, names held               {full / 1024:8.1f} MB")
        print(f"Envoy's heap, names taken back         {back / 1024:8.1f} MB")
        print(f"resident, held : taken back            {full_rss / 1024:8.1f} : "
              f"{resident_kb(stack.envoy.process.pid) / 1024:.1f} MB")  # fmt: skip


def starts() -> None:
    """From the command to ready, with few registered domains and with many."""
    with Stack(on_demand=limits(3600)) as stack:
        times: dict[int, list[float]] = {10: [], 10_000: []}
        for turn in range(STARTS * 2):
            count = (10, 10_000)[turn % 2]
            stack.sidecar.stop()
            stack.register({f"shop{number}.example": TENANT for number in range(count)})
            started = time.perf_counter()
            stack.start_sidecar()
            times[count].append(time.perf_counter() - started)
        for count, taken in times.items():
            print(f"start with {count:6} registered domains    {median(taken):8.2f} s")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    memory(count)
    handshakes()
    starts()


if __name__ == "__main__":
    main()
