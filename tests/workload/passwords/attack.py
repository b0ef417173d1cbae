"""An attack on one process: many logins at once, under a limit of its address space.

Usage: python -m tests.workload.passwords.attack SLOTS. Prints JSON: how the peak of the resident
memory grew in KiB, the outcomes, and what the pool said meanwhile.
"""

import asyncio
import json
import re
import resource
import sys
from collections import Counter
from pathlib import Path

from workload.passwords import HashingBusy, HashingPool, Passwords

LOGINS = 200
_ADDRESS_SPACE = 6 << 30


def peak_kib() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


async def attack(slots: int) -> dict[str, object]:
    passwords = Passwords(pool=HashingPool(slots, max_waiting=100, wait_seconds=1.0))
    stored = await passwords.hash("correct horse battery staple")
    before = peak_kib()

    async def login(number: int) -> str:
        try:
            done = await passwords.verify("wrong", stored if number % 2 else None)
        except HashingBusy as busy:
            return str(busy)
        return "let in" if done else "refused"

    tasks = [asyncio.create_task(login(number)) for number in range(LOGINS)]
    # A third of the callers hang up as soon as their hash may have begun.
    while not passwords.load().running:
        await asyncio.sleep(0.001)
    load = passwords.load()
    for each in tasks[::3]:
        each.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    words = Counter("gone" if isinstance(each, BaseException) else each for each in outcomes)
    return {"grew_kib": peak_kib() - before, "outcomes": words, "load": load._asdict()}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    print(json.dumps(asyncio.run(attack(int(sys.argv[1])))))  # noqa: T201 - its parent reads it
