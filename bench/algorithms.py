"""What verifying a token never seen costs, by its algorithm. Usage: python -m bench.algorithms.

CPU of ``verify_token`` on the fast path, whole: header, signature, claims; and of the bare
signature in it. Prints JSON, µs; the least of several rounds, so that other load counts little.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from functools import partial

from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.verifier import verify_token
from tests.support.algorithms import sign, verification_key
from tests.support.minting import NOW, policy

ROUNDS = 20
CALLS = 50


def main() -> int:
    """Measure and print."""
    print(json.dumps(dict(figures(ROUNDS, CALLS)), indent=2))
    return 0


def figures(rounds: int, calls: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield by algorithm ``token_us`` and ``signature_us``."""
    for name, algorithm in ALGORITHMS.items():
        key, token = verification_key(name), sign(name)
        ring, rules = KeyRing([key]), policy()
        signed, _, segment = token.rpartition(b".")
        signature = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))

        whole = partial(verify_token, token, ring, rules, NOW, keep_payload=False)
        bare = partial(algorithm.verify, key.public, signature, signed)
        yield (
            name,
            {
                "token_us": _least(whole, rounds, calls),
                "signature_us": _least(bare, rounds, calls),
            },
        )


def _least(run: Callable[[], object], rounds: int, calls: int) -> float:
    """Return the CPU of one call in µs, in the best round."""
    best = float("inf")
    for _ in range(rounds):
        started = time.thread_time_ns()
        for _ in range(calls):
            run()
        best = min(best, (time.thread_time_ns() - started) / calls / 1000)
    return round(best, 1)


if __name__ == "__main__":
    raise SystemExit(main())
