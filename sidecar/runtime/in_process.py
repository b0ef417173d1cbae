"""Checks answered by the main process itself, on either engine."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from sidecar.authz.acme_challenge import ChallengeSource
from sidecar.authz.metrics import cache_families
from sidecar.common.clock import monotonic_ns, monotonic_seconds
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.context import AppContext
from sidecar.decision_cache.component import DecisionCache
from sidecar.decision_cache.deciding import DecidingProcess
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.limits.limiter import RateLimiter
from sidecar.module_signing.publishers import Publishers
from sidecar.observability.audit import AuditLog
from sidecar.observability.panel import Ask, Panel
from sidecar.observability.tracing.tracer import SpanQueue
from sidecar.runtime.check import (
    CompiledPolicies,
    give_domains,
    give_keys,
    give_policies,
    give_publishers,
    give_revocations,
    give_tenant_tables,
    make_check,
    traces_of,
)
from sidecar.runtime.workers.challenge_replies import FleetChallenges
from sidecar.runtime.workers.published import EncodedPolicies
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.revocation import Revocations
from sidecar.tokens.tenant_tables import TenantTables
from sidecar.transport.aio import GrpcServer, check_handlers
from sidecar.transport.descriptors import CHECKS
from sidecar.transport.h2 import H2Server
from sidecar.transport.limits import Limits
from sidecar.transport.names import CHECK_METHOD, CHECK_SERVICE


class PreparedPolicies(NamedTuple):
    """Policies that every process has compiled."""

    policies: CompiledPolicies
    encoded: EncodedPolicies | None = None
    """As workers were sent them; ``None`` where this process answers Checks itself."""


class ChallengeLookup(ChallengeSource, FleetChallenges, Protocol):
    """Finds ACME challenges, one at a time or several."""


class Checks(Protocol):
    """The processes that answer Checks: this one, or workers. Changes apply to the next Check."""

    @property
    def limiter(self) -> RateLimiter | None:
        """The rate limiter of the main process, where anything is limited."""

    def publish_limits(self) -> None:
        """Have every process count by what the main process's limiter counts by."""

    def publish(self, view: KeyView) -> None:
        """Set the key ring and its state."""

    def publish_revocations(self, revocations: Revocations, state: KeyState) -> None:
        """Set the revocations; ``state`` says how current they are."""

    def publish_publishers(self, publishers: Publishers) -> None:
        """Set the publishers whose signatures on bundles are valid."""

    def publish_domains(self, registered: RegisteredDomains) -> None:
        """Set the tenants' domains."""

    def publish_tenant_tables(self, tables: TenantTables) -> None:
        """Set the issuers' tables of tenants."""

    def answer_challenges(self, source: ChallengeLookup) -> None:
        """Answer CAs with the challenges of this source (ACME http-01)."""

    async def prepare(self, policies: CompiledPolicies) -> PreparedPolicies:
        """Have every process compile other policies. Raises ``Fault``; nothing changes yet."""

    def commit(self, prepared: PreparedPolicies, publish: Callable[[], None]) -> None:
        """Put policies in force, with all that ``publish`` publishes, between two Checks."""

    async def start(self, request_refresh: Callable[[], None]) -> None:
        """Start listening. ``request_refresh`` is called for tokens whose key is unknown."""

    async def settled(self) -> tuple[str, ...]:
        """Wait until what was published applies in every process, for a bounded time.

        Returns the names of the processes in which it does not apply yet.
        """


STALL_SECONDS = 5.0
"""If calls wait this long and none of them starts, the process is not ready."""
_WATCH_SECONDS = 1.0
_PART = "checks"


class InProcessChecks:
    """The Check service of the main process."""

    def __init__(
        self,
        context: AppContext,
        audit: AuditLog,
        decision_cache: DecisionCache | None = None,
        spans: SpanQueue | None = None,
    ) -> None:
        self._cache = cache = TokenCache(context.config.tokens.cache_entries)
        context.metrics.add_source(partial(cache_families, cache))
        self._context = context
        self._server: GrpcServer | H2Server | None = None
        self._state = KeyState.INIT
        limits = context.config.limits
        with_redis = limits is not None and limits.redis is not None
        self._check = make_check(
            context.config,
            counters=context.metrics.counters,
            audit=audit,
            cache=cache,
            on_fault=context.on_fault,
            shares_limits=with_redis,
            spans=spans,
        )
        self.limiter = self._check.limiter
        context.stack.callback(self._check.recorder.drain)
        self._deciding: DecidingProcess | None = None
        if decision_cache is not None:
            self._deciding = DecidingProcess(
                decision_cache.control, 0, context.config, self._check.service,
                decision_cache.credit_policy, clock_ns=monotonic_ns,
            )  # fmt: skip
            if decision_cache.tenant_credits is not None:
                decision_cache.tenant_credits.limiter = self.limiter
            decision_cache.on_held = self._deciding.hold

    def publish_limits(self) -> None:
        """Return at once: the limiter is this process's."""

    def publish(self, view: KeyView) -> None:
        """Set the key ring and its state."""
        give_keys(self._check.service, view.ring, view.state)
        self._state = view.state
        self._show_key_state()

    def publish_revocations(self, revocations: Revocations, state: KeyState) -> None:
        """Set the revocations; ``state`` says how current they are."""
        give_revocations(self._check.service, revocations, state)

    def publish_publishers(self, publishers: Publishers) -> None:
        """Set the publishers whose signatures on bundles are valid."""
        give_publishers(self._check.service, publishers)

    def publish_domains(self, registered: RegisteredDomains) -> None:
        """Set the tenants' domains."""
        give_domains(self._check.service, registered)

    def publish_tenant_tables(self, tables: TenantTables) -> None:
        """Set the issuers' tables of tenants."""
        give_tenant_tables(self._check.service, self._cache, tables)

    def answer_challenges(self, source: ChallengeLookup) -> None:
        """Answer CAs with the challenges of this source (ACME http-01)."""
        self._check.service.challenges = source

    async def prepare(self, policies: CompiledPolicies) -> PreparedPolicies:
        """Return at once: this process has compiled them."""
        return PreparedPolicies(policies)

    def commit(self, prepared: PreparedPolicies, publish: Callable[[], None]) -> None:
        """Put policies in force, and publish: no Check runs before this returns."""
        publish()
        if self._deciding is not None:
            self._deciding.use_routes(prepared.policies.snapshot.routes.routes)
        give_policies(self._check.service, self._cache, prepared.policies)

    async def start(self, request_refresh: Callable[[], None]) -> None:
        """Start listening. ``request_refresh`` is called for every token whose key is unknown."""
        self._check.recorder.on_key_unknown = request_refresh
        self._server = self._make_server()
        await self._context.listen(self._server)
        drain_seconds = self._context.config.listen.drain_seconds
        self._context.stop_checks = partial(self._server.stop, drain_seconds)
        if self._deciding is not None:
            self._deciding.start()
            self._context.stack.callback(self._deciding.stop)
        self._context.spawn(self._watch_lane())
        self._context.panels["workers"] = self._panel
        self._show_key_state()

    def _panel(self, _ask: Ask) -> Panel:
        """Return what the operator's page says where there are no workers."""
        listen = self._context.config.listen.authz
        facts = (
            ("address", listen.address),
            ("engine", listen.engine),
            ("decisions", sum(self._context.metrics.counters.checks.values())),
            ("cached tokens", len(self._cache)),
            ("calls that wait for signature checks", len(self._check.lane)),
        )
        return Panel("This process answers Checks itself (listen.authz.workers: 1).", facts=facts)

    async def settled(self) -> tuple[str, ...]:
        """Return at once: what was published applies to the next Check."""
        return ()

    async def _watch_lane(self) -> None:
        """Make the process not ready while the slow lane runs no jobs."""
        health, lane = self._context.health, self._check.lane
        was_stalled = False
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            stalled = lane.stalled_seconds
            # Seen twice in a row: a process that was frozen could not run any job.
            before, was_stalled = was_stalled, stalled >= STALL_SECONDS
            if before and was_stalled:
                health.set_unhealthy(
                    _PART,
                    f"{len(lane)} calls have waited {stalled:.0f} s for their signature checks"
                    " and none was started: restart the sidecar",
                )
            else:
                health.set_healthy(_PART)

    def _make_server(self) -> GrpcServer | H2Server:
        listen = self._context.config.listen.authz
        if listen.engine == "h2":
            return H2Server(
                listen.address,
                {CHECK_METHOD: self._check.service.handle},
                limits=Limits(max_message_bytes=listen.max_message_bytes),
                clock=monotonic_seconds,
                on_fault=self._context.on_fault,
                max_connections=self._context.bounds[CHECKS],
                traces=traces_of(self._context.config),
            )
        return GrpcServer(
            listen.address,
            CHECK_SERVICE,
            check_handlers(
                self._check.service.handle,
                self._context.on_fault,
                traces_of(self._context.config).get(CHECK_METHOD),
            ),
            max_message_bytes=listen.max_message_bytes,
            max_connections=self._context.bounds[CHECKS],
        )

    def _show_key_state(self) -> None:
        """Publish the key state in gRPC health, as ``keys.<state>``."""
        if self._server is not None:
            statuses = {f"keys.{each}": each is self._state for each in KeyState}
            self._context.run_soon(self._server.health.set_status(statuses))
