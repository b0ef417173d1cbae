"""The spool's key from Vault: asked for on the event loop, by a thread, again and again."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.observability.audit.spool.keys import SpoolKeys
from sidecar.observability.audit.spool.records import KeyReference
from sidecar.observability.audit.spool.vault_keys import VaultKeyStore

TRANSIT = model.TransitSpoolKey(name="audit", mount="t")
KV = model.KvSpoolKey(path="crypto/audit", field="dek")
SECRET = bytes(range(32))
TEXT = base64.b64encode(SECRET).decode()


class Vault:
    """Answers as Vault does, from versions in memory; ``problem`` is raised instead."""

    def __init__(self) -> None:
        self.versions: dict[int, dict[str, Any]] = {3: {"dek": TEXT}}
        self.problem: Exception | None = None
        self.asked: list[tuple[Any, ...]] = []

    def _note(self, *question: Any) -> None:
        self.asked.append(question)
        if self.problem is not None:
            raise self.problem

    async def read_kv(self, mount: str, path: str) -> Any:
        return await self.read_kv_at(mount, path, max(self.versions))

    async def read_kv_at(self, mount: str, path: str, version: int) -> Any:
        self._note(mount, path, version)
        return type("Entry", (), {"data": self.versions[version], "version": version})

    async def new_data_key(self, mount: str, name: str) -> tuple[str, str]:
        self._note(mount, name)
        return TEXT, "vault:v1:abc"

    async def open_data_key(self, mount: str, name: str, wrapped: str) -> str:
        self._note(mount, name, wrapped)
        return TEXT


def stored(settings: model.TransitSpoolKey | model.KvSpoolKey) -> tuple[VaultKeyStore, Vault]:
    store, vault = VaultKeyStore(settings), Vault()
    store.use(vault, asyncio.get_running_loop())
    return store, vault


async def test_a_key_of_transit_is_named_by_its_wrapping() -> None:
    store, vault = stored(TRANSIT)
    key = await asyncio.to_thread(store.new)
    assert key == (SECRET, KeyReference(wrapped="vault:v1:abc"))
    assert await asyncio.to_thread(store.open, key.reference) == SECRET
    assert vault.asked == [("t", "audit"), ("t", "audit", "vault:v1:abc")]


async def test_a_key_of_kv_is_named_by_its_version() -> None:
    store, vault = stored(KV)
    key = await asyncio.to_thread(store.new)
    assert key == (SECRET, KeyReference(version=3))
    vault.versions[4] = {"dek": base64.b64encode(bytes(32)).decode()}
    assert await asyncio.to_thread(store.open, key.reference) == SECRET, "what it was sealed with"
    assert (await asyncio.to_thread(store.new)).reference == KeyReference(version=4)


async def test_before_the_login_and_while_vault_is_away_it_is_an_error_that_passes() -> None:
    store, vault = VaultKeyStore(TRANSIT), Vault()
    with pytest.raises(OSError, match="waits for the login"):
        await asyncio.to_thread(store.new)
    store.use(vault, asyncio.get_running_loop())
    vault.problem = Fault("Vault at v is sealed")
    with pytest.raises(OSError, match="can't be had: Vault at v is sealed"):
        await asyncio.to_thread(store.new)
    vault.problem = None
    assert (await asyncio.to_thread(store.new)).secret == SECRET


NO_KEYS: list[dict[str, Any]] = [{}, {"dek": 5}, {"dek": "not base64!"}, {"dek": TEXT + "\n"}]


@pytest.mark.parametrize("data", NO_KEYS)
async def test_what_is_no_key_is_said_without_being_quoted(data: dict[str, Any]) -> None:
    store, vault = stored(KV)
    vault.versions[3] = data
    with pytest.raises(OSError, match="the key of the spool must") as told:
        await asyncio.to_thread(SpoolKeys(store).new)
    assert TEXT not in str(told.value)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [(TRANSIT, KeyReference(version=1)), (KV, KeyReference(wrapped="vault:v1:a"))],
)
async def test_a_key_of_the_other_kind_can_not_be_had(
    settings: model.TransitSpoolKey | model.KvSpoolKey, reference: KeyReference
) -> None:
    store, vault = stored(settings)
    with pytest.raises(OSError, match="has a key of"):
        await asyncio.to_thread(store.open, reference)
    assert vault.asked == []


async def test_a_vault_that_hangs_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sidecar.observability.audit.spool.vault_keys._PATIENCE_SECONDS", 0.05)
    store, vault = stored(TRANSIT)

    async def hang(*_: object) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(vault, "new_data_key", hang)
    with pytest.raises(OSError, match="does not answer"):
        await asyncio.to_thread(store.new)


def test_a_loop_that_has_ended_answers_nothing() -> None:
    store, vault = VaultKeyStore(TRANSIT), Vault()
    loop = asyncio.new_event_loop()
    store.use(vault, loop)
    loop.close()
    ask: Callable[[], Any] = store.new
    with pytest.raises(OSError, match="the sidecar stops"):
        ask()
