"""Builds the issuers of the configuration.

They are built in two layers: the inner issuer talks to a CA, and the outer one shares its
certificates with the fleet. A fallback CA is inside the sharing, so that one lease covers both.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.base import Issuer, IssuerFault, Issuers
from sidecar.certificates.issuers.fallback import FallbackIssuer
from sidecar.certificates.issuers.shared import SharedIssuer
from sidecar.certificates.issuers.slots import OrderSlots
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient

if TYPE_CHECKING:  # certbot's library: 0.3 s and 15 MB that only ACME needs
    from sidecar.certificates.issuers.acme.issuer import AcmeIssuer


def make_solver(config: model.Config, vault: VaultClient) -> DistributedSolver | None:
    """Return the solver of ACME challenges; ``None`` if no issuer needs one."""
    store = config.certificate_store
    if store is None or not any(
        isinstance(each, model.AcmeIssuerSettings) for each in config.issuers
    ):
        return None
    return DistributedSolver(
        vault,
        store.mount,
        f"{store.prefix}/challenges",
        now=wall_seconds,
        sleep=asyncio.sleep,
        jitter=random.random,
    )


class IssuerFactory:
    """Builds every issuer of a configuration, each once."""

    def __init__(
        self,
        config: model.Config,
        vault: VaultClient,
        solver: DistributedSolver | None,
        is_revoked: Callable[[str, str], bool] = lambda _issuer, _serial: False,
    ) -> None:
        self._settings = {each.name: each for each in config.issuers}
        self._store = config.certificate_store
        self._vault = vault
        self._solver = solver
        self._is_revoked = is_revoked
        self._holder = secrets.token_hex(8)
        self._vaults: dict[str, VaultClient] = {}
        self._bare: dict[str, Issuer] = {}
        self.kv: list[KvIssuer] = []
        self.acme: list[AcmeIssuer] = []
        self.shared: list[SharedIssuer] = []
        self.fallbacks: list[FallbackIssuer] = []
        self.slots: dict[str, OrderSlots] = {}
        """The slots of each issuer's orders, by its name."""

    def make(self) -> Issuers:
        """Return all issuers."""
        return Issuers({name: self._shared(name) for name in self._settings})

    def _shared(self, name: str) -> Issuer:
        settings = self._settings[name]
        issuer = self._bare_issuer(name)
        match settings:
            case model.AcmeIssuerSettings(fallback=str(second)):
                issuer = fallback = FallbackIssuer(issuer, self._bare_issuer(second))
                self.fallbacks.append(fallback)
            case model.VaultKvIssuer() | model.VaultPkiIssuer(share=False):
                return issuer
        if self._store is None:
            raise IssuerFault(f"issuer {name!r} needs certificate_store")
        shared = SharedIssuer(
            issuer,
            self._store,
            self._vault_of(name),
            holder=self._holder,
            now=wall_seconds,
            clock=monotonic_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
            is_revoked=lambda serial: self._is_revoked(name, serial),
            edge_seconds=settings.edge_seconds
            if isinstance(settings, model.AcmeIssuerSettings)
            else 0.0,
        )
        self.shared.append(shared)
        self.slots[name] = shared.slots
        return shared

    def _bare_issuer(self, name: str) -> Issuer:
        if name not in self._bare:
            self._bare[name] = self._make(self._settings[name])
        return self._bare[name]

    def _vault_of(self, name: str) -> VaultClient:
        """Return an issuer's own client of Vault, whose calls wait for no other issuer's."""
        if name not in self._vaults:
            self._vaults[name] = self._vault.with_lanes(f"vault-{name}")
        return self._vaults[name]

    def _make(self, settings: model.IssuerSettings) -> Issuer:
        vault = self._vault_of(settings.name)
        match settings:
            case model.VaultPkiIssuer():
                signed = PkiIssuer(settings, vault, wall_seconds)
                self.slots[settings.name] = signed.slots
                return signed
            case model.VaultKvIssuer():
                stored = KvIssuer(settings, vault, wall_seconds)
                self.kv.append(stored)
                self.slots[settings.name] = stored.slots
                return stored
            case model.AcmeIssuerSettings():
                from sidecar.certificates.issuers.acme.issuer import AcmeIssuer  # noqa: PLC0415

                if self._solver is None:
                    raise IssuerFault(f"issuer {settings.name!r} needs certificate_store")
                issuer = AcmeIssuer(
                    settings, vault, self._solver, now=wall_seconds, sleep=asyncio.sleep
                )
                self.acme.append(issuer)
                return issuer
