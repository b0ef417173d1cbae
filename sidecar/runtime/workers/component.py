"""Checks answered by workers: connects the pool to keys, health, audit and metrics."""

import asyncio
import random
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.authz.metrics import cache_families
from sidecar.common.clock import monotonic_seconds
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config.endpoints import check_endpoints
from sidecar.context import AppContext
from sidecar.decision_cache.component import DecisionCache
from sidecar.decision_cache.memory import make_memory
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.observability.audit import AuditLog
from sidecar.observability.metrics import gauge
from sidecar.observability.panel import Ask, Panel
from sidecar.observability.tracing.tracer import SpanQueue
from sidecar.runtime.check import CompiledPolicies, make_limiter
from sidecar.runtime.in_process import ChallengeLookup, PreparedPolicies
from sidecar.runtime.workers.broadcast import WorkerFault
from sidecar.runtime.workers.limits import LimitShares
from sidecar.runtime.workers.panel import workers_panel
from sidecar.runtime.workers.pool import Dependencies, WorkerPool
from sidecar.runtime.workers.published import Given
from sidecar.tokens.proofs import prepare
from sidecar.tokens.replays import table_bytes
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations
from sidecar.tokens.tenant_tables import TenantTables
from sidecar.transport.ports import JOINS

_PART = "workers"


class WorkerChecks:
    """The Check service of several processes, each with an endpoint of its own.

    Ready while at least one serves: Envoy's retries and outlier detection handle the others,
    and ``/readyz`` shows how many there are.
    """

    def __init__(
        self,
        context: AppContext,
        audit: AuditLog,
        decision_cache: DecisionCache | None = None,
        spans: SpanQueue | None = None,
    ) -> None:
        self._context = context
        self._audit = audit
        self._view: KeyView | None = None
        self._publishers = NO_PUBLISHERS
        self._tables: TenantTables = {}
        self._is_committing = False
        self._revocations = NOTHING_REVOKED
        self._revocation_state = KeyState.INIT
        config = context.config
        with_redis = config.limits is not None and config.limits.redis is not None
        self.limiter = make_limiter(config, context.metrics.counters, shared=with_redis)
        self._proofs = make_memory("septem-proofs", table_bytes(config.tokens.dpop.replay_entries))
        prepare(self._proofs.bytes)
        context.stack.callback(self._proofs.close)
        self._pool = WorkerPool(
            check_endpoints(context.config.listen.authz),
            context.config,
            Dependencies(
                monotonic_seconds,
                asyncio.sleep,
                random.random,
                audit,
                control=-1 if decision_cache is None else decision_cache.control.descriptor,
                proofs=self._proofs.descriptor,
                take_spans=None if spans is None else spans.put_all,
            ),
            on_change=self._show,
            on_fault=context.on_fault,
        )
        self._broadcast = self._pool.broadcast
        credits_of = None
        if decision_cache is not None:
            decision_cache.on_held = self._broadcast.hold_leases
            credits_of = decision_cache.tenant_credits
        if self.limiter is not None:
            if credits_of is not None:
                credits_of.limiter = self.limiter
                credits_of.on_slot = self._broadcast.give_slot
            self._broadcast.limits = LimitShares(
                self.limiter, config.listen.authz.workers, credits_of
            )
            self._broadcast.publish_limits()

    def publish_limits(self) -> None:
        """Send to every worker what its rate limits depend on."""
        self._broadcast.publish_limits()

    def publish(self, view: KeyView) -> None:
        """Send the keys to every worker."""
        self._view = view
        self._publish()

    def publish_revocations(self, revocations: Revocations, state: KeyState) -> None:
        """Send the revocations to every worker; ``state`` says how current they are."""
        self._revocations, self._revocation_state = revocations, state
        self._publish()

    def _publish(self) -> None:
        """Send keys and revocations, once there are keys."""
        if self._view is not None and not self._is_committing:
            self._broadcast.publish(
                self._view.ring,
                self._revocations,
                self._view.state,
                revocations_degraded=self._revocation_state is KeyState.DEGRADED,
            )

    def publish_publishers(self, publishers: Publishers) -> None:
        """Send the publishers of modules to every worker."""
        self._publishers = publishers
        if not self._is_committing:
            self._broadcast.publish_publishers(publishers)

    async def prepare(self, policies: CompiledPolicies) -> PreparedPolicies:
        """Have every worker compile other policies. Raises ``WorkerFault``."""
        encoded = await self._broadcast.prepare_policies(policies.config)
        return PreparedPolicies(policies, encoded)

    def commit(self, prepared: PreparedPolicies, publish: Callable[[], None]) -> None:
        """Have every worker decide by policies, and by all that ``publish`` publishes.

        Both are in one frame, so that no Check is decided by half of a change.
        """
        if self._view is None or prepared.encoded is None:
            raise RuntimeError("a reload before there are keys, or of another process's policies")
        tables_before = self._tables
        self._is_committing = True
        try:
            publish()
        finally:
            self._is_committing = False
        given = Given(
            self._view.ring,
            self._view.state,
            self._revocations,
            self._revocation_state is KeyState.DEGRADED,
            self._publishers,
        )
        names = (route.name for route in prepared.policies.config.routes)
        # A table is used by policies that name its entry: new ones are there before these, and
        # what the old policies use until then goes after them.
        self._broadcast.publish_tenant_tables({**tables_before, **self._tables})
        self._broadcast.put_in_force(prepared.encoded, given, names)
        self._broadcast.publish_tenant_tables(self._tables)

    def publish_domains(self, registered: RegisteredDomains) -> None:
        """Send the tenants' domains to every worker."""
        self._broadcast.publish_domains(registered)

    def publish_tenant_tables(self, tables: TenantTables) -> None:
        """Send the issuers' tables of tenants to every worker."""
        self._tables = tables
        if not self._is_committing:
            self._broadcast.publish_tenant_tables(tables)

    def answer_challenges(self, source: ChallengeLookup) -> None:
        """Answer the workers' challenge requests from this source (ACME http-01)."""
        self._pool.challenges.source = source

    async def start(self, request_refresh: Callable[[], None]) -> None:
        """Start the workers. ``request_refresh`` is called for tokens whose key is unknown."""
        self._pool.on_unknown_kid = request_refresh
        context = self._context
        context.stack.push_async_callback(self._pool.stop)
        self._broadcast.join_ports(joins=JOINS.get())
        context.share_ports = self._pool.share_ports
        context.stop_checks = self._pool.stop
        with context.waits.on("the workers to serve"):
            await self._pool.start()
        context.health.on_change(self._broadcast.set_ready)
        context.metrics.add_refresh(self._refresh)
        context.metrics.add_counters(lambda: (slot.stats().counters for slot in self._pool.slots))
        context.metrics.add_source(lambda: cache_families(self._pool.stats()))
        context.metrics.add_source(lambda: worker_families(self._pool))
        context.panels["workers"] = self._panel
        context.actions["drain"] = self._drain_one

    def _panel(self, ask: Ask) -> Panel:
        return workers_panel(self._pool.slots, self._broadcast.version, ask)

    async def _drain_one(self, number: str) -> str:
        """Drain the worker of this number, for an operator. Raises ``WorkerFault``."""
        if number not in {str(slot.number) for slot in self._pool.slots}:
            raise WorkerFault("there is no worker of this number")
        return await self._pool.drain_one(int(number))

    async def settled(self) -> tuple[str, ...]:
        """Wait until every worker uses the newest keys; return the names of those that do not.

        A worker that hangs is killed meanwhile.
        """
        return tuple(f"worker {number}" for number in await self._broadcast.settle())

    async def _refresh(self) -> None:
        await self._pool.refresh_stats()
        stats = self._pool.stats()
        self._audit.dropped_before = stats.audit_dropped
        self._audit.queued_before = stats.audit_queued

    def _show(self, serving: int, of: int) -> None:
        health = self._context.health
        health.facts[_PART] = f"{serving} of {of} serve"
        health.facts["workers_confined_by"] = " / ".join(sorted(self._pool.hardening))
        if serving:
            health.set_healthy(_PART)
        else:
            health.set_unhealthy(_PART, "no worker answers Checks: the log says why they ended")


def worker_families(pool: WorkerPool) -> Iterator[Metric]:
    """Yield the metrics of each worker. Their sums are among the other metrics."""
    yield gauge("septem_workers", "Configured workers", len(pool.slots))
    yield gauge("septem_workers_serving", "Workers that answer Checks", pool.serving)
    yield gauge("septem_snapshot_version", "Newest version of the keys", pool.broadcast.version)
    by_worker = ["worker"]
    version = GaugeMetricFamily(
        "septem_worker_snapshot_version", "Version of the keys in use", labels=by_worker
    )
    resident = GaugeMetricFamily(
        "septem_worker_resident_memory_bytes", "Resident memory", labels=by_worker
    )
    connections = GaugeMetricFamily(
        "septem_worker_connections", "Open connections", labels=by_worker
    )
    checks = CounterMetricFamily("septem_worker_checks", "Decisions", labels=by_worker)
    cpu = CounterMetricFamily("septem_worker_cpu_seconds", "CPU used", labels=by_worker)
    restarts = CounterMetricFamily(
        "septem_worker_restarts", "Workers that ended unexpectedly", labels=["worker", "reason"]
    )
    for slot in pool.slots:
        name, stats = [str(slot.number)], slot.stats()
        version.add_metric(name, slot.version)
        resident.add_metric(name, stats.resident_bytes)
        connections.add_metric(name, stats.connections)
        checks.add_metric(name, sum(stats.counters.checks.values()))
        cpu.add_metric(name, stats.cpu_seconds)
        for reason, count in slot.restarts.items():
            restarts.add_metric([*name, reason], count)
    yield from (version, resident, connections, checks, cpu, restarts)
