"""The Check service of one worker: made from the configuration, changed by frames."""

import logging
from collections.abc import Callable

from sidecar.common.clock import cpu_seconds, monotonic_ns
from sidecar.config import model
from sidecar.decision_cache.control import take_control
from sidecar.decision_cache.credits import KnownSlots, WithoutLimits
from sidecar.decision_cache.deciding import DecidingProcess
from sidecar.keys.lifecycle import KeyState
from sidecar.observability.audit import AuditLog, DescriptorSink
from sidecar.observability.counters import Counters
from sidecar.observability.tracing.tracer import SpanQueue
from sidecar.runtime.check import (
    CompiledPolicies,
    compile_policies,
    give_domains,
    give_keys,
    give_policies,
    give_publishers,
    give_revocations,
    give_tenant_tables,
    make_check,
    use_limits,
)
from sidecar.runtime.workers.frames import Domains, Policies, TenantTableFrame
from sidecar.runtime.workers.framing import FrameFault
from sidecar.runtime.workers.key_frames import KeysFrame, Revoked, publishers_of, ring_of
from sidecar.runtime.workers.limit_frames import CreditSlotsFrame, LeasesHeld
from sidecar.runtime.workers.revoked import ReceivedParts
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.proofs import ProofGuard


def _span_queue(config: model.Config, counters: Counters) -> SpanQueue | None:
    if config.tracing is None:
        return None
    size = max(1, config.tracing.queue_spans // config.listen.authz.workers)
    return SpanQueue(size, counters.spans_dropped)


_log = logging.getLogger("sidecar.runtime.workers")


class WorkerCheck:
    """Decides by the newest frames; ``version`` is theirs, 0 before there are keys.

    ``policies`` is the number of the configuration in force. Another one waits until a frame of
    keys names it.
    """

    def __init__(
        self,
        first: Policies,
        counters: Counters,
        on_fault: Callable[[Exception], None],
        proofs: ProofGuard | None = None,
    ) -> None:
        self.config = config = first.config
        self.policies = first.number
        self._next: Policies | None = None
        self._compiled: CompiledPolicies | None = None
        self.version = 0
        self._counters = counters
        self._revoked = ReceivedParts()
        self._cache = TokenCache(config.tokens.cache_entries)
        self._audit = AuditLog(
            DescriptorSink(),
            queue_lines=config.audit.queue_lines,
            queue_bytes=config.audit.queue_bytes,
            on_error=lambda exc: _log.error(
                "audit lines can't be written to the main process: %s", exc.strerror
            ),
            sample_allowed=config.audit.sample_allowed,
        )
        self.spans = _span_queue(config, counters)
        """Spans that wait to be sent, if Checks are traced."""
        check = make_check(
            config,
            counters=counters,
            audit=self._audit,
            cache=self._cache,
            on_fault=on_fault,
            shares_limits=True,
            proofs=proofs,
            spans=self.spans,
        )
        self.service, self.recorder, self.lane = check.service, check.recorder, check.lane
        self.limiter = check.limiter
        self._known_slots = KnownSlots()
        self.deciding: DecidingProcess | None = None
        """This process's part in the decision cache, where there is one."""

    def join_decision_cache(self, control: int, number: int) -> None:
        """Decide for the decision cache too, by its memory, whose descriptor is inherited."""
        policy = WithoutLimits() if self.limiter is None else self._known_slots
        self.deciding = DecidingProcess(
            take_control(control), number, self.config, self.service, policy, clock_ns=monotonic_ns
        )

    def take_leases(self, frame: LeasesHeld | CreditSlotsFrame) -> None:
        """Send what Envoy must remember while it holds a lease, and where its credit stands."""
        if isinstance(frame, CreditSlotsFrame):
            self._known_slots.learn(frame.slots)
        elif self.deciding is not None:
            self.deciding.hold(frame.held)

    def beat(self) -> None:
        """Let Envoy repeat answers from now on."""
        if self.deciding is not None:
            self.deciding.start()

    def rest(self) -> None:
        """End every lease."""
        if self.deciding is not None:
            self.deciding.stop()

    def expect(self, frame: Policies) -> None:
        """Store another configuration until keys put it in force."""
        self._next, self._compiled = frame, None

    def take_compiled(self, frame: Policies, compiled: CompiledPolicies) -> None:
        """Take what a thread has made of a configuration, where it is still the next."""
        if frame is self._next:
            self._compiled = compiled

    def take_revoked(self, frame: Revoked) -> None:
        """Store a part of the revocations until keys put it in force."""
        self._revoked.take(frame)

    def take_keys(self, frame: KeysFrame) -> None:
        """Decide by other keys, revocations and publishers. Raises ``FrameFault``.

        Equal values stay the same objects, so that cached answers stay valid.
        """
        held = self.service.snapshot
        ring, revocations = ring_of(frame.keys), self._revoked.in_force(frame)
        if tuple(ring) == tuple(held.ring):
            ring = held.ring
        if revocations == held.revocations:
            revocations = held.revocations
        publishers = publishers_of(frame)
        self._put_in_force(frame.policies)
        give_keys(self.service, ring, frame.state)
        state = KeyState.DEGRADED if frame.revocations_degraded else KeyState.ACTIVE
        give_revocations(self.service, revocations, state)
        if not publishers.same_as(held.publishers):
            give_publishers(self.service, publishers)
        self.version = frame.version

    def _put_in_force(self, number: int) -> None:
        """Decide by the policies of this number. Raises ``FrameFault`` if they were not sent."""
        if number == self.policies:
            return
        if self._next is None or self._next.number != number:
            raise FrameFault(f"keys name policies {number}, which were not sent")
        # A worker that started a moment ago has not been given the time to compile them.
        compiled = self._compiled or compile_policies(self._next.config)
        if self.deciding is not None:
            self.deciding.use_routes(compiled.snapshot.routes.routes)
        use_limits(self.limiter, compiled)
        give_policies(self.service, self._cache, compiled)
        self.config, self.policies = compiled.config, number
        self._audit.sample_allowed = compiled.config.audit.sample_allowed
        logging.getLogger().setLevel(compiled.config.log.level.upper())
        self._next = self._compiled = None

    def take_domains(self, frame: Domains) -> None:
        """Decide by another shard of the tenants' domains; version 0 comes before the keys."""
        held = self.service.snapshot.headers.registered
        give_domains(self.service, held.with_shard(frame.shard, frame.owners))
        if frame.version:
            self.version = frame.version

    def take_tenant_table(self, frame: TenantTableFrame) -> None:
        """Decide by another table of tenants; version 0 comes before the keys."""
        tables = dict(self.service.snapshot.tenant_tables)
        source = TableSource(frame.issuer, frame.mount, frame.path)
        if frame.words is None:
            tables.pop(source, None)
        else:
            tables[source] = frame.words
        give_tenant_tables(self.service, self._cache, tables)
        if frame.version:
            self.version = frame.version

    def stats(self) -> WorkerStats:
        """Return the statistics of this process, except its connections and memory."""
        cache, audit = self._cache, self._audit
        return WorkerStats(
            self._counters,
            hits=cache.hits,
            misses=cache.misses,
            evicted=cache.evicted,
            cache_entries=len(cache),
            audit_dropped=audit.dropped,
            audit_queued=audit.queued,
            cpu_seconds=cpu_seconds(),
            lane_stalled_ms=int(self.lane.stalled_seconds * 1000),
        )

    def close(self, seconds: float) -> None:
        """Write the audit lines that are left, for at most so long."""
        self.recorder.drain()
        self._audit.close(seconds)
