"""Times answers of one class against each other. Usage: python -m bench.refusal_timing [ROUNDS].

Pairs of tokens that are refused for the same reason, as different from each other as an
attacker could make them, timed in turn; Welch's t on the samples without their slowest
tenth. Beyond +-4.5 (the bound of dudect) the two can be told apart.

The last pair is of logins, by what the rate limiter does for each: for an account that somebody
at another address tried before, and for one that nobody did. A look at the second makes it one
that was tried, and fifty a minute is all that passes: it is timed with fifty of each.
"""

import itertools
import json
import math
import statistics
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import NamedTuple

from sidecar.common.errors import Denied
from sidecar.config import parse_config
from sidecar.limits.limiter import CountedRequest, RateLimiter
from sidecar.limits.policy import compile_limits
from sidecar.tokens.verifier import verify_token
from tests.support.minting import NOW, Issuer, b64, policy

DISTINGUISHABLE = 4.5
KEPT_SHARE = 0.9
_LOGINS = 50
_LOGIN_CONFIG = """\
tokens: {issuers: [{issuer: https://iam.example, audiences: [a], keys: {source: vault_kv}}]}
vault: {address: "https://v:8200", auth: {method: token_file, path: /t}}
limits: {}
routes:
  - name: login
    path: /
    auth: none
    methods: [POST]
    limits: {login: {account_json: /email}}
"""
ISSUER = Issuer.generate(kid="key-1-of-the-platform")


class Pair(NamedTuple):
    """Two tokens of one class of refusal."""

    name: str
    one: bytes
    other: bytes


def pairs() -> list[Pair]:
    """Build the pairs."""
    good = ISSUER.mint()
    head, signature = good.rpartition(b".")[::2]
    raw = bytearray(urlsafe_b64decode(signature + b"=="))
    first, last = bytearray(raw), bytearray(raw)
    first[0] ^= 1
    last[63] ^= 1
    far = ISSUER.mint_raw(ISSUER.header(kid="x" * 21), b"{}")
    near = ISSUER.mint_raw(ISSUER.header(kid="key-1-of-the-platforx"), b"{}")
    return [
        Pair(
            "signature wrong in its first or its last byte",
            head + b"." + b64(bytes(first)).encode(),
            head + b"." + b64(bytes(last)).encode(),
        ),
        Pair("unknown kid, near or far from a known one", near, far),
        Pair(
            "forged for a known or an unknown subject",
            Issuer.generate(kid=ISSUER.kid).mint(sub="user-42"),
            Issuer.generate(kid=ISSUER.kid).mint(sub="user-43"),
        ),
    ]


def timed(token: bytes) -> int:
    """Return the nanoseconds of one refusal."""
    started = time.perf_counter_ns()
    try:
        verify_token(token, ISSUER.ring, policy(), NOW)
    except Denied:
        return time.perf_counter_ns() - started
    raise AssertionError("a token of this bench verifies")


class Logins:
    """Logins from an address each, for accounts that were tried before or not."""

    name = "a login for an account that was tried before, or never"

    def __init__(self) -> None:
        policy = compile_limits(parse_config(_LOGIN_CONFIG, "bench"))
        assert policy is not None
        self._routes = policy.routes["login"]
        self._limiter = RateLimiter(policy, b"k" * 32)
        self._numbers = itertools.count()
        for number in range(_LOGINS):
            self.timed(f"known-{number}".encode())
        self._known = itertools.cycle(f"known-{number}".encode() for number in range(_LOGINS))

    def timed(self, account: bytes) -> int:
        """Return the nanoseconds of counting one login."""
        number = next(self._numbers)
        request = CountedRequest(
            source=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            body=json.dumps({"email": account.decode()}).encode(),
            headers={"content-type": b"application/json"},
        )
        # Each comes when the buckets have refilled, so that all of them pass.
        now_ns = number * 60_000_000_000
        started = time.perf_counter_ns()
        refusal = self._limiter.take(self._routes, request, now_ns)
        took = time.perf_counter_ns() - started
        assert refusal is None
        return took

    def clock(self, which: bytes) -> int:
        """Time a login of a kind."""
        known = which == b"known"
        return self.timed(next(self._known) if known else f"new-{next(self._numbers)}".encode())


def welch(one: list[int], other: list[int]) -> float:
    """Return Welch's t."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    difference = statistics.mean(one) - statistics.mean(other)
    return difference / math.sqrt(spread)


def measure(pair: Pair, rounds: int, clock: Callable[[bytes], int] = timed) -> tuple[float, float]:
    """Return the difference of the means in nanoseconds, and t."""
    samples: tuple[list[int], list[int]] = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            samples[side].append(clock((pair.one, pair.other)[side]))
    kept = [sorted(side)[: int(rounds * KEPT_SHARE)] for side in samples]
    return statistics.mean(kept[0]) - statistics.mean(kept[1]), welch(kept[0], kept[1])


def main() -> int:
    """Print the table; 1 if a pair can be told apart."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    apart = 0
    print(f"{'pair':50} {'difference':>12} {'t':>7}")
    logins = Logins()
    for pair in (*pairs(), Pair(logins.name, b"known", b"new")):
        is_login = pair.name == logins.name
        difference, t = measure(pair, *((_LOGINS, logins.clock) if is_login else (rounds, timed)))
        apart += abs(t) > DISTINGUISHABLE
        print(f"{pair.name:50} {difference:9.0f} ns {t:7.1f}")
    return 1 if apart else 0


if __name__ == "__main__":
    raise SystemExit(main())
