"""The keys as a running sidecar has them: what was deleted is used no longer."""

import asyncio

import pytest

from demo.openbao import OpenBao
from sidecar.audit_trail.key_store import KeyPlace
from sidecar.audit_trail.metrics import pseudonym_families
from sidecar.audit_trail.pseudonym_keys import PseudonymKeyPoller
from sidecar.config import model
from sidecar.observability.audit.chain import FORGOTTEN, read_trail_line
from sidecar.observability.audit.entry import AuditEntry, encode_entry
from sidecar.observability.audit.pseudonyms import Pseudonymizer, subject_pseudonym
from sidecar.vault.client import VaultClient
from tests.audit_trail.logins import Login
from tests.support.waiting import until

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
LINE = encode_entry(
    AuditEntry(
        at=1.0, decision_id="d1", outcome="deny", reason="token_expired", status=401,
        route="api", latency_us=42, tenant=TENANT, subject="alice",
    )
)  # fmt: skip


class World:
    """A poller with a real store, and what it writes."""

    def __init__(self, vault: VaultClient, place: KeyPlace, poll_seconds: float = 60) -> None:
        self.lines: list[bytes] = []
        self.pseudonyms = Pseudonymizer(lambda: 0.0)
        self.poller = PseudonymKeyPoller(
            model.PseudonymSettings(path=place.path, poll_seconds=poll_seconds),
            vault,
            self.pseudonyms,
            append=self.lines.append,
            now=lambda: 0.0,
            jitter=lambda: 0.5,
        )

    def written(self) -> bytes:
        return self.pseudonyms.rewrite([LINE])[0]


@pytest.fixture
def world(login: Login, place: KeyPlace) -> World:
    return World(login.client("Sidecar: pseudonyms"), place)


async def test_keys_are_used_from_the_first_read_on(login: Login, world: World) -> None:
    assert world.poller.version == 0
    await world.poller.refresh()
    keys = await login.store("Operator: subject").read_only()
    assert subject_pseudonym(keys, TENANT, "alice").encode() in world.written()
    assert (world.poller.version, world.pseudonyms.anonymous) == (1, 0)
    assert not world.lines
    samples = [each.samples[0].value for each in pseudonym_families(world.poller)]
    assert samples == [0, 1]


async def test_a_deleted_key_is_used_no_longer_and_the_trail_says_so(
    login: Login, world: World
) -> None:
    await world.poller.refresh()
    before = world.written()
    await login.store("Operator: forget").forget(TENANT, "alice")
    assert world.written() == before, "it is not read yet"
    await world.poller.refresh()
    assert world.written() != before
    (line,) = world.lines
    own = read_trail_line(line[:-1])
    assert own is not None
    assert (own.reason, own.key_version) == (FORGOTTEN, 2)
    assert b"alice" not in line
    await world.poller.refresh()
    assert len(world.lines) == 1


async def test_while_vault_can_t_be_read_the_keys_stay(
    openbao: OpenBao, place: KeyPlace, world: World
) -> None:
    await world.poller.refresh()
    before = world.written()
    kv = openbao.client.secrets.kv.v2
    kv.create_or_update_secret(place.path, {"value": "x"}, mount_point="secret")
    await world.poller.refresh()
    assert "its content is not that of keys" in world.poller.status.problem
    assert world.written() == before


async def test_keys_that_were_restored_from_before_are_not_used(
    openbao: OpenBao, login: Login, place: KeyPlace, world: World
) -> None:
    kv = openbao.client.secrets.kv.v2
    await world.poller.refresh()
    read = kv.read_secret_version(place.path, mount_point="secret", raise_on_deleted_version=True)
    old = read["data"]["data"]
    await login.store("Operator: forget").forget(TENANT, "alice")
    await world.poller.refresh()
    after = world.written()
    kv.delete_metadata_and_all_versions(place.path, mount_point="secret")
    kv.create_or_update_secret(place.path, old, mount_point="secret")
    await world.poller.refresh()
    assert "after version 2" in world.poller.status.problem
    assert world.written() == after


async def test_without_keys_lines_are_anonymous_and_it_is_tried_again(
    openbao: OpenBao, login: Login, place: KeyPlace
) -> None:
    kv = openbao.client.secrets.kv.v2
    kv.create_or_update_secret(place.path, {"value": "x"}, mount_point="secret")
    world = World(login.client("Sidecar: pseudonyms"), place, poll_seconds=1.0)
    await world.poller.refresh()
    assert b"alice" not in world.written()
    assert world.pseudonyms.anonymous == 1
    kv.delete_metadata_and_all_versions(place.path, mount_point="secret")
    task = asyncio.create_task(world.poller.run())
    await until(lambda: world.pseudonyms.has_keys, task=task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
