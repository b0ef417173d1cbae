"""Rate limits at the times of the recorded requests, with the arithmetic of the server.

One bucket a key, full at the first line, in the order of the lines' times: what a fleet of
sidecars counted together is not repeated to the request. A denial that was recorded of a limit
that is still the same stays one. Logins are not counted: whose they were is in no line.
"""

from msgspec.structs import replace

from sidecar.authz.decision import Decision, RequestView
from sidecar.authz.limiting import counting_limits, limit_decision
from sidecar.common.reasons import Reason
from sidecar.config import model
from sidecar.limits.account import KEY_BYTES
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import RouteLimits, compile_limits
from sidecar.replay.line import RecordedLine

_NANOSECONDS = 1_000_000_000


class RecordedLimits:
    """The limits of one configuration, and their buckets."""

    def __init__(self, config: model.Config) -> None:
        policy = compile_limits(config)
        self._limiter: RateLimiter | None = None
        self._without_login: dict[str, RouteLimits] = {}
        self.uncounted = 0
        """Requests on a route whose logins are limited."""
        if policy is not None and config.limits is not None:
            key = bytes(KEY_BYTES)  # nothing is hashed by it: no login is counted
            self._limiter = RateLimiter(policy, key, max_keys=config.limits.max_keys)
            self._without_login = {
                name: replace(limits, login=None) for name, limits in policy.routes.items()
            }

    @property
    def are_set(self) -> bool:
        """Whether the configuration has limits at all."""
        return self._limiter is not None

    def limit(self, decision: Decision, line: RecordedLine) -> Decision:
        """Count one request; return its decision, or the denial of a limit in its place."""
        limiter = self._limiter
        if limiter is None:
            return decision
        limits = decision.limits
        if limits is not None and limits.login is not None:
            self.uncounted += 1
            limits = self._without_login[limits.route]
        # The decision may be another line's: the same but for whom this one is counted by.
        counted = replace(decision, limits=limits, token_digest=line.token_digest)
        if line.reason == Reason.RATE_LIMITED and self._refuses_still(counted, line):
            return replace(counted, outcome=Reason.RATE_LIMITED, detail=line.detail)
        view = RequestView(b"", b"", b"", {}, line.source)
        return limit_decision(counted, view, limiter, int(line.at * _NANOSECONDS))

    def _refuses_still(self, decision: Decision, line: RecordedLine) -> bool:
        """Return whether the limit that denied then is one of this configuration, unchanged."""
        if self._limiter is None:
            return False
        refused_by = line.detail.partition(";")[0]
        limits = counting_limits(decision, self._limiter.policy)
        return any(str(each) == refused_by and not each.shadow for each in limits)
