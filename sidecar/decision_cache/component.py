"""The decision cache in the main process: leases for Envoys, and what they repeat, recorded.

``make`` prepares the memories before the Checks are made, which get ``control``; ``start`` grants
leases once Checks are answered. An Envoy that is absent, or has no module, changes nothing: the
sidecar is ready without it.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path

from prometheus_client.core import Metric

from sidecar.authz.snapshot import compile_routes
from sidecar.common.clock import elapsed_ns, monotonic_seconds
from sidecar.common.faults import reported
from sidecar.config import model
from sidecar.config.decision_cache import DecisionCacheSettings
from sidecar.context import AppContext, PreparedPart
from sidecar.decision_cache.control import make_control, write_table
from sidecar.decision_cache.credits import CreditPolicy, WithoutLimits
from sidecar.decision_cache.lease_server import Admission, LeaseServer
from sidecar.decision_cache.leases import LeaseTable, Memories
from sidecar.decision_cache.memory import make_memory
from sidecar.decision_cache.metrics import lease_families
from sidecar.decision_cache.protocol import MAX_ROWS, POOL_BYTES, credit_bytes
from sidecar.decision_cache.ring_watch import RingWatch
from sidecar.decision_cache.route_rows import EMPTY_TABLE, EncodedTable, encode_table, scopes_of
from sidecar.decision_cache.tenant_credits import TenantCredits
from sidecar.observability.alerts import Alerts
from sidecar.observability.audit import AuditLog
from sidecar.observability.audit.entry import AuditLine
from sidecar.transport.http1_messages import Request, Response
from sidecar.transport.peers import make_rule, may_descend_from

DRAIN_SECONDS = 0.02
REST_SECONDS = 0.01
"""How long a request that is being repeated may still take to write its line."""
END_SECONDS = 2.0
_NS = 1_000_000
_log = logging.getLogger("sidecar.decision_cache")


class DecisionCache:
    """The main process's side. ``on_held`` may be set; it hears whether any lease is held."""

    def __init__(
        self,
        context: AppContext,
        settings: DecisionCacheSettings,
        audit: AuditLog,
        alerts: Alerts,
    ) -> None:
        self._context = context
        self.tenant_credits: TenantCredits | None = None
        """What tenants' limits grant; whoever has the limiter sets it there."""
        self.credit_policy: CreditPolicy = WithoutLimits()
        if context.config.limits is not None:
            self.credit_policy = self.tenant_credits = TenantCredits(elapsed_ns)
        policy = self.credit_policy
        self._alerts = alerts
        self._watch = RingWatch()
        self.on_held: Callable[[bool], None] = lambda _held: None
        workers = context.config.listen.authz.workers
        self.control = make_control(workers, settings.stale_milliseconds * _NS, policy.slots)
        self._credit = make_memory("septem-credit", credit_bytes(policy.slots))
        routes = compile_routes(context.config)
        self._routes_fit = True
        self._write(encode_table(routes))
        self._known = set(scopes_of(routes))
        self._leases = LeaseTable(
            Memories(self.control, self._credit, settings.ring_bytes),
            policy,
            audit,
            self._known,
            on_lines=self._count,
            on_held=self._hold,
        )
        self._server = LeaseServer(
            Path(settings.socket),
            int(settings.mode, 8),
            Admission(
                make_rule(settings.peer_uids, settings.peer_gids),
                partial(may_descend_from, ancestor=os.getpid()),
                settings.max_leases,
            ),
            greeted=self._leases.greeted,
            ended=self._leases.ended,
            on_fault=context.on_fault,
        )
        self._leases.server = self._server

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Encode the table of other routes, for a reload.

        It is empty from the reload on until every process decides by the new routes: a number in
        it must never lead to what was decided for another route.
        """
        routes = await asyncio.to_thread(compile_routes, config)
        table = encode_table(routes)

        def adopt() -> None:
            write_table(self.control, EMPTY_TABLE)
            self._known.update(scopes_of(routes))

        return PreparedPart(adopt, settled=partial(self._write, table))

    def _write(self, table: EncodedTable | None) -> None:
        self._routes_fit = table is not None
        if table is None:
            _log.warning(
                "the decision cache repeats nothing: the routes take more than %d rows (one for"
                " each host of a route) or %d bytes of hosts and paths",
                MAX_ROWS,
                POOL_BYTES,
            )
        write_table(self.control, table or EMPTY_TABLE)

    def start(self) -> None:
        """Grant leases, and read the rings until the drain. Raises ``ListenFault``."""
        context = self._context
        context.metrics.add_source(self._families)
        context.reload_parts.append(self.prepare)
        context.routes["GET", "/decision-cache"] = self._show
        context.stack.push_async_callback(self.stop)
        self._server.start()
        context.spawn(self._run())

    async def stop(self) -> None:
        """End every lease, and record what was repeated until then."""
        self._server.stop_listening()
        await asyncio.sleep(REST_SECONDS)
        self._server.end_all()
        ends_at = monotonic_seconds() + END_SECONDS
        while not self._leases.is_settled and monotonic_seconds() < ends_at:
            self._leases.drain()
            await asyncio.sleep(REST_SECONDS)

    def close(self) -> None:
        """Let go of the memories."""
        self._leases.close()
        self._credit.close()
        self.control.close()

    async def _run(self) -> None:
        """Read the rings every ``DRAIN_SECONDS``, and on while there is more."""
        while True:
            busy = False
            with reported(self._context.on_fault):  # the next turn goes on
                busy = self._leases.drain()
                self._leases.grant_credits()
                alert = self._watch.look(self._leases.fullest, monotonic_seconds())
                if alert is not None:
                    self._alerts.say(alert)
            await asyncio.sleep(0 if busy else DRAIN_SECONDS)

    def _count(self, lines: Sequence[AuditLine]) -> None:
        """Count repeated decisions like any other; a ring's lines are all allowed ones."""
        counters = self._context.metrics.counters
        routes = Counter(map(attrgetter("route"), lines))
        latencies = Counter(map(attrgetter("latency_us"), lines))
        counters.count_allowed(lines[0].reason, routes, latencies)
        counters.count_pii_warning(sum(map(bool, map(attrgetter("warnings"), lines))))

    def _hold(self, held: bool) -> None:
        self.on_held(held)

    def _families(self) -> Iterator[Metric]:
        return lease_families(self._leases, self._server.refused, self._routes_fit)

    def _show(self, _request: Request) -> Response:
        """Answer GET /decision-cache: every lease, by whose process it is."""
        leases = [each._asdict() for each in self._leases.views()]
        body = {"leases": leases, "refused": self._server.refused, "routes_fit": self._routes_fit}
        return Response.json(200, body)


def make(context: AppContext, audit: AuditLog, alerts: Alerts) -> DecisionCache | None:
    """Prepare the decision cache, where it is configured. Raises ``Fault``."""
    settings = context.config.listen.authz.decision_cache
    if settings is None:
        return None
    cache = DecisionCache(context, settings, audit, alerts)
    # Whoever answers Checks is made after this, and says its last word in the memory before.
    context.stack.callback(cache.close)
    return cache
