"""Keys that outlive Vault: every fault, with a real OpenBao, while Checks go on.

Through all of them the share of right answers is 100 %: tokens of a key that verifies
pass, forged ones and those of withdrawn keys do not.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import OpenBao
from sidecar.authz.decision import Snapshot
from sidecar.authz.encoding.request import parse_request, view_of
from sidecar.authz.evaluate import decide
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.reasons import Grant, Reason
from sidecar.config import model, parse_config
from sidecar.keys.kv_source import KvKeySource
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyRefresher, KeyView, window_seconds
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.keys.revocation_source import KvRevocationSource
from sidecar.tokens.jwk import thumbprint
from sidecar.tokens.keyring import EMPTY_RING
from sidecar.tokens.revocation import Revocations
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultFault
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG
from tests.support.minting import ISSUER, TENANT, Issuer
from tests.support.real import TokenFile
from tests.support.waiting import SECONDS, until

pytestmark = pytest.mark.real
POLICY = """
path "secret/data/iam/jwt-signing-key" { capabilities = ["read"] }
path "secret/metadata/iam/jwt-signing-key" { capabilities = ["read"] }
path "secret/data/iam/revocations"         { capabilities = ["read"] }
path "secret/data/iam/revocations/*"       { capabilities = ["read"] }
path "secret/metadata/iam/revocations"     { capabilities = ["read", "list"] }
path "secret/metadata/iam/revocations/*"   { capabilities = ["read"] }
"""
SHORT = 0.1
TOKEN_SECONDS = 930


def pem(issuer: Issuer) -> str:
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    return issuer.private.private_bytes(*form).decode()


def new_key() -> Issuer:
    issuer = Issuer.generate()
    return Issuer(issuer.private, thumbprint(issuer.private.public_key()))


@dataclass
class World:
    """A sidecar's keys over a real OpenBao, with Checks going on all the time."""

    bao: OpenBao
    token_file: TokenFile
    settings: model.Keys
    issuer: Issuer = field(default_factory=new_key)
    changes: list[str] = field(default_factory=list)
    revocation_changes: list[str] = field(default_factory=list)
    expected: dict[str, tuple[Issuer, bool]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    wall_jump_seconds: float = 0.0
    published: int = 0

    def __post_init__(self) -> None:
        self.snapshot: Snapshot = build_snapshot(parse_config(CONFIG, "test"), EMPTY_RING)
        self.log_in()
        self.vault = VaultClient(
            self.token_file.settings(self.bao.address, timeout_seconds=0.4), clock=monotonic_seconds
        )

        def now() -> float:
            return wall_seconds() + self.wall_jump_seconds

        window = window_seconds(self.settings, TOKEN_SECONDS)
        source = KvKeySource(
            model.VaultKvKeys(),
            ISSUER,
            self.vault,
            now=now,
            retention_seconds=self.settings.poll_seconds + window,
        )
        revoked = KvRevocationSource(
            model.RevocationsSettings(),
            self.vault.with_own_threads("revocations"),
            retention_seconds=TOKEN_SECONDS,
            now=now,
            clock=monotonic_seconds,
        )
        self.revocations = RevocationPoller(
            revoked,
            poll_seconds=self.settings.poll_seconds,
            max_age_seconds=self.settings.max_age_seconds,
            clock=monotonic_seconds,
            jitter=lambda: 0.0,
            publish=self._publish_revocations,
            on_state=lambda before, after, _why: self.revocation_changes.append(
                f"{before} {after}"
            ),
        )
        self.refresher = KeyRefresher(
            [source],
            self.settings,
            token_seconds={source.issuer: TOKEN_SECONDS},
            clock=monotonic_seconds,
            now=now,
            jitter=lambda: 0.0,
            publish=self._publish,
            on_state=lambda before, after, _why: self.changes.append(f"{before} {after}"),
        )

    def _publish(self, view: KeyView) -> None:
        self.published += 1
        self.snapshot = msgspec.structs.replace(self.snapshot, ring=view.ring, key_state=view.state)

    def _publish_revocations(self, revocations: Revocations, _state: KeyState) -> None:
        self.published += 1
        self.refresher.revoke(revocations.kids)
        self.snapshot = msgspec.structs.replace(self.snapshot, revocations=revocations)

    async def load(self) -> None:
        await self.revocations.load()
        await self.refresher.load()

    async def refresh(self) -> KeyState:
        await self.revocations.refresh()
        return await self.refresher.refresh()

    def log_in(self) -> None:
        self.token_file.write(self.bao.token_for(POLICY))

    def expect(self, name: str, issuer: Issuer, *, passes: bool) -> None:
        """From now on tokens of this issuer must pass, or must not."""
        self.expected[name] = (issuer, passes)

    def check(self, issuer: Issuer, **changes: Any) -> Reason | Grant:
        now = wall_seconds()
        token = issuer.mint(**{"exp": now + 600, "nbf": now - 10, "iat": now - 10, **changes})
        raw = check_request(headers={"authorization": f"Bearer {token.decode()}"})
        return decide(view_of(parse_request(raw)), self.snapshot, now).outcome

    async def traffic(self) -> None:
        """Check good and forged tokens without end."""
        forger = new_key()
        forged = Issuer(forger.private, self.issuer.kid)
        requests: dict[int, bytes] = {}
        while True:
            for name, (issuer, passes) in (*self.expected.items(), ("forged", (forged, False))):
                now = wall_seconds()
                if id(issuer) not in requests:
                    token = issuer.mint(exp=now + 600, nbf=now - 10, iat=now - 10)
                    headers = {"authorization": f"Bearer {token.decode()}"}
                    requests[id(issuer)] = check_request(headers=headers)
                started = time.perf_counter()
                decision = decide(view_of(parse_request(requests[id(issuer)])), self.snapshot, now)
                self.latencies.append(time.perf_counter() - started)
                if decision.allowed is not passes:
                    self.wrong.append(f"{name}: {decision.outcome}")
            await asyncio.sleep(0.002)

    async def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        await until(condition, seconds, explain=lambda: (self.snapshot.key_state, self.changes))

    async def until_state(self, state: KeyState) -> None:
        await self.until(lambda: self.snapshot.key_state is state)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        self.bao.put_key(pem(self.issuer))
        await self.load()
        self.expect("the key", self.issuer, passes=True)
        resident = resident_bytes()
        tasks = [
            asyncio.create_task(t)
            for t in (self.refresher.run(), self.revocations.run(), self.traffic())
        ]
        try:
            yield self
            await self.until(lambda: len(self.latencies) > 20)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.vault.close()
        assert self.wrong == []
        assert resident_bytes() - resident < 16_000_000, "memory is flat"
        assert len(self.latencies) > 20
        assert sorted(self.latencies)[int(len(self.latencies) * 0.99)] < 0.05


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def keys(**changes: Any) -> model.Keys:
    return model.Keys(**{"poll_seconds": SHORT, **changes})


@pytest.fixture
def world(own_openbao: OpenBao, token_file: TokenFile) -> World:
    return World(own_openbao, token_file, keys())


@pytest.fixture
def stored(tmp_path: Path, token_file: TokenFile) -> Iterator[World]:
    (tmp_path / "bao").mkdir()
    bao = OpenBao(tmp_path / "bao")
    yield World(bao, token_file, keys())
    bao.stop()


OUTAGE_AND_BACK = ["init active", "active outage", "outage active"]


async def test_killed_and_restarted(stored: World) -> None:
    async with stored.running() as world:
        world.bao.process.stop()
        await world.until_state(KeyState.OUTAGE)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(world.bao.start_again)
        await world.until_state(KeyState.ACTIVE)
    assert world.changes == OUTAGE_AND_BACK, "not one for each failed poll"


async def test_sealed(stored: World) -> None:
    async with stored.running() as world:
        world.bao.client.sys.seal()
        await world.until_state(KeyState.OUTAGE)
        await asyncio.to_thread(world.bao.unseal)
        await world.until_state(KeyState.ACTIVE)
    assert world.changes == OUTAGE_AND_BACK


async def frozen(world: World) -> None:
    world.bao.process.signal(SIGSTOP)
    await world.until_state(KeyState.OUTAGE)
    await asyncio.sleep(1.0)
    world.bao.process.signal(SIGCONT)


async def token_revoked(world: World) -> None:
    world.bao.client.auth.token.revoke(world.token_file.path.read_text().strip())
    await world.until_state(KeyState.OUTAGE)
    world.log_in()


async def permission_taken_away(world: World) -> None:
    world.bao.client.sys.create_or_update_policy("sidecar", 'path "x" { capabilities = [] }')
    await world.until_state(KeyState.OUTAGE)
    world.bao.client.sys.create_or_update_policy("sidecar", POLICY)


async def key_deleted(world: World) -> None:
    kv = world.bao.client.secrets.kv.v2
    kv.delete_latest_version_of_secret("iam/jwt-signing-key")
    await world.until_state(KeyState.OUTAGE)
    kv.undelete_secret_versions("iam/jwt-signing-key", [1])


async def garbage_written(world: World) -> None:
    world.bao.put_key("-----BEGIN PRIVATE KEY-----\noops\n-----END PRIVATE KEY-----")
    await world.until_state(KeyState.OUTAGE)
    world.bao.put_key(pem(world.issuer))


FAULTS = [
    frozen,
    token_revoked,
    permission_taken_away,
    key_deleted,
    garbage_written,
]


@pytest.mark.parametrize("fault", FAULTS, ids=[f.__name__ for f in FAULTS])
async def test_it_goes_on_with_the_keys_in_memory(
    world: World, fault: Callable[[World], Awaitable[None]]
) -> None:
    async with world.running():
        await fault(world)
        await world.until_state(KeyState.ACTIVE)
    assert world.changes == OUTAGE_AND_BACK


async def test_away_for_longer_than_key_max_age(
    own_openbao: OpenBao, token_file: TokenFile
) -> None:
    world = World(own_openbao, token_file, keys(max_age_seconds=0.6))
    async with world.running():
        world.bao.process.signal(SIGSTOP)
        await world.until_state(KeyState.DEGRADED)
        await asyncio.sleep(0.5)
        world.bao.process.signal(SIGCONT)
        await world.until_state(KeyState.ACTIVE)
    assert world.changes in (
        ["init active", "active outage", "outage degraded", "degraded active"],
        ["init active", "active degraded", "degraded active"],
    )


@pytest.mark.parametrize("jump_seconds", [-1e6, 1e6])
async def test_a_clock_that_jumps_ages_no_key(
    own_openbao: OpenBao, token_file: TokenFile, jump_seconds: float
) -> None:
    """Somebody sets the wall clock by eleven days: the keys are as old as they were."""
    world = World(own_openbao, token_file, keys(max_age_seconds=60.0))
    async with world.running():
        world.wall_jump_seconds = jump_seconds
        world.bao.process.signal(SIGSTOP)
        await world.until_state(KeyState.OUTAGE)
        await asyncio.sleep(0.5)
        world.bao.process.signal(SIGCONT)
        await world.until_state(KeyState.ACTIVE)
    assert world.changes == OUTAGE_AND_BACK


async def test_degraded_may_refuse(own_openbao: OpenBao, token_file: TokenFile) -> None:
    world = World(own_openbao, token_file, keys(max_age_seconds=0.3, when_degraded="refuse"))
    world.snapshot = msgspec.structs.replace(world.snapshot, refuse_degraded=True)
    world.bao.put_key(pem(world.issuer))
    await world.refresher.load()
    assert world.check(world.issuer) is Grant.TOKEN_VERIFIED
    world.bao.stop()
    await asyncio.sleep(0.4)
    assert await world.refresher.refresh() is KeyState.DEGRADED
    assert world.check(world.issuer) is Reason.KEYS_DEGRADED


async def test_rotated_while_requests_flow(own_openbao: OpenBao, token_file: TokenFile) -> None:
    """Three rotations: not one good token denied, and the replaced end with their window."""
    world = World(own_openbao, token_file, keys(dual_key_seconds=3.0))
    async with world.running():
        for number in range(3):
            fresh = new_key()
            world.bao.put_key(pem(fresh))
            await world.until(lambda kid=fresh.kid: bool(world.snapshot.ring.find(kid)))  # type: ignore[misc]
            world.expect(f"key {number}", fresh, passes=True)
            await asyncio.sleep(0.3)
        del world.expected["the key"]
        await world.until(lambda: not world.snapshot.ring.find(world.issuer.kid), 8)
        world.expect("the key, replaced and ended", world.issuer, passes=False)
        await asyncio.sleep(0.2)
    assert world.changes == ["init active"]


async def test_a_refresh_that_finds_nothing_new_changes_nothing(world: World) -> None:
    """What Checks have worked out under a snapshot stays good as long as it does."""
    world.bao.put_key(pem(world.issuer))
    await world.load()
    snapshot, published = world.snapshot, world.published
    for _ in range(5):
        await world.refresh()
    assert world.snapshot is snapshot
    assert world.published == published
    entry = {"tenants": [{"tenant": TENANT, "issued_before": wall_seconds() - 60}]}
    world.bao.client.secrets.kv.v2.create_or_update_secret("iam/revocations", entry)
    for _ in range(5):
        await world.refresh()
    assert world.published == published + 1
    assert world.snapshot.ring is snapshot.ring
    await world.vault.close()


async def test_a_denied_kid_stops_with_one_refresh(world: World) -> None:
    async with world.running():
        world.expected.clear()
        kv = world.bao.client.secrets.kv.v2
        kv.create_or_update_secret("iam/revocations", {"kids": [world.issuer.kid]})
        await world.refresh()
        world.expect("denied", world.issuer, passes=False)
        await asyncio.sleep(0.2)
        assert world.check(world.issuer) is Reason.KEY_UNKNOWN or not len(world.snapshot.ring)


async def test_a_tenants_kill_switch(world: World) -> None:
    async with world.running():
        world.expected.clear()
        now = wall_seconds()
        entry = {"tenants": [{"tenant": TENANT, "issued_before": now}]}
        world.bao.client.secrets.kv.v2.create_or_update_secret("iam/revocations", entry)
        await world.refresh()
        assert world.check(world.issuer) is Reason.TOKEN_REVOKED
        assert world.check(world.issuer, iat=now + 1) is Grant.TOKEN_VERIFIED
        other = "0f0f0f0f-0000-4000-8000-000000000000"
        assert world.check(world.issuer, tenantId=other) is Grant.TOKEN_VERIFIED


async def test_an_unknown_kid_asks_early_and_a_flood_of_them_asks_once(
    own_openbao: OpenBao, token_file: TokenFile
) -> None:
    world = World(own_openbao, token_file, keys(poll_seconds=3600.0))
    async with world.running():
        part = world.refresher.statuses[0]
        assert part.outcomes == {"ok": 1}
        fresh = new_key()
        world.bao.put_key(pem(fresh))
        for _ in range(10_000):
            world.refresher.request_refresh()
        await world.until(lambda: bool(world.snapshot.ring.find(fresh.kid)), 3)
        for _ in range(10_000):
            world.refresher.request_refresh()
        await asyncio.sleep(0.3)
        assert part.outcomes == {"ok": 2}
        world.refresher.refresh_soon()
        await world.until(lambda: part.outcomes == {"ok": 3}, 3)


async def test_a_start_without_vault_raises(own_openbao: OpenBao, token_file: TokenFile) -> None:
    world = World(own_openbao, token_file, keys())
    own_openbao.stop()
    with pytest.raises(VaultFault, match="cannot be reached"):
        await world.refresher.load()
    assert world.refresher.view.state is KeyState.INIT
