"""What the component of names on demand joins: the registry, the limits and the issuers."""

from typing import Any

import pytest

from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.issuers.vault_kv import KvIssuer
from sidecar.certificates.managed.component import Certificates
from sidecar.certificates.on_demand.component import (
    OnDemandComponent,
    make_component,
)
from sidecar.certificates.on_demand.domains import RegistryFault
from sidecar.certificates.on_demand.issuance_limits import (
    IssuanceRateExceeded,
    IssuanceRateLimiter,
    RateLimitedIssuer,
)
from sidecar.certificates.on_demand.limited_issuers import LimitedIssuers, issuance_rates
from sidecar.certificates.on_demand.registries import ListedRegistry
from sidecar.certificates.on_demand.registry_factory import make_registry
from sidecar.certificates.on_demand.resolved_registry import ResolvedRegistry
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.registered_domains import RegisteredDomains
from sidecar.config import model, parse_config
from sidecar.config import on_demand as settings_of
from sidecar.observability.alerts import Alerts
from sidecar.vault.client import VaultClient
from tests.config.test_certificates import PKI, text
from tests.support.fleet_kv import MemoryKv
from tests.support.managed_world import Nobody

FILE = settings_of.FileRegistry(path="/registry.json")
PREFIX = settings_of.VaultKvPrefixRegistry(prefix="edge/domains")
HTTP = settings_of.HttpRegistry(
    url="http://127.0.0.1:1/{name}", timeout_seconds=1.0, queries_per_second=0.5
)


def component(more: str) -> OnDemandComponent | None:
    config = parse_config(text(PKI, more=more), "test.yaml")
    vault = VaultClient(config.vault, clock=monotonic_seconds)
    certificates = Certificates(config, vault, Alerts(wall_seconds, with_webhook=False))
    return make_component(config, vault, certificates, lambda _registered: None)


async def test_without_the_setting_there_is_no_component() -> None:
    assert component("") is None


class Parts:
    """What a registry is made with, and what it calls."""

    def __init__(self) -> None:
        self.vault: Any = MemoryKv()
        self.published = RegisteredDomains()
        self.calls: list[str] = []

    def publish(self, owners: RegisteredDomains) -> None:
        self.published = owners
        self.calls.append("publish")

    async def on_change(self) -> None:
        self.calls.append("change")

    def make(self, settings: settings_of.RegistrySettings) -> ListedRegistry | ResolvedRegistry:
        return make_registry(settings, self.vault, self.on_change, self.publish)


REGISTRIES: list[tuple[settings_of.RegistrySettings, type]] = [
    (FILE, ListedRegistry),
    (settings_of.VaultKvRegistry(path="edge/list"), ListedRegistry),
    (PREFIX, ResolvedRegistry),
    (HTTP, ResolvedRegistry),
]


@pytest.mark.parametrize(("settings", "kind"), REGISTRIES)
async def test_the_registry_of_each_setting(
    settings: settings_of.RegistrySettings, kind: type
) -> None:
    assert type(Parts().make(settings)) is kind


async def test_a_domain_that_is_removed_loses_its_owner_before_its_names_are_evicted() -> None:
    parts = Parts()
    parts.vault.put("edge/domains/shop.example", {"tenant_id": "a"})
    registry = parts.make(PREFIX)
    await registry.start()
    await registry.resolve("shop.example")
    assert parts.published.owner_of("shop.example") == "a"
    parts.calls.clear()
    parts.vault.deleted.add("edge/domains/shop.example")
    await registry.refresh()
    assert parts.published.owner_of("shop.example") is None
    assert parts.calls == ["publish", "change"]


async def test_queries_to_a_resolver_are_limited_by_the_setting() -> None:
    registry = Parts().make(HTTP)
    with pytest.raises(RegistryFault, match="the domain resolver: "):
        await registry.resolve("a.example")
    with pytest.raises(RegistryFault, match="queries_per_second"):
        await registry.resolve("b.example")


def on_demand_settings(**more: Any) -> model.OnDemandSettings:
    return model.OnDemandSettings(registry=FILE, issuer="internal", **more)


async def test_only_orders_at_a_ca_are_limited() -> None:
    vault: Any = MemoryKv()
    stored = KvIssuer(model.VaultKvIssuer(name="stored", prefix="tls"), vault, wall_seconds)
    other = Nobody()
    other.name = "other"
    limited = LimitedIssuers().limit(
        Issuers({"stored": stored, "internal": Nobody(), "other": other}), on_demand_settings()
    )
    assert limited["stored"] is stored
    first, second = limited["internal"], limited["other"]
    assert isinstance(first, RateLimitedIssuer)
    assert isinstance(second, RateLimitedIssuer)
    assert first._rate_limiter is not second._rate_limiter, "one CA's orders are not another's"


async def test_the_limits_are_those_of_the_settings() -> None:
    settings = on_demand_settings(orders_per_minute=1.0, orders_burst=3, orders_per_domain=2)
    limiter = IssuanceRateLimiter(**issuance_rates(settings), clock=monotonic_seconds)
    for account in ("a.example", "a.example"):
        limiter.spend(account)
    with pytest.raises(IssuanceRateExceeded, match="domain_budget_spent"):
        limiter.spend("a.example")
    limiter.spend("b.example")
    with pytest.raises(IssuanceRateExceeded, match="orders_too_fast"):
        limiter.spend("c.example")


class Served:
    """Envoys that hold two names whose TTL is over."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def evict(self, name: str) -> None:
        self.calls.append(name)

    def evict_overdue(self) -> int:
        return 2

    async def evict_withdrawn(self) -> None:
        self.calls.append("withdrawn")


async def test_names_are_evicted_by_their_ttl_and_when_the_registry_changes() -> None:
    made = component(
        "on_demand: {issuer: internal, registry: {source: file, path: /registry.json}}\n"
    )
    assert made is not None
    made._sweep()  # before anything is served
    made._served = served = Served()
    made._sweep()
    made._sweep()
    shown = {sample.name: sample.value for family in made.families() for sample in family.samples}
    assert shown["septem_on_demand_names_evicted_total"] == 4.0
    await made._registry_changed()
    assert served.calls == ["withdrawn"]
