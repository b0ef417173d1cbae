"""Builds the Check service for the process that answers Checks: the main one or a worker.

Imports neither grpcio, hvac nor prometheus-client: a worker does not need them.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from sidecar.authz.decision import Snapshot
from sidecar.authz.decision_ids import DecisionIds
from sidecar.authz.encoding.request import carry_trace
from sidecar.authz.exchange import exchanged
from sidecar.authz.recorder import DecisionRecorder
from sidecar.authz.requirements import load as load_certificates
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.clock import elapsed_ns, wall_seconds
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState
from sidecar.limits.account import KEY_BYTES
from sidecar.limits.adjusting import adjust_soon
from sidecar.limits.limiter import RateLimiter
from sidecar.limits.policy import LimitsPolicy, compile_limits
from sidecar.module_signing.digest_pool import DigestPool
from sidecar.module_signing.publishers import Publishers
from sidecar.observability.audit import AuditLog
from sidecar.observability.counters import Counters
from sidecar.observability.tracing.tracer import SpanQueue, Tracer
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.keyring import EMPTY_RING, KeyRing
from sidecar.tokens.proofs import ProofGuard, own_guard
from sidecar.tokens.revocation import Revocations
from sidecar.tokens.tenant_tables import TenantTables, with_tenant_tables
from sidecar.transport.grpc_headers import CarryTrace
from sidecar.transport.lane import SlowLane
from sidecar.transport.names import CHECK_METHOD


class Check(NamedTuple):
    """The service, its slow lane, and the recorder to drain before the audit log is closed."""

    service: CheckService
    recorder: DecisionRecorder
    lane: SlowLane
    limiter: RateLimiter | None


def make_check(
    config: model.Config,
    *,
    counters: Counters,
    audit: AuditLog,
    cache: TokenCache,
    on_fault: Callable[[Exception], None],
    shares_limits: bool = False,
    proofs: ProofGuard | None = None,
    spans: SpanQueue | None = None,
) -> Check:
    """Build the service, without keys.

    ``spans`` is where the spans of Checks are queued, if they are traced.

    ``proofs`` is what processes remember together of DPoP proofs; one of its own if there is none.
    ``shares_limits`` says that somebody exchanges the limiter's reports for shares.
    """
    _load_what_is_needed(config)
    loop = asyncio.get_running_loop()
    recorder = DecisionRecorder(
        counters, audit, loop.call_later, on_fault, make_tracer(config, spans)
    )
    lane = SlowLane(loop, counters.latency.total)
    limiter = make_limiter(config, counters, shared=shares_limits)
    service = CheckService(
        build_snapshot(config, EMPTY_RING),
        now=wall_seconds,
        elapsed_ns=elapsed_ns,
        new_id=DecisionIds().take,
        observer=recorder,
        on_fault=on_fault,
        cache=cache,
        lane=lane,
        verifier_pool=None if config.modules is None else DigestPool(config.modules.max_waiting),
        limiter=limiter,
        proofs=own_guard(config.tokens.dpop.replay_entries) if proofs is None else proofs,
    )
    return Check(service, recorder, lane, limiter)


def make_tracer(config: model.Config, spans: SpanQueue | None) -> Tracer | None:
    """Build what decides which Checks have a span, if any has; each worker may make its part."""
    settings = config.tracing
    if settings is None or spans is None:
        return None
    workers = config.listen.authz.workers
    return Tracer(spans, settings.sample_ratio, max(1, settings.max_spans_per_second // workers))


def traces_of(config: model.Config) -> Mapping[str, CarryTrace]:
    """Return how calls hand over their trace context, by method; empty if nothing is traced."""
    return {} if config.tracing is None else {CHECK_METHOD: carry_trace}


def make_limiter(config: model.Config, counters: Counters, *, shared: bool) -> RateLimiter | None:
    """Build the rate limiter, if the configuration has limits.

    With ``shared`` its buckets are held together with other processes.
    """
    policy = compile_limits(config)
    if config.limits is None or policy is None:
        return None
    return RateLimiter(
        policy,
        secrets.token_bytes(KEY_BYTES),
        max_keys=config.limits.max_keys,
        shared=shared,
        counts=counters.limited,
    )


_GIVEN = {
    "ring",
    "key_state",
    "revocations",
    "revocations_degraded",
    "publishers",
    "tenant_tables",
}
"""Fields of the snapshot that come from elsewhere than the configuration."""
_OF_POLICIES = tuple(name for name in Snapshot.__struct_fields__ if name not in _GIVEN)


class CompiledPolicies(NamedTuple):
    """What a reload puts in force: a configuration, and what it compiles to."""

    config: model.Config
    snapshot: Snapshot
    limits: LimitsPolicy | None


def compile_policies(config: model.Config) -> CompiledPolicies:
    """Compile a configuration, without keys. It may take seconds; run it in a thread."""
    _load_what_is_needed(config)
    return CompiledPolicies(config, build_snapshot(config, EMPTY_RING), compile_limits(config))


def _load_what_is_needed(config: model.Config) -> None:
    """Import what no Check should wait for."""
    if any(route.reads_certificate for route in config.routes):
        load_certificates()


def give_policies(service: CheckService, cache: TokenCache, policies: CompiledPolicies) -> None:
    """Decide by other policies from the next Check on, with the keys and lists that there are.

    Tokens that were verified by other rules are verified again.
    """
    held = service.snapshot
    compiled = msgspec.structs.replace(
        policies.snapshot,
        tokens=with_tenant_tables(policies.snapshot.tokens, held.tenant_tables),
    )
    if _token_rules(compiled) != _token_rules(held):
        cache.entries.clear()
    cache.resize(policies.config.tokens.cache_entries)
    compiled_fields = {name: getattr(compiled, name) for name in _OF_POLICIES}
    compiled_fields["headers"] = compiled.headers._replace(registered=held.headers.registered)
    exchange(service, **compiled_fields)


def use_limits(limiter: RateLimiter | None, policies: CompiledPolicies) -> None:
    """Count by other limits, from the next Check on; tenants' own are told apart from them."""
    policy, settings = policies.limits, policies.config.limits
    if limiter is not None and policy is not None and settings is not None:
        limiter.use_bound(settings.max_keys)
        limiter.use_policy(policy.with_tenants(limiter.policy.tenants), elapsed_ns())
        adjust_soon(limiter)


def _token_rules(snapshot: Snapshot) -> tuple[object, ...]:
    return snapshot.tokens, snapshot.pii_names, snapshot.pii_values


def give_keys(service: CheckService, ring: KeyRing, state: KeyState) -> None:
    """Set the key ring and its state; they apply from the next Check on."""
    exchange(service, ring=ring, key_state=state)


def give_revocations(service: CheckService, revocations: Revocations, state: KeyState) -> None:
    """Set the revocations and their state; they apply from the next Check on."""
    degraded = state is KeyState.DEGRADED
    exchange(service, revocations=revocations, revocations_degraded=degraded)


def give_tenant_tables(service: CheckService, cache: TokenCache, tables: TenantTables) -> None:
    """Set the issuers' tables of tenants; they apply from the next Check on.

    Tokens that were verified by another table are verified again.
    """
    held = service.snapshot
    tokens = with_tenant_tables(held.tokens, tables)
    if tokens != held.tokens:
        cache.entries.clear()
    exchange(service, tokens=tokens, tenant_tables=tables)


def give_domains(service: CheckService, registered: RegisteredDomains) -> None:
    """Set the tenants' domains; they apply from the next Check on."""
    exchange(service, headers=service.snapshot.headers._replace(registered=registered))


def give_publishers(service: CheckService, publishers: Publishers) -> None:
    """Set the publishers whose signatures on bundles are valid, from the next Check on."""
    exchange(service, publishers=publishers)


def exchange(service: CheckService, **changes: Any) -> None:
    """Change the snapshot between two Checks. Every change while the process runs comes here.

    Where nothing differs the snapshot stays the same object, and nobody hears of it.
    """
    held = service.snapshot
    fresh = exchanged(held, **changes)
    if fresh is not held:
        service.snapshot = fresh
        service.on_exchange(held, fresh)
