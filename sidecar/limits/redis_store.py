"""Shares limits with the other sidecars of a fleet, through Redis or Valkey.

Every period what was spent is reported and new shares are taken, in one round trip, on a task of
its own: no Check ever waits for the network. While the server is away each sidecar spends its
last share of each rate (``Bucket.fair_share``), so that together they still let about the limit
pass; what is spent meanwhile is not charged later, since it was within the shares. When the
server is back, each sidecar first says how far its buckets are from being full: a server that
has lost everything gives no second burst.

The keys in the server are hashes under the fleet's secret: neither an address nor a tenant can be
read there.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from redis.exceptions import NoScriptError

from sidecar.common.polling import PollStatus
from sidecar.config.limits import RedisSettings
from sidecar.limits.account import KEY_BYTES, throttle_key
from sidecar.limits.bucket import SMOOTHING, STALE_PERIODS, Bucket
from sidecar.limits.buckets import Buckets, Share, SpendReport
from sidecar.limits.redis_client import StoreFault, fault_of, make_client
from sidecar.limits.redis_script import JOIN, SYNC

BATCH = 200
"""Buckets in one round trip: to write and read them takes milliseconds, in which no Check runs."""
MAX_BATCHES = 10
"""Round trips in one exchange; what is left waits for the next one."""
JOIN_SECONDS = 1.0
GONE_SECONDS = 5.0
"""A sidecar that has not joined again for so long counts no more."""
RETRY_SECONDS = 1.0
_SLICE = 2000
"""Buckets that are changed at once; between two slices the loop answers Checks."""

_log = logging.getLogger("sidecar.limits")


class FleetShares:
    """This sidecar's part in the fleet's limits.

    ``member`` names it among the others; ``on_change`` is called with whether the server can be
    used, when that changes, ``on_joined`` when the fleet's secret or its size did.
    ``now_ns`` is the limiter's clock.
    """

    def __init__(
        self,
        settings: RedisSettings,
        limiter: Buckets,
        *,
        member: str,
        now_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_change: Callable[[bool], None] = lambda _reachable: None,
        on_joined: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._limiter = limiter
        self._member = member
        self._now_ns = now_ns
        self._sleep = sleep
        self._on_change = on_change
        self._on_joined = on_joined
        self._client = make_client(settings)
        self._patience = 2 * settings.timeout_seconds
        self._sync_sha = ""
        self._joined_ns: int | None = None
        self._since_ns = self._reported_ns = now_ns()
        self._reachable = True
        self._claims_debt = True
        self.members = 1
        self.synced = 0
        self.status = PollStatus(
            "limits_store",
            f"Redis {settings.address}",
            _log,
            kept="each sidecar spends its last share of each limit",
        )

    @property
    def reachable(self) -> bool:
        """Whether the last exchange succeeded."""
        return self._reachable

    async def start(self) -> None:
        """Exchange once. A server that is away does not prevent the start."""
        await self._exchange()

    async def check(self) -> None:
        """Reach the server, for a reload; nothing is exchanged. Raises ``StoreFault``."""
        try:
            async with asyncio.timeout(self._patience):
                await cast("Awaitable[Any]", self._client.ping())
        except Exception as exc:
            await self.close()
            raise fault_of(exc, self._settings) from exc

    async def run(self) -> None:
        """Exchange every period, until cancelled."""
        try:
            while True:
                pause = self._settings.sync_seconds if self._reachable else RETRY_SECONDS
                await self._sleep(pause)
                await self._exchange()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _exchange(self) -> None:
        """Report and take shares; whatever goes wrong is shown and ends there."""
        try:
            async with asyncio.timeout(self._patience):
                await self._join_when_due()
            self._since_ns, self._reported_ns = self._reported_ns, self._now_ns()
            for _ in range(MAX_BATCHES):
                reports = self._limiter.report(BATCH)
                async with asyncio.timeout(self._patience):
                    await self._sync(reports)
                if len(reports) < BATCH:
                    break
        except Exception as exc:  # noqa: BLE001 - the edge of a poll: the loop continues
            self.status.failed(fault_of(exc, self._settings))
            await self._lost()
        else:
            self.status.succeeded()
            self._found()

    async def _join_when_due(self) -> None:
        now = self._now_ns()
        if self._joined_ns is not None and now - self._joined_ns < JOIN_SECONDS * 1e9:
            return
        prefix = self._settings.prefix
        joined = await self._client.eval(
            JOIN,
            2,
            f"{prefix}members",
            f"{prefix}secret",
            self._member,
            str(int(GONE_SECONDS * 1000)),
            self._limiter.secret.hex(),
        )
        members, secret = int(joined[0]), bytes.fromhex(joined[1].decode("ascii"))
        if len(secret) != KEY_BYTES:
            raise StoreFault(f"the key {prefix}secret in Redis is not a sidecar's; delete it")
        before = self._limiter.secret, self._limiter.new_strict_share
        self._limiter.use_secret(secret)
        self._joined_ns, self.members = now, max(1, members)
        self._limiter.new_strict_share = 1 / self.members
        if before != (secret, self._limiter.new_strict_share):
            self._on_joined()

    async def _sync(self, reports: Sequence[SpendReport]) -> None:
        if not reports:
            if not self._reachable:
                await cast("Awaitable[Any]", self._client.ping())
            return
        if not self._sync_sha:
            self._sync_sha = await self._client.script_load(SYNC)
        try:
            replies = await self._run_script(reports)
        except NoScriptError:  # the server was restarted, or its scripts were flushed
            self._sync_sha = await self._client.script_load(SYNC)
            replies = await self._run_script(reports)
        shares = [
            Share(report.key, int(float(ahead) * 1000), float(share), float(fair))
            for report, (ahead, share, fair) in zip(reports, replies, strict=True)
        ]
        self._limiter.apply(shares, self._now_ns())
        self.synced += len(shares)

    async def _run_script(self, reports: Sequence[SpendReport]) -> list[tuple[bytes, bytes, bytes]]:
        settings, limiter, now = self._settings, self._limiter, self._now_ns()
        pipeline = self._client.pipeline(transaction=False)
        for report in reports:
            limit = limiter.policy.limit_of(report.key)
            if limit is None:
                raise StoreFault(f"no limit has the identity of {report.key.partition('|')[0]}")
            asked, refused = report.asked, report.refused
            if self._claims_debt:
                # What was spent while the server was away was within the shares: the server is
                # told how far the bucket is ahead, and nothing is charged on top of it.
                asked = refused = math.ceil(asked * settings.sync_seconds / RETRY_SECONDS)
            pipeline.evalsha(
                self._sync_sha,
                1,
                settings.prefix + throttle_key(limiter.secret, report.key),
                f"{limit.interval_ns / 1000:.6f}",
                f"{limit.tolerance_ns / 1000:.3f}",
                str(asked),
                str(refused),
                self._member,
                f"{settings.sync_seconds * 1e6:.0f}",
                str(self.members),
                str(int(limit.strict)),
                str(SMOOTHING),
                str(STALE_PERIODS),
                f"{self._ahead_us(report, now):.3f}",
                f"{(now - self._since_ns) / 1000:.0f}",
                str(int(self._claims_debt)),
            )
        return cast("list[tuple[bytes, bytes, bytes]]", await pipeline.execute())

    def _ahead_us(self, report: SpendReport, now_ns: int) -> float:
        """Return how far a bucket is from being full, by this sidecar's own account."""
        bucket = self._limiter.reported(report.key)
        return 0.0 if bucket is None else (bucket.full_at_ns - now_ns) / 1000

    async def _lost(self) -> None:
        """Spend the last shares only, from now on."""
        self._joined_ns = None
        self._claims_debt = True
        await self._client.connection_pool.disconnect()
        if not self._reachable:
            # What was spent was within the shares: nothing of it is charged later.
            for _ in range(MAX_BATCHES):
                self._limiter.report(BATCH)
            return
        self._reachable = False
        self._limiter.new_share = self._limiter.new_strict_share = 1 / self.members
        self._on_change(False)
        await self._each_bucket(lambda bucket: bucket.set_share(bucket.fair_share))

    def _found(self) -> None:
        self._claims_debt = False
        if not self._reachable:
            self._reachable = True
            self._limiter.new_share = 1.0
            self._on_change(True)

    async def _each_bucket(self, change: Callable[[Bucket], None]) -> None:
        buckets = self._limiter.buckets()
        for start in range(0, len(buckets), _SLICE):
            for bucket in buckets[start : start + _SLICE]:
                change(bucket)
            await asyncio.sleep(0)
