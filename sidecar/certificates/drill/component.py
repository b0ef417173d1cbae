"""A drill as a process of its own: its own login to Vault, the issuers of a configuration.

Not inside the sidecar that serves: so a configuration can be rehearsed before it is deployed, the
login and its policy are rehearsed too, an order that hangs costs no Check, and nothing that is
obtained is in a process that could serve it.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from sidecar.certificates.drill.drill import Drill, DrillResult, Permit, keep_nothing
from sidecar.certificates.drill.envoy import EnvoyJudge
from sidecar.certificates.drill.floors import OrderFloors
from sidecar.certificates.drill.names import Ordered, on_demand_orders
from sidecar.certificates.drill.plan import (
    Acme,
    DrillFault,
    Rehearsal,
    check_store,
    chosen,
    plan_drill,
    with_directory,
)
from sidecar.certificates.issuers.base import Issuers, Order
from sidecar.certificates.issuers.factory import IssuerFactory, make_solver
from sidecar.certificates.issuers.vault_kv import KvIssuer, kv_segment
from sidecar.certificates.managed.parts import wanted_certificates
from sidecar.certificates.managed.revocation import read_revoked
from sidecar.certificates.on_demand.limited_issuers import LimitedIssuers
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault.trust import read_mount_crls
from workload.x509.material import Material


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """What a drill was asked for. Without ``names`` it is every configured certificate."""

    names: tuple[str, ...] = ()
    limit: int = 0
    """The most names on demand that are drawn from the registry."""
    acme: Acme = Acme.SKIP
    directory: str = ""
    """Of the staging CA."""
    envoy: str = ""
    """The program; empty: Envoy is not asked."""
    stored_keys: bool = False
    """Whether Envoy is given keys of ``vault_kv`` too, which are those that are served."""
    store: tuple[str, str] | None = None
    """The mount and the path of a second store in Vault KV."""
    order_seconds: float | None = None


async def run_drill(config: model.Config, options: DrillOptions) -> list[DrillResult]:
    """Order, check, ask Envoy; return the results. Raises ``Fault`` where nothing can begin."""
    if options.store is not None:
        check_store(config, *options.store)
    if options.acme is Acme.STAGING:
        config = with_directory(config, options.directory)
    async with AsyncExitStack() as stack:
        vault = VaultClient(config.vault, clock=monotonic_seconds)
        stack.push_async_callback(vault.close)
        await vault.login()
        factory = IssuerFactory(config, vault, make_solver(config, vault))
        issuers = Issuers({each.name: factory.bare(each.name) for each in config.issuers})
        for each in factory.acme:
            stack.callback(each.close)
        keep = keep_nothing if options.store is None else partial(_keep, vault, *options.store)
        drill = Drill(
            _limited(config, issuers),
            permit=_permit(config, options, vault),
            crl_problem=CrlCheck(config, vault).problem,
            now=wall_seconds,
            clock=monotonic_seconds,
            order_seconds=_order_seconds(config, options),
            judge=EnvoyJudge(options.envoy).judge if options.envoy else None,
            shows_envoy=partial(_shows_envoy, issuers, options),
            keep=keep,
        )
        orders = await _orders(config, options, vault)
        return await drill.run(plan_drill(config, orders, options.acme))


async def _orders(config: model.Config, options: DrillOptions, vault: VaultClient) -> list[Ordered]:
    """Return the orders that were asked for, with the names of their first issuers."""
    named = {each.name: each for each in config.issuers}
    by_name = {name: _NoIssuer(name) for name in named}
    wanted = wanted_certificates(config, Issuers(by_name))
    configured = [(order, issuer.name) for order, issuer in wanted]
    orders, others = chosen(configured, options.names)
    orders += await on_demand_orders(config.on_demand, vault, others, options.limit)
    for order, issuer in orders:
        if issuer not in named:
            raise DrillFault(f"{order.name!r} is registered with an unknown issuer {issuer!r}")
    return orders


class _NoIssuer:
    """Has the name of an issuer alone: orders are planned before any is placed."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def issue(self, order: Order) -> Material:
        """Issue nothing."""
        raise DrillFault(f"{order.name!r} is only planned")


def _limited(config: model.Config, issuers: Issuers) -> Issuers:
    """Limit the orders of names on demand as those that strangers cause are."""
    settings = config.on_demand
    return issuers if settings is None else LimitedIssuers().limit(issuers, settings)


def _permit(config: model.Config, options: DrillOptions, vault: VaultClient) -> Permit:
    acme = frozenset(
        each.name for each in config.issuers if isinstance(each, model.AcmeIssuerSettings)
    )
    counted = acme if options.acme is Acme.ORDER else frozenset()
    store = config.certificate_store or model.CertificateStoreSettings()
    return OrderFloors(vault, store, counted).permit


def _order_seconds(config: model.Config, options: DrillOptions) -> float:
    if options.order_seconds is not None:
        return options.order_seconds
    store = config.certificate_store or model.CertificateStoreSettings()
    return store.order_seconds


def _shows_envoy(issuers: Issuers, options: DrillOptions, rehearsal: Rehearsal) -> bool:
    """Tell whether Envoy may be given a key: one of Vault KV is the one that is served."""
    return options.stored_keys or not isinstance(issuers[rehearsal.issuer], KvIssuer)


class CrlCheck:
    """Looks for serials on the CRLs of Vault PKI mounts, each mount read once."""

    def __init__(self, config: model.Config, vault: VaultClient) -> None:
        self._vault = vault
        self._mounts = {
            each.name: each.mount
            for each in config.issuers
            if isinstance(each, model.VaultPkiIssuer) and each.crl_poll_seconds
        }
        self._revoked: dict[str, frozenset[int]] = {}

    async def problem(self, issuer: str, serial: str) -> str:
        """Return what the CRLs say against a serial. Raises ``Fault`` where they can't be read."""
        mount = self._mounts.get(issuer)
        if mount is None:
            return ""
        if mount not in self._revoked:
            reader = partial(read_mount_crls, self._vault)
            self._revoked[mount] = await read_revoked(reader, mount)
        if int(serial, 16) in self._revoked[mount]:
            return "its CA's CRL lists it as revoked"
        return ""


async def _keep(
    vault: VaultClient, mount: str, path: str, rehearsal: Rehearsal, material: Material
) -> None:
    """Store a certificate in the second store, in the form of the fleet's."""
    where = f"{path}/{rehearsal.issuer}/{kv_segment(rehearsal.order.name)}"
    data = {
        "certificate": material.chain_pem.decode("ascii"),
        "private_key": material.key_pem.decode("ascii"),
        "serial": material.serial,
        "not_after": material.not_after,
    }
    await vault.write_kv(mount, where, data, await vault.read_kv_version(mount, where))
