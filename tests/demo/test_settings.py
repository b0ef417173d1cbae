"""The demo's configuration is one that the sidecar takes, whichever names and parts it has."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.attacks import Targets
from demo.envoyproxy import EdgePorts
from demo.names import PLATFORM, Names
from demo.settings import FRAMING_REPORTED, Places, sidecar_settings
from sidecar.config import Config, parse_config

PORTS = EdgePorts(8080, 8443, 9901, 8000, 9100, 9101, 9103)
TARGETS = Targets("https://localhost:7001", "https://localhost:7002", "https://shop.example")


def made(names: Names | None = None, on_demand: dict[str, Any] | None = None) -> Config:
    folder = Path("/nowhere")
    places = Places(
        PORTS, 9102, "http://127.0.0.1:8200", folder / "token", folder / "audit", folder / "domains"
    )
    settings = sidecar_settings(places, names or Names(), TARGETS, keys={}, on_demand=on_demand)
    return parse_config(yaml.safe_dump(settings, sort_keys=False), "the demo")


@pytest.mark.parametrize("names", [Names(), PLATFORM], ids=["one machine", "mapped names"])
@pytest.mark.parametrize("on_demand", [None, {"retry_seconds": 1.0}], ids=["fixed", "on demand"])
def test_the_sidecar_takes_it(names: Names, on_demand: dict[str, Any] | None) -> None:
    config = made(names, on_demand)
    (certificate,) = config.certificates
    assert (certificate.common_name, *certificate.alt_names) == names.of_edge
    assert [tenant.domain for tenant in config.tenants] == [names.own_domain, names.other_domain]
    assert (config.on_demand is None) == (on_demand is None)


def test_what_differs_from_the_defaults_of_on_demand_is_taken() -> None:
    settings = made(on_demand={"retry_seconds": 1.5}).on_demand
    assert settings is not None
    assert (settings.issuer, settings.retry_seconds) == ("customers", 1.5)


def test_the_page_may_load_from_the_cdn_and_nothing_else() -> None:
    shell = made().headers.csp["shell"].enforced[0]
    with_cdn = {name for name, sources in shell.items() if TARGETS.cdn in sources}
    assert with_cdn == {"script-src", "style-src", "img-src", "font-src"}
    assert not any(TARGETS.foreign in sources for sources in shell.values())


def test_only_the_document_has_a_nonce_and_each_policy_one_way_to_report() -> None:
    shell = made().headers.csp["shell"].enforced[0]
    document, framing = made().headers.csp["document"].enforced
    assert "'nonce-{nonce}'" not in shell["script-src"]
    assert "'nonce-{nonce}'" in document["script-src"]
    assert "report-to" in document
    assert "report-uri" not in document
    assert framing == {name: tuple(sources) for name, sources in FRAMING_REPORTED.items()}
