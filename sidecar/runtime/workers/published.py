"""What every worker is given: settings, keys, lists, domains, tenants' tables, readiness.

Pure: changes in, encoded frames out. Each change has a version, which a worker acknowledges.
Everything is encoded before it is kept, so what can't be encoded is sent to no worker, and harms
none that starts later.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

import msgspec

from sidecar.common.registered_domains import RegisteredDomains, Shard
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState
from sidecar.limits.bucket import Limit
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.runtime.workers.frames import (
    PROTOCOL,
    Domains,
    Drain,
    Policies,
    Readiness,
    Start,
    TenantTableFrame,
)
from sidecar.runtime.workers.framing import encode
from sidecar.runtime.workers.key_frames import KeysFrame, public_keys, publisher_keys
from sidecar.runtime.workers.limit_frames import (
    CreditSlotsFrame,
    LeasesHeld,
    LimitsState,
    TenantLimitsFrame,
    TenantRate,
)
from sidecar.runtime.workers.revoked import RevokedParts
from sidecar.tokens.keyring import KeyRing
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.revocation import Revocations
from sidecar.tokens.tenant_tables import TenantTable, TenantTables

TENANTS_IN_FRAME = 256
"""A worker takes so many in about a millisecond."""
_RATE_OF = attrgetter("requests", "per_seconds", "burst", "shadow")


class Update(NamedTuple):
    """A change for every worker: ``frame`` has the version, and ``parts`` are sent before it."""

    version: int
    frame: bytes
    parts: Sequence[bytes] = ()


class Given(NamedTuple):
    """What Checks are decided by, besides the policies."""

    ring: KeyRing
    state: KeyState
    revocations: Revocations
    degraded: bool
    """Whether the revocations are too old."""
    publishers: Publishers


class EncodedPolicies(NamedTuple):
    """A configuration as workers are sent it, and its number."""

    number: int
    frame: bytes


class PublishedState:
    """The newest of everything that workers decide by."""

    def __init__(self, config: model.Config, control: int = -1, proofs: int = -1) -> None:
        """``control`` and ``proofs`` are descriptors of memories (``frames.Start``)."""
        self.joins = False
        """Whether a worker that starts takes its port over from one that shares it."""
        self.version = 0
        self.ready = False
        self.leases_held = False
        self._control = control
        self._proofs = proofs
        self.policies = EncodedPolicies(1, encode(Policies(config)))
        """The configuration in force."""
        self._numbered = 1
        self._content: tuple[object, ...] = ()
        self._keys: KeysFrame | None = None
        self._revoked = RevokedParts()
        self._publishers = NO_PUBLISHERS
        self._domains: dict[int, Shard] = {}
        self._tables: dict[TableSource, TenantTable] = {}
        self._limits: bytes | None = None
        self._slots: dict[str, int] = {}
        self._tenants: Mapping[str, Limit] = {}

    def set_keys(
        self, ring: KeyRing, revocations: Revocations, state: KeyState, *, degraded: bool
    ) -> Update | None:
        """Set keys and revocations; ``None`` if they have not changed.

        ``degraded`` says that the revocations are too old.
        """
        content = (tuple(ring), revocations, state, degraded)
        if content == self._content:
            return None
        keys = public_keys(ring)
        # What can't be encoded is found before the revocations in force are replaced.
        _encode_keys(KeysFrame(0, keys, (), state), self._publishers, 0)
        parts = self._revoked.take(revocations.parts)
        frame = KeysFrame(
            0, keys, self._revoked.numbers, state, degraded, policies=self.policies.number
        )
        update = self._next(frame, self._publishers)._replace(parts=parts)
        self._content = content
        return update

    def encode_policies(self, config: model.Config) -> EncodedPolicies:
        """Return another configuration, to be compiled; ``put_in_force`` makes it the current."""
        self._numbered += 1
        return EncodedPolicies(self._numbered, encode(Policies(config, self._numbered)))

    def put_in_force(self, policies: EncodedPolicies, given: Given) -> Update:
        """Set policies with the keys, revocations and publishers in force from then on.

        One frame puts all of it in force. What can't be encoded is found before anything is set.
        """
        keys = public_keys(given.ring)
        plain = KeysFrame(0, keys, (), given.state)
        _encode_keys(plain, given.publishers, 0)
        parts = self._revoked.take(given.revocations.parts)
        frame = msgspec.structs.replace(
            plain,
            revoked=self._revoked.numbers,
            revocations_degraded=given.degraded,
            policies=policies.number,
        )
        update = self._next(frame, given.publishers)._replace(parts=parts)
        self._content = (tuple(given.ring), given.revocations, given.state, given.degraded)
        self.policies, self._publishers = policies, given.publishers
        return update

    def set_publishers(self, publishers: Publishers) -> Update | None:
        """Set the publishers of modules; ``None`` before there are keys, which they follow."""
        update = None if self._keys is None else self._next(self._keys, publishers)
        self._publishers = publishers
        return update

    def set_domains(self, registered: RegisteredDomains) -> Iterator[Update]:
        """Set the tenants' domains; yield an update for each shard that has changed."""
        for number, shard in enumerate(registered.shards):
            held = self._domains.get(number, {})
            if shard is held or shard == held:
                continue
            raw = encode(Domains(self.version + 1, number, dict(shard)))
            self._domains[number] = shard
            self.version += 1
            yield Update(self.version, raw)

    def set_tenant_tables(self, tables: TenantTables) -> Iterator[Update]:
        """Set the issuers' tables of tenants; yield an update for each that has changed or gone."""
        for source, table in tables.items():
            if self._tables.get(source) != table:
                raw = _encode_table(self.version + 1, source, table)
                self._tables[source] = table
                self.version += 1
                yield Update(self.version, raw)
        for source in self._tables.keys() - tables.keys():
            raw = _encode_table(self.version + 1, source, None)
            del self._tables[source]
            self.version += 1
            yield Update(self.version, raw)

    def set_limits(self, state: LimitsState) -> bytes | None:
        """Set what limits depend on; return the frame, or ``None`` if it has not changed."""
        raw = encode(state)
        if raw == self._limits:
            return None
        self._limits = raw
        return raw

    def add_slot(self, tenant: str, slot: int) -> bytes:
        """Add the credit slot of a tenant; return the frame that says so."""
        self._slots[tenant] = slot
        return encode(CreditSlotsFrame({tenant: slot}))

    def set_tenant_limits(self, tenants: Mapping[str, Limit]) -> list[bytes]:
        """Set the tenants' own limits; return frames of those that have changed."""
        held = self._tenants
        if tenants is held:
            return []
        changed: dict[str, Limit | None] = {
            tenant: limit for tenant, limit in tenants.items() if held.get(tenant) != limit
        }
        changed.update(dict.fromkeys(held.keys() - tenants.keys()))
        frames = list(_tenant_frames(changed))
        self._tenants = tenants
        return frames

    def first_frames(self, number: int, address: str, *, draining: bool) -> Iterator[bytes]:
        """Yield what a new worker is sent first. The keys come last: it serves from then on."""
        yield encode(Start(PROTOCOL, number, address, self._control, self.joins, self._proofs))
        yield self.policies.frame
        yield encode(Readiness(self.ready))
        if self._limits is not None:
            yield self._limits
            yield from _tenant_frames(self._tenants)
        if self._control >= 0:
            yield encode(LeasesHeld(self.leases_held))
            yield encode(CreditSlotsFrame(self._slots))
        yield from self._revoked.frames()
        for shard_number, shard in self._domains.items():
            yield encode(Domains(0, shard_number, dict(shard)))
        for source, table in self._tables.items():
            yield _encode_table(0, source, table)
        if self._keys is not None:
            yield _encode_keys(self._keys, self._publishers, self.version)
        if draining:
            yield encode(Drain())

    def _next(self, keys: KeysFrame, publishers: Publishers) -> Update:
        raw = _encode_keys(keys, publishers, self.version + 1)
        self.version += 1
        self._keys = keys
        return Update(self.version, raw)


def _tenant_frames(tenants: Mapping[str, Limit | None]) -> Iterator[bytes]:
    rates = (
        (
            tenant,
            None if each is None else TenantRate(*_RATE_OF(each)),
        )
        for tenant, each in tenants.items()
    )
    while piece := dict(islice(rates, TENANTS_IN_FRAME)):
        yield encode(TenantLimitsFrame(piece))


def _encode_table(version: int, source: TableSource, table: TenantTable | None) -> bytes:
    words = None if table is None else dict(table)
    return encode(TenantTableFrame(version, source.issuer, source.mount, source.path, words))


def _encode_keys(keys: KeysFrame, publishers: Publishers, version: int) -> bytes:
    return encode(
        msgspec.structs.replace(
            keys,
            version=version,
            publishers=publisher_keys(publishers),
            withdrawn=tuple(publishers.withdrawn),
        )
    )
