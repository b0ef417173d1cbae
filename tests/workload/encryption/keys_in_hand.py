"""What the tests of sealed fields share: keys without a Vault, a Vault, a clock that is moved."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from demo.openbao import OpenBao
from tests.support.real import NAMESPACE
from tests.workload.encryption.databases import KeyPlace
from workload.clock import monotonic_seconds
from workload.encryption import FieldColumn, FieldKeySettings, Keyring, KeyScope, ScopeKeys
from workload.encryption.data_key import FieldKey
from workload.encryption.key_admin import KeyAdmin
from workload.settings import TokenFileLogin, VaultServer
from workload.vault.client import VaultApi
from workload.vault.errors import VaultAway, VaultRefuses
from workload.vault.transit import Transit

MOUNT = "fields-transit"
KEK = "fields"
USER_POLICY = f"""\
path "{MOUNT}/datakey/plaintext/{KEK}" {{ capabilities = ["update"] }}
path "{MOUNT}/decrypt/{KEK}"           {{ capabilities = ["update"] }}
"""
READER_POLICY = f'path "{MOUNT}/decrypt/{KEK}" {{ capabilities = ["update"] }}'
ADMIN_POLICY = USER_POLICY + f'path "{MOUNT}/rewrap/{KEK}" {{ capabilities = ["update"] }}'
EMAIL = FieldColumn("people", "email")
DAY = 86_400.0


def in_hand(scope: KeyScope, *versions: int, until: float = float("inf")) -> ScopeKeys:
    """Return keys of a scope that no Vault has, the last version writing."""
    keys = ScopeKeys(scope, lambda: 0.0)
    made = {version: FieldKey(version, bytearray(os.urandom(32))) for version in versions or (1,)}
    keys.update(made, max(made), until)
    return keys


def enable_kek(server: OpenBao, kek: str = KEK, *, derived: bool = True) -> None:
    server.enable_transit(MOUNT)
    server.client.write_data(
        f"{MOUNT}/keys/{kek}", data={"type": "aes256-gcm96", "derived": derived}
    )


def transit(server: OpenBao, policy: str, folder: Path, name: str = "fields-test") -> Transit:
    """Return the mount, with a token of a policy and nothing else."""
    path = folder / f"{name}-{uuid4()}"
    path.write_text(server.token_for(policy, name=name))
    vault = VaultServer(server.address, TokenFileLogin(str(path)), namespace=NAMESPACE)
    return Transit(VaultApi(vault, monotonic_seconds), MOUNT)


@dataclass
class FaultyTransit:
    """A real transit that can be made to fail, and counts what it is asked."""

    real: Transit
    fault: type[Exception] | None = None
    made: int = 0
    unwrapped: int = 0
    handed: list[bytearray] = field(default_factory=list)
    """Every data key that was given out, made or unwrapped."""

    def is_away(self) -> None:
        self.fault = VaultAway

    def refuses(self) -> None:
        self.fault = VaultRefuses

    def answers(self) -> None:
        self.fault = None

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault("on demand")

    async def new_data_key(self, kek: str, context: bytes) -> tuple[bytearray, str]:
        self._fail()
        self.made += 1
        key, wrapped = await self.real.new_data_key(kek, context)
        self.handed.append(key)
        return key, wrapped

    async def unwrap(self, kek: str, wrapped: str, context: bytes) -> bytearray:
        self._fail()
        self.unwrapped += 1
        self.handed.append(await self.real.unwrap(kek, wrapped, context))
        return self.handed[-1]

    async def rewrap(self, kek: str, wrapped: str, context: bytes) -> str:
        self._fail()
        return await self.real.rewrap(kek, wrapped, context)


@dataclass
class HandClock:
    """Moved by the test alone."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FieldProcess:
    """One process of an application: its keyring, and what can be done to keys."""

    place: KeyPlace
    wrapper: FaultyTransit
    clock: HandClock
    settings: FieldKeySettings = field(default_factory=lambda: FieldKeySettings(KEK, MOUNT))

    def __post_init__(self) -> None:
        store = self.place.store
        self.keyring = Keyring(
            store, self.wrapper, self.settings, wall=self.clock, monotonic=self.clock
        )
        self.admin = KeyAdmin(store, self.wrapper, self.settings, wall=self.clock)

    def another(self, settings: FieldKeySettings | None = None) -> "FieldProcess":
        """Return a process beside this one: same database, same Vault, same clock."""
        wrapper = FaultyTransit(self.wrapper.real)
        return FieldProcess(self.place, wrapper, self.clock, settings or self.settings)
