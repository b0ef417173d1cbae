"""The rules of certificates on demand: what can't be, is told with its path."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.common.errors import ConfigFault
from sidecar.config import load_config

GOOD: dict[str, Any] = {
    "vault": {
        "address": "http://127.0.0.1:8200",
        "auth": {"method": "token_file", "path": "/run/token"},
    },
    "listen": {"sds": {"address": "unix:/run/sds.sock", "peer_uids": [101]}},
    "tokens": {"issuers": [{"issuer": "https://iam.example", "audiences": ["a"]}]},
    "routes": [{"name": "all", "path_prefix": "/", "auth": "none"}],
    "issuers": [{"name": "customers", "type": "vault_pki", "role": "edge"}],
    "on_demand": {"registry": {"source": "file", "path": "/domains.json"}, "issuer": "customers"},
}


def problems(tmp_path: Path, config: dict[str, Any]) -> tuple[str, ...]:
    path = tmp_path / "sidecar.yaml"
    path.write_text(yaml.safe_dump(config))
    try:
        load_config(path)
    except ConfigFault as fault:
        return fault.problems
    return ()


def changed(**sections: Any) -> dict[str, Any]:
    found = {**GOOD, **sections}
    return {name: value for name, value in found.items() if value is not None}


def on_demand(**settings: Any) -> dict[str, Any]:
    return changed(on_demand={**GOOD["on_demand"], **settings})


REGISTRIES: list[dict[str, Any]] = [
    {"source": "file", "path": "/d.yaml", "poll_seconds": 5},
    {"source": "vault_kv", "path": "edge/list"},
    {"source": "vault_kv_prefix", "prefix": "edge/domains"},
    {"source": "http", "url": "https://resolver.internal/v1/{name}"},
    {"source": "http", "url": "http://127.0.0.1:8000/v1/{name}?x=y"},
]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda each: str(each["source"]))
def test_every_registry(tmp_path: Path, registry: dict[str, Any]) -> None:
    assert problems(tmp_path, on_demand(registry=registry)) == ()


HTTP = {"source": "http", "url": "http://resolver.internal/{name}"}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("an issuer that is none", on_demand(issuer="nobody"), "on_demand.issuer"),
    ("no listener", changed(listen={}), "listen.sds"),
    ("pauses that shrink", on_demand(retry_seconds=60, max_retry_seconds=5), "max_retry_seconds"),
    ("a resolver in the clear", on_demand(registry=HTTP), "on_demand.registry.url"),
    ("a resolver without a name", on_demand(registry={**HTTP, "url": "https://r/"}), "url"),
    ("no registry", on_demand(registry=None), "on_demand.registry"),
    ("more names than a stream", on_demand(max_names=100_000), "on_demand.max_names"),
    (
        "peers over TCP",
        changed(listen={"sds": {"address": "127.0.0.1:9101", "peer_uids": [1]}}),
        "listen.sds.peer_uids",
    ),
    (
        "a secret that a host could be called",
        changed(generic_secrets=[{"name": "db.internal", "path": "db"}]),
        "generic_secrets[0].name",
    ),
]


@pytest.mark.parametrize(("config", "path"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_can_not_be(tmp_path: Path, config: dict[str, Any], path: str) -> None:
    found = problems(tmp_path, config)
    assert len(found) == 1, found
    assert path in found[0]
