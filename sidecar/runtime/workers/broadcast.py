"""Sends every worker what it decides by: policies, keys, lists, domains, limits, leases.

Every change of keys is sent to every worker, which must acknowledge it; ``pool`` ends those that
do not. What a worker that starts later needs is kept by ``published``.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from sidecar.authz.acme_challenge import CHALLENGE_ROUTE
from sidecar.authz.routes import UNMATCHED
from sidecar.common.errors import Fault
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import Publishers
from sidecar.runtime.workers.frames import Readiness, SharePort
from sidecar.runtime.workers.limit_frames import LeasesHeld, LimitsShares, LimitsUsed
from sidecar.runtime.workers.limits import LimitShares
from sidecar.runtime.workers.liveness import HEARTBEAT_SECONDS, MAX_BEHIND_HEARTBEATS
from sidecar.runtime.workers.process import END_SECONDS as PROCESS_END_SECONDS
from sidecar.runtime.workers.process import WorkerProcess
from sidecar.runtime.workers.published import EncodedPolicies, Given, PublishedState, Update
from sidecar.runtime.workers.slot import Slot
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.revocation import Revocations
from sidecar.tokens.tenant_tables import TenantTables

PREPARE_SECONDS = 30.0
"""Longer than the largest configuration takes to compile."""
SETTLE_SECONDS = (MAX_BEHIND_HEARTBEATS + 2) * HEARTBEAT_SECONDS + 2 * PROCESS_END_SECONDS
"""Longer than a worker that does not acknowledge its keys may live."""
SETTLE_POLL_SECONDS = 0.005


class WorkerFault(Fault):
    """A worker can't be started, or can't take what it is sent."""


def processes_of(slots: Iterable[Slot]) -> Iterator[WorkerProcess]:
    """Yield the processes that there are; a slot has none between two."""
    return (slot.process for slot in slots if slot.process is not None)


class Broadcast:
    """What all workers decide by, and the one place that sends a change of it to all.

    ``routes`` are the names that a worker may count under. ``clock`` is monotonic, in seconds;
    ``control`` and ``proofs`` are descriptors of memories (``frames.Start``).
    """

    def __init__(
        self,
        config: model.Config,
        slots: Sequence[Slot],
        clock: Callable[[], float],
        control: int,
        proofs: int = -1,
    ) -> None:
        self._state = PublishedState(config, control, proofs)
        self._slots = slots
        self._clock = clock
        self.routes = {UNMATCHED, CHALLENGE_ROUTE, *(route.name for route in config.routes)}
        self.limits: LimitShares | None = None
        """Divides the rate limits among the workers, where there are limits."""

    def join_ports(self, *, joins: bool) -> None:
        """Have workers that start from now on take their ports over, or none any more."""
        self._state.joins = joins

    def share_ports(self, *, shared: bool) -> None:
        """Have every worker let a successor's join its listener, or nobody any more."""
        for process in processes_of(self._slots):
            process.send(SharePort(shared))

    @property
    def version(self) -> int:
        """The newest version of what workers decide by."""
        return self._state.version

    def publish(
        self,
        ring: KeyRing,
        revocations: Revocations,
        state: KeyState,
        *,
        revocations_degraded: bool = False,
    ) -> None:
        """Send the keys and revocations to every worker, if they have changed."""
        self._send(self._state.set_keys(ring, revocations, state, degraded=revocations_degraded))

    def publish_publishers(self, publishers: Publishers) -> None:
        """Send the publishers of modules to every worker."""
        self._send(self._state.set_publishers(publishers))

    def publish_domains(self, registered: RegisteredDomains) -> None:
        """Send the changed shards of the tenants' domains to every worker."""
        for update in self._state.set_domains(registered):
            self._send(update)

    def publish_tenant_tables(self, tables: TenantTables) -> None:
        """Send the issuers' changed tables of tenants to every worker."""
        for update in self._state.set_tenant_tables(tables):
            self._send(update)

    def publish_limits(self) -> None:
        """Send to every worker what its rate limits depend on, if that has changed."""
        if self.limits is None:
            return
        raw = self._state.set_limits(self.limits.state())
        frames = [] if raw is None else [raw]
        frames += self._state.set_tenant_limits(self.limits.tenants())
        for process in processes_of(self._slots):
            for frame in frames:
                process.send_encoded(frame)

    async def prepare_policies(self, config: model.Config) -> EncodedPolicies:
        """Have every worker compile another configuration; nothing changes yet.

        One that ends meanwhile, or starts, is not waited for: it is sent the configuration when
        it is put in force. Raises ``WorkerFault``.
        """
        policies = self._state.encode_policies(config)
        asked = [process for process in processes_of(self._slots) if process.serving]
        for process in asked:
            process.give_policies(policies)
        deadline = self._clock() + PREPARE_SECONDS
        while waiting := [p for p in asked if p.serving and p.compiled < policies.number]:
            if self._clock() >= deadline:
                names = ", ".join(f"worker {process.number}" for process in waiting)
                raise WorkerFault(f"{names}: not compiled within {PREPARE_SECONDS:.0f} s")
            await asyncio.sleep(SETTLE_POLL_SECONDS)
        for process in asked:
            if process.serving and process.compile_problem:
                raise WorkerFault(f"worker {process.number}: {process.compile_problem}")
        return policies

    def put_in_force(self, policies: EncodedPolicies, given: Given, routes: Iterable[str]) -> None:
        """Have every worker decide by policies, keys and lists that belong together."""
        update = self._state.put_in_force(policies, given)
        self.routes.update(routes)
        for process in processes_of(self._slots):
            process.give_policies(policies)
        self._send(update)

    def _send(self, update: Update | None) -> None:
        if update is None:
            return
        for process in processes_of(self._slots):
            for part in update.parts:
                process.send_encoded(part)
            process.give(update.frame, update.version)

    def set_ready(self, ready: bool) -> None:
        """Set the readiness that the workers' gRPC health reports."""
        self._state.ready = ready
        for process in processes_of(self._slots):
            process.send(Readiness(ready))

    def hold_leases(self, held: bool) -> None:
        """Tell the workers whether any Envoy holds a lease of the decision cache."""
        self._state.leases_held = held
        for process in processes_of(self._slots):
            process.send(LeasesHeld(held))

    def give_slot(self, tenant: str, slot: int) -> None:
        """Tell the workers in which slot a tenant's repeated requests are counted."""
        raw = self._state.add_slot(tenant, slot)
        for process in processes_of(self._slots):
            process.send_encoded(raw)

    async def settle(self) -> tuple[int, ...]:
        """Wait until no process uses older keys than the current ones.

        That is until each has acknowledged them or has ended: one that hangs is killed after
        ``MAX_BEHIND_HEARTBEATS``. Returns the numbers of the workers that take longer.
        """
        request = self.version
        deadline = self._clock() + SETTLE_SECONDS
        while behind := [p.number for p in processes_of(self._slots) if not p.decides_by(request)]:
            if self._clock() >= deadline:
                break
            await asyncio.sleep(SETTLE_POLL_SECONDS)
        return tuple(behind)

    def first_frames(
        self, worker: int, address: str, *, draining: bool
    ) -> tuple[int, tuple[bytes, ...]]:
        """Return the newest version, and the frames that a worker which starts is sent first."""
        frames = self._state.first_frames(worker, address, draining=draining)
        return self.version, tuple(frames)

    def divide_limits(self, worker: int, used: LimitsUsed) -> LimitsShares | None:
        """Return what a worker may spend of its limits, and tell the others what is new."""
        if self.limits is None:
            return None
        shares, news = self.limits.reply(worker, used)
        if news is not None:
            for process in processes_of(self._slots):
                if process.number != worker:
                    process.send(news)
        return shares
