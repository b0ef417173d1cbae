"""Keeps a certificate and a trust bundle fresh. Each is a loop of steps that ``now`` drives.

What failed is tried again with back-off, displaces nothing that is held and ends no loop.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from workload.clock import Now
from workload.errors import Fault
from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material
from workload.x509.renewal import MIN_PAUSE_SECONDS, renew_at, retry_after

_log = logging.getLogger("workload.mtls")
_MAX_SLEEP_SECONDS = 3600.0
"""Long sleeps are cut, so that a clock that was set right is noticed."""
_MIN_POLL_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 2.0
_JITTER_SHARE = 0.1


class _Loop:
    """Steps, each when it is due. ``failures_in_a_row`` are those since the last good one."""

    what = ""

    def __init__(self, now: Now, jitter: Callable[[], float]) -> None:
        self._now = now
        self._jitter = jitter
        self._wake = asyncio.Event()
        self.due = 0.0
        """When the next step is (Unix seconds)."""
        self.failures_in_a_row = 0

    async def load(self) -> None:
        """Get it once. Raises ``Fault``: there is nothing to go on with yet."""
        raise NotImplementedError

    def pause_after_failure(self) -> float:
        """Return how long to wait before the next try."""
        raise NotImplementedError

    def has_ended(self) -> bool:
        """Return whether what is held is of no use any more."""
        raise NotImplementedError

    def soon(self) -> None:
        """Have the next step made at once."""
        self.due = self._now()
        self._wake.set()

    async def run(self) -> None:
        """Make steps until cancelled."""
        while True:
            self._wake.clear()
            seconds = min(max(0.0, self.due - self._now()), _MAX_SLEEP_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            await self.step()

    async def step(self) -> None:
        """Get it anew, if that is due."""
        if self._now() < self.due:
            return
        try:
            await self.load()
        except Exception as exc:  # noqa: BLE001 - the loop's edge: a defect ends no renewal
            self._failed(exc)
        else:
            if self.failures_in_a_row:
                _log.info("%s is fresh again", self.what)
            self.failures_in_a_row = 0

    def _failed(self, exc: Exception) -> None:
        self.failures_in_a_row += 1
        after = exc.retry_after_seconds or 0.0 if isinstance(exc, Fault) else 0.0
        self.due = self._now() + max(self.pause_after_failure(), after)
        level = logging.ERROR if self.has_ended() else logging.WARNING
        if self.failures_in_a_row == 1 or level == logging.ERROR:
            why = str(exc) if isinstance(exc, Fault) else type(exc).__name__
            _log.log(level, "%s was not refreshed: %s", self.what, why)


class CertificateRenewer(_Loop):
    """Our certificate: renewed by the same rule as the sidecar's (SECURITY-MODEL §9)."""

    what = "our certificate"

    def __init__(
        self,
        issue: Callable[[], Awaitable[Material]],
        show: Callable[[Material], None],
        now: Now,
        jitter: Callable[[], float],
    ) -> None:
        super().__init__(now, jitter)
        self._issue = issue
        self._show = show
        self._not_after = 0.0

    async def load(self) -> None:
        """Have one issued and show it. Raises ``Fault``."""
        material = await self._issue()
        self._show(material)
        self._not_after = material.not_after
        due = renew_at(material.not_before, material.not_after, self._jitter())
        self.due = max(due, self._now() + MIN_PAUSE_SECONDS)

    def pause_after_failure(self) -> float:
        """Double, and hurry towards the end."""
        left = max(0.0, self._not_after - self._now())
        return retry_after(max(1, self.failures_in_a_row), left, self._jitter())

    def has_ended(self) -> bool:
        """Return whether it has expired."""
        return self._not_after <= self._now()


class TrustPoller(_Loop):
    """Whom we believe: read again and again, sooner where a CRL ends before the next poll."""

    what = "the trust bundle"

    def __init__(
        self,
        read: Callable[[], Awaitable[TrustAnchors]],
        believe: Callable[[TrustAnchors], None],
        poll_seconds: float,
        now: Now,
        jitter: Callable[[], float],
    ) -> None:
        super().__init__(now, jitter)
        self._read = read
        self._believe = believe
        self._poll_seconds = poll_seconds
        self._ends_at: float | None = None

    async def load(self) -> None:
        """Read it and believe it. Raises ``Fault``."""
        anchors = await self._read()
        self._believe(anchors)
        self._ends_at = anchors.ends_at
        now, pause = self._now(), self._poll_seconds
        if anchors.ends_at is not None:
            pause = max(_MIN_POLL_SECONDS, min(pause, (anchors.ends_at - now) / 2))
        self.due = now + self._jittered(pause)

    def pause_after_failure(self) -> float:
        """Double, up to the poll."""
        doubled = _FIRST_RETRY_SECONDS * 2.0 ** min(max(1, self.failures_in_a_row) - 1, 16)
        return self._jittered(min(doubled, max(self._poll_seconds, _FIRST_RETRY_SECONDS)))

    def has_ended(self) -> bool:
        """Return whether peers are refused for it: a CRL or every root has ended."""
        return self._ends_at is not None and self._ends_at <= self._now()

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 - _JITTER_SHARE * self._jitter())
