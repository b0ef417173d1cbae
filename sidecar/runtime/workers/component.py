"""Checks answered by workers: the pool, joined to keys, health, audit and metrics."""

import asyncio
import random
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sidecar.authz.metrics import cache_families
from sidecar.common.clock import monotonic_seconds
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config.endpoints import check_endpoints
from sidecar.context import AppContext
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.module_signing.publishers import Publishers
from sidecar.observability.audit import AuditLog
from sidecar.observability.metrics import gauge
from sidecar.runtime.in_process import ChallengeLookup
from sidecar.runtime.workers.pool import Dependencies, WorkerPool
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations

_PART = "workers"


class WorkerChecks:
    """The Check of several processes, each with an endpoint of its own.

    Ready while at least one serves: Envoy's retries and outlier detection see to the others,
    and ``/readyz`` says how many there are.
    """

    def __init__(self, context: AppContext, audit: AuditLog) -> None:
        self._context = context
        self._audit = audit
        self._view: KeyView | None = None
        self._revocations = NOTHING_REVOKED
        self._revocation_state = KeyState.INIT
        self._pool = WorkerPool(
            check_endpoints(context.config.listen.authz),
            context.config,
            Dependencies(monotonic_seconds, asyncio.sleep, random.random, audit),
            on_change=self._show,
            on_fault=context.on_fault,
        )

    def publish(self, view: KeyView) -> None:
        """Give the keys to every worker."""
        self._view = view
        self._publish()

    def publish_revocations(self, revocations: Revocations, state: KeyState) -> None:
        """Give what is revoked to every worker; ``state`` is how fresh that is."""
        self._revocations, self._revocation_state = revocations, state
        self._publish()

    def _publish(self) -> None:
        """Give both, once there are keys."""
        if self._view is not None:
            self._pool.publish(
                self._view.ring,
                self._revocations,
                self._view.state,
                revocations_degraded=self._revocation_state is KeyState.DEGRADED,
            )

    def publish_publishers(self, publishers: Publishers) -> None:
        """Give the publishers of modules to every worker."""
        self._pool.publish_publishers(publishers)

    def publish_domains(self, registered: RegisteredDomains) -> None:
        """Give the owners of domains to every worker."""
        self._pool.publish_domains(registered)

    def answer_challenges(self, source: ChallengeLookup) -> None:
        """Tell workers, from now on, what this source knows (ACME http-01)."""
        self._pool.challenges = source

    async def start(self, request_refresh: Callable[[], None]) -> None:
        """Start the workers. ``request_refresh`` is told of tokens whose key is not known."""
        self._pool.on_unknown_kid = request_refresh
        context = self._context
        context.stack.push_async_callback(self._pool.stop)
        await self._pool.start()
        context.health.on_change(self._pool.set_ready)
        context.metrics.add_refresh(self._refresh)
        context.metrics.add_counters(lambda: (slot.numbers().counters for slot in self._pool.slots))
        context.metrics.add_source(lambda: cache_families(self._pool.numbers()))
        context.metrics.add_source(lambda: worker_families(self._pool))

    async def settled(self) -> tuple[str, ...]:
        """Wait until every worker decides by the newest keys; returns those that do not.

        One that hangs is killed meanwhile, and decides nothing any more.
        """
        return tuple(f"worker {number}" for number in await self._pool.settle())

    async def _refresh(self) -> None:
        await self._pool.ask_all()
        numbers = self._pool.numbers()
        self._audit.dropped_before = numbers.audit_dropped
        self._audit.queued_before = numbers.audit_queued

    def _show(self, serving: int, of: int) -> None:
        health = self._context.health
        health.facts[_PART] = f"{serving} of {of} serve"
        health.facts["workers_confined_by"] = " / ".join(sorted(self._pool.hardening))
        if serving:
            health.set_healthy(_PART)
        else:
            health.set_unhealthy(_PART, "none serves")


def worker_families(pool: WorkerPool) -> Iterator[Metric]:
    """Tell how each worker does. What they counted together stands with the other metrics."""
    yield gauge("septem_workers", "Workers there are to be", len(pool.slots))
    yield gauge("septem_workers_serving", "Workers that answer Checks", pool.serving)
    yield gauge("septem_snapshot_version", "Version of the keys that is to decide", pool.version)
    by_worker = ["worker"]
    version = GaugeMetricFamily(
        "septem_worker_snapshot_version", "Version of the keys that decides", labels=by_worker
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
        "septem_worker_restarts", "Workers that ended unasked", labels=["worker", "reason"]
    )
    for slot in pool.slots:
        name, numbers = [str(slot.number)], slot.numbers()
        version.add_metric(name, slot.version)
        resident.add_metric(name, numbers.resident_bytes)
        connections.add_metric(name, numbers.connections)
        checks.add_metric(name, sum(numbers.counters.checks.values()))
        cpu.add_metric(name, numbers.cpu_seconds)
        for reason, count in slot.restarts.items():
            restarts.add_metric([*name, reason], count)
    yield from (version, resident, connections, checks, cpu, restarts)
