"""Keeps a certificate and a trust bundle fresh, each in a loop of its own."""

from collections.abc import Awaitable, Callable

from workload.clock import Now
from workload.refresh import RefreshLoop
from workload.x509.anchors import TrustAnchors
from workload.x509.material import Material
from workload.x509.renewal import MIN_PAUSE_SECONDS, renew_at, retry_after

_MIN_POLL_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 2.0
_JITTER_SHARE = 0.1


class CertificateRenewer(RefreshLoop):
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


class TrustPoller(RefreshLoop):
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
