"""The parts of a reload of certificates: in which order they are put in force, or given up."""

from typing import Any

import pytest

from sidecar.common.errors import Fault
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.sds.reloading import CertificatesReload, eviction_policy
from tests.config.test_certificates import PKI, text

ON_DEMAND = "on_demand: {issuer: internal, ttl_seconds: 7, registry: {source: file, path: /r}}\n"


class Parts:
    """Both components and SDS, which note what is done with them."""

    def __init__(self, before: set[str], after: set[str]) -> None:
        self.done: list[str] = []
        self.configured = before
        self.parts = self
        self.after = after
        self.issuers: Any = object()
        self.fault: Fault | None = None
        self.settings: Any = None

    async def prepare(self, config: model.Config, issuers: object = None) -> Any:
        if issuers is None:
            return self.Prepared(self)
        assert issuers is self.issuers
        if self.fault is not None:
            raise self.fault
        self.settings = config.on_demand
        return self

    class Prepared:
        def __init__(self, made: "Parts") -> None:
            self.parts = self
            self.configured = made.after
            self.issuers = made.issuers

    def abandon(self, _prepared: object) -> None:
        self.done.append("abandoned")

    def use_on_demand(self, configured: object, policy: Any) -> None:
        assert configured is self.after
        self.done.append(f"ttl {policy.ttl_seconds:.0f}")

    def evict(self, name: str) -> None:
        self.done.append(f"evicted {name}")

    def adopt(self, *given: object) -> None:
        self.done.append("on demand" if len(given) > 1 else "configured")


def reload_of(parts: Any, config: model.Config) -> CertificatesReload:
    return CertificatesReload(AppContext(config), parts, parts, parts)


async def test_names_on_demand_are_exchanged_before_configured_ones() -> None:
    config = parse_config(text(PKI, more=ON_DEMAND), "test.yaml")
    parts = Parts({"stays", "goes"}, {"stays", "comes"})
    part = await reload_of(parts, config).prepare(config)
    assert parts.done == []
    part.adopt()
    assert parts.done == ["ttl 7", "on demand", "configured", "evicted goes"]


async def test_what_was_prepared_is_given_up_if_the_rest_can_not_be_had() -> None:
    config = parse_config(text(PKI, more=ON_DEMAND), "test.yaml")
    parts = Parts(set(), set())
    parts.fault = Fault("the registry is away")
    with pytest.raises(Fault, match="the registry is away"):
        await reload_of(parts, config).prepare(config)
    assert parts.done == ["abandoned"]
    parts.fault = None
    (await reload_of(parts, config).prepare(config)).abandon()
    assert parts.done == ["abandoned"] * 2


def test_how_long_a_name_is_held() -> None:
    settings = parse_config(text(PKI, more=ON_DEMAND), "test.yaml").on_demand
    assert settings is not None
    policy = eviction_policy(settings)
    assert (policy.ttl_seconds, policy.max_names) == (7.0, settings.max_names)
