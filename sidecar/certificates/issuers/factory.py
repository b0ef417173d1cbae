"""Builds the issuers of the configuration.

They are built in two layers: the inner issuer talks to a CA, and the outer one shares its
certificates with the fleet. A fallback CA is inside the sharing, so that one lease covers both.

A reload builds them anew beside the running ones, and takes over those whose settings are the
same: with their slots, their account at the CA, and what they have counted.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

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

if TYPE_CHECKING:  # certbot's library: 0.3 s and 15 MB that only ACME needs; dnspython: dns-01
    from sidecar.certificates.challenges.dns01.solver import Dns01Solver
    from sidecar.certificates.issuers.acme.issuer import AcmeIssuer, ChallengeSolver

T = TypeVar("T")


def solver_place(config: model.Config) -> tuple[str, str] | None:
    """Return where in Vault the fleet's challenges are; ``None`` if no issuer needs them."""
    store = config.certificate_store
    if store is None or not any(
        isinstance(each, model.AcmeIssuerSettings) and each.connects_to_edge
        for each in config.issuers
    ):
        return None
    return store.mount, f"{store.prefix}/challenges"


def make_solver(config: model.Config, vault: VaultClient) -> DistributedSolver | None:
    """Return the solver of challenges at the edge; ``None`` if no issuer needs one."""
    place = solver_place(config)
    if place is None:
        return None
    return DistributedSolver(
        vault,
        *place,
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
        before: "IssuerFactory | None" = None,
    ) -> None:
        """``before`` has built the issuers of the configuration that a reload replaces."""
        self._settings = {each.name: each for each in config.issuers}
        self._store = config.certificate_store
        self._vault = vault
        self._solver = solver
        self._is_revoked = is_revoked
        self.holder: str = secrets.token_hex(8) if before is None else before.holder
        self.vaults: dict[str, VaultClient] = {} if before is None else dict(before.vaults)
        self.built: dict[object, object] = {}
        """Every issuer by what it is built of: with the same, a reload takes it over."""
        self._before = {} if before is None else before.built
        self._bare: dict[str, Issuer] = {}
        self.kv: list[KvIssuer] = []
        self.acme: list[AcmeIssuer] = []
        self.dns01: dict[str, Dns01Solver] = {}
        """The solvers of dns-01, by the issuer's name."""
        self.shared: list[SharedIssuer] = []
        self.fallbacks: list[FallbackIssuer] = []
        self.slots: dict[str, OrderSlots] = {}
        """The slots of each issuer's orders, by its name."""

    def closing(self) -> "list[AcmeIssuer | Dns01Solver]":
        """Return what must be closed when it is in use no more."""
        return [*self.acme, *self.dns01.values()]

    def make(self) -> Issuers:
        """Return all issuers."""
        issuers = Issuers({name: self._shared(name) for name in self._settings})
        self._before = {}  # what was not taken over is let go
        return issuers

    def bare(self, name: str) -> Issuer:
        """Return an issuer without its fallback, which shares nothing with the fleet."""
        return self._bare_issuer(name)

    def _shared(self, name: str) -> Issuer:
        settings = self._settings[name]
        issuer = self._bare_issuer(name)
        parts: tuple[object, ...] = (settings, self._store, issuer)
        match settings:
            case model.AcmeIssuerSettings(fallback=str(name_of_second)):
                first, second = issuer, self._bare_issuer(name_of_second)
                parts = (*parts, second)
                issuer = fallback = self._once(
                    ("fallback", first, second), lambda: FallbackIssuer(first, second)
                )
                self.fallbacks.append(fallback)
            case model.VaultKvIssuer() | model.VaultPkiIssuer(share=False):
                return issuer
        if self._store is None:
            raise IssuerFault(f"issuer {name!r} needs certificate_store")
        store, inner = self._store, issuer
        shared = self._once(("shared", *parts), lambda: self._make_shared(settings, store, inner))
        self.shared.append(shared)
        self.slots[name] = shared.slots
        return shared

    def _make_shared(
        self, settings: model.IssuerSettings, store: model.CertificateStoreSettings, inner: Issuer
    ) -> SharedIssuer:
        name = settings.name
        return SharedIssuer(
            inner,
            store,
            self._vault_of(name),
            holder=self.holder,
            now=wall_seconds,
            clock=monotonic_seconds,
            sleep=asyncio.sleep,
            jitter=random.random,
            is_revoked=lambda serial: self._is_revoked(name, serial),
            edge_seconds=settings.edge_seconds
            if isinstance(settings, model.AcmeIssuerSettings) and settings.connects_to_edge
            else 0.0,
        )

    def _once(self, parts: object, build: Callable[[], T]) -> T:
        """Return what is built of these parts; what a factory before has built of them, if any."""
        found = self.built.get(parts) or self._before.get(parts) or build()
        self.built[parts] = found
        return cast("T", found)

    def _bare_issuer(self, name: str) -> Issuer:
        if name not in self._bare:
            self._bare[name] = self._make(self._settings[name])
        return self._bare[name]

    def _vault_of(self, name: str) -> VaultClient:
        """Return an issuer's own client of Vault, whose calls wait for no other issuer's."""
        if name not in self.vaults:
            self.vaults[name] = self._vault.with_lanes(f"vault-{name}")
        return self.vaults[name]

    def _make(self, settings: model.IssuerSettings) -> Issuer:
        vault = self._vault_of(settings.name)
        match settings:
            case model.VaultPkiIssuer():
                signed = self._once(settings, lambda: PkiIssuer(settings, vault, wall_seconds))
                self.slots[settings.name] = signed.slots
                return signed
            case model.VaultKvIssuer():
                stored = self._once(settings, lambda: KvIssuer(settings, vault, wall_seconds))
                self.kv.append(stored)
                self.slots[settings.name] = stored.slots
                return stored
            case model.AcmeIssuerSettings():
                from sidecar.certificates.issuers.acme.issuer import AcmeIssuer  # noqa: PLC0415

                solver = self._challenge_solver(settings, vault)
                issuer = self._once(
                    (settings, solver),
                    lambda: AcmeIssuer(
                        settings, vault, solver, now=wall_seconds, sleep=asyncio.sleep
                    ),
                )
                self.acme.append(issuer)
                return issuer

    def _challenge_solver(
        self, settings: model.AcmeIssuerSettings, vault: VaultClient
    ) -> "ChallengeSolver":
        if settings.dns is not None and not settings.connects_to_edge:
            from sidecar.certificates.challenges.dns01.factory import (  # noqa: PLC0415
                make_dns01_solver,
            )

            dns = settings.dns
            solver = self._once(("dns01", settings), lambda: make_dns01_solver(dns, vault))
            self.dns01[settings.name] = solver
            return solver
        if self._solver is None:
            raise IssuerFault(f"issuer {settings.name!r} needs certificate_store")
        return self._solver
