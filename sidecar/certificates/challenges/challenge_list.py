"""The fleet's list of challenges: one entry of Vault KV, written with check-and-set.

What stands in Vault is read with care: an entry that is no challenge is passed over.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from sidecar.certificates.issuers.lease import FleetKv
from sidecar.common.clock import Now
from sidecar.common.errors import Fault
from sidecar.vault.errors import VaultConflict
from workload.backoff import CONTENDED_JITTER_SHARE, Backoff

TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
"""RFC 8555 §8.3: base64url, so it can't be a path; the length is bounded here."""
MAX_ANSWER_CHARACTERS = 256
MAX_IN_FLIGHT = 1000
LIFE_SECONDS = 3600.0
"""How long a challenge is answered if its sidecar died during the order."""
LATEST = 253_402_300_800.0
"""The end of the year 9999 (Unix seconds): a time beyond it is none."""
_WRITES = 30
_REWRITES = Backoff(0.05, 0.2, jitter_share=CONTENDED_JITTER_SHARE)
HTTP, TLS_ALPN, DNS = "http-01", "tls-alpn-01", "dns-01"


class ChallengeFault(Fault):
    """A challenge can't be published."""

    retryable = True


class Challenge(NamedTuple):
    """The key authorization that answers ``token`` on ``host``; ``kind`` is its ACME type."""

    token: str
    host: str
    answer: str
    until: float
    """When it ends, whatever the outcome of its order (Unix seconds)."""
    kind: str = HTTP


Listed = Mapping[str, Challenge]


class ChallengeList:
    """Reads and changes the list, which every sidecar of the fleet shares."""

    def __init__(
        self,
        vault: FleetKv,
        mount: str,
        path: str,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self._vault = vault
        self._mount = mount
        self._path = path
        self._now = now
        self._sleep = sleep
        self._jitter = jitter

    async def change(
        self, change: Callable[[dict[str, Challenge]], Mapping[str, Challenge]]
    ) -> None:
        """Replace what is listed by what ``change`` makes of it.

        Raises ``VaultFault``, or ``ChallengeFault`` if there are too many challenges or writers.
        """
        for attempt in range(1, _WRITES + 1):
            listed, version = await self.read()
            changed = change(dict(listed))
            if len(changed) > MAX_IN_FLIGHT:
                raise ChallengeFault(
                    f"the fleet has {MAX_IN_FLIGHT} challenges in flight, the most that are allowed"
                )
            data = {token: each._asdict() for token, each in changed.items()}
            try:
                await self._vault.write_kv(self._mount, self._path, {"challenges": data}, version)
            except VaultConflict:
                await self._sleep(_REWRITES.pause_seconds(attempt, self._jitter()))
            else:
                return
        raise ChallengeFault(
            "the fleet's list of challenges could not be written: too many write it at once"
        )

    async def read(self) -> tuple[Listed, int]:
        """Return the listed challenges that have not ended, and the entry's version.

        Raises ``VaultFault``.
        """
        entry, version = await self._vault.read_kv_latest(self._mount, self._path)
        listed = entry.data.get("challenges") if entry is not None else None
        found: dict[str, Challenge] = {}
        for token, raw in listed.items() if isinstance(listed, dict) else ():
            challenge = _parse(token, raw)
            if challenge is not None and challenge.until > self._now():
                found[token] = challenge
        return found, version


def _parse(token: str, raw: Any) -> Challenge | None:
    match raw:
        case {
            "host": str(host),
            "answer": str(answer),
            "until": int() | float() as until,
            "kind": str(kind),
        }:
            is_shown = (host + answer + kind).isprintable() and answer.isascii()
            # A whole number that no float can hold is no time either.
            is_time = abs(until) <= LATEST
            if TOKEN.fullmatch(token) and len(answer) <= MAX_ANSWER_CHARACTERS and is_shown:
                return Challenge(token, host, answer, float(until), kind) if is_time else None
    return None
