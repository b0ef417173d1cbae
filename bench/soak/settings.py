"""The configurations of the soak's sidecars and of its Envoy: pure, from where everything is."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.soak.policy import POLICIES, Policy
from demo.envoyproxy import EdgePorts, edge_config, readme_pieces

ISSUERS = ("https://iam.soak.example", "https://partner.soak.example")
AUDIENCE = "https://api.soak.example"
KEY_PATHS = ("iam/jwt-signing-key", "iam/partner-signing-key")
EDGE = "edge.soak.example"
"""The name of the platform's own certificate, of which every sidecar of the fleet has the same."""
LONG_TRY_SECONDS = 3
VAULT_POLICY = """
path "secret/data/iam/*"            { capabilities = ["read"] }
path "secret/metadata/iam/*"        { capabilities = ["read", "list"] }
path "secret/detailed-metadata/iam/revocations" { capabilities = ["list"] }
path "secret/data/modules/publishers" { capabilities = ["read"] }
path "pki/sign/edge"                { capabilities = ["update"] }
path "auth/token/renew-self"        { capabilities = ["update"] }
path "secret/data/septem/certificates/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/certificates/*" { capabilities = ["create", "read", "update"] }
"""


class Unit(NamedTuple):
    """Where one sidecar listens and writes."""

    number: int
    workers: int
    first_check_port: int
    sds_port: int
    admin_port: int
    folder: Path

    @property
    def check_ports(self) -> range:
        """An endpoint for each process that answers Checks."""
        return range(self.first_check_port, self.first_check_port + self.workers)

    @property
    def audit_log(self) -> Path:
        """Its audit log."""
        return self.folder / "audit.jsonl"


class Shared(NamedTuple):
    """What all sidecars share."""

    vault_address: str
    vault_token: Path
    registry: Path
    redis_address: str
    redis_password: Path
    dual_key_seconds: float
    poll_seconds: float


def sidecar_settings(
    unit: Unit, shared: Shared, policy: Policy, drain_seconds: float
) -> dict[str, Any]:
    """Return one sidecar's file."""
    loopback = "127.0.0.1:{}".format
    issuer = {"type": "vault_pki", "role": "edge", "share": True}
    authz = {"address": loopback(unit.first_check_port), "workers": unit.workers}
    return {
        "listen": {
            "authz": authz,
            "sds": {"address": loopback(unit.sds_port)},
            "admin": {"address": loopback(unit.admin_port)},
            # More than Envoy's health check needs to see it.
            "drain_notice_seconds": 2,
            "drain_seconds": drain_seconds,
        },
        "vault": {
            "address": shared.vault_address,
            "auth": {"method": "token_file", "path": str(shared.vault_token)},
            # More than the defaults: where the machine is busy, a slow answer is no outage.
            "timeout_seconds": 3.0,
        },
        "tokens": {
            "issuers": [
                {
                    "issuer": name,
                    "audiences": [AUDIENCE],
                    "keys": {"source": "vault_kv", "path": path},
                }
                for name, path in zip(ISSUERS, KEY_PATHS, strict=True)
            ],
            # So small that it is full, and memory level, long before the end.
            "cache_entries": 1024,
        },
        "keys": {
            "poll_seconds": shared.poll_seconds,
            "dual_key_seconds": shared.dual_key_seconds,
            "revocations": {"path": "iam/revocations"},
        },
        "routes": [each.as_settings() for each in policy.routes],
        "headers": {
            "referrer_policy": policy.referrer,
            "csp": {name: {"enforced": [dict(each)]} for name, each in POLICIES.items()},
        },
        "limits": {
            "tenant": {"requests": 100_000},
            "max_keys": 1000,
            "redis": {
                "address": shared.redis_address,
                "username": "septem",
                "password_file": str(shared.redis_password),
                "timeout_seconds": 3.0,
            },
        },
        "modules": {},
        "issuers": [{"name": "internal", **issuer}, {"name": "customers", **issuer}],
        "certificates": [{"name": "edge", "issuer": "internal", "common_name": EDGE}],
        "certificate_store": {},
        "on_demand": {
            "registry": {"source": "file", "path": str(shared.registry), "poll_seconds": 0.2},
            "issuer": "customers",
            "retry_seconds": 0.2,
            "max_retry_seconds": 1,
            "orders_per_minute": 6000,
        },
        # So short that a full disk overflows it: what is dropped must be counted.
        "audit": {"to": {"sink": "file", "path": str(unit.audit_log)}, "queue_lines": 64},
    }


def envoy_settings(ports: EdgePorts, units: Sequence[Unit], calls_port: int) -> Any:
    """Return ``envoy/edge-on-demand.yaml`` for these sidecars, and a backend of gRPC.

    What envoy/README.md says of several sidecars is put in as it stands there. Beside that:
    a Check may take longer, and so may each try of it. What is judged is which answer comes, on a
    machine that may be busy with something else; how soon it comes is the benchmarks' to say.
    """
    config = edge_config(ports, name="edge-on-demand.yaml")
    static = config["static_resources"]
    clusters = {each["name"]: each for each in static["clusters"]}
    check_ports = [port for unit in units for port in unit.check_ports]
    clusters["sidecar_authz"].update(readme_pieces("Several sidecars")[0])
    _lead_to(clusters["sidecar_authz"], check_ports)
    _lead_to(clusters["sidecar_sds"], [unit.sds_port for unit in units])
    calls = copy.deepcopy(clusters["application"])
    calls["name"] = "calls"
    calls["typed_extension_protocol_options"] = clusters["sidecar_sds"][
        "typed_extension_protocol_options"
    ]
    _lead_to(calls, [calls_port])
    static["clusters"].append(calls)
    _, filter_piece = readme_pieces("Several workers")
    (https,) = (each for each in static["listeners"] if each["name"] == "https")
    for chain in https["filter_chains"]:
        manager = chain["filters"][0]["typed_config"]
        _patient(manager, filter_piece)
        (host,) = manager["route_config"]["virtual_hosts"]
        lead = next(each for each in host["routes"] if each["match"] == {"prefix": "/"})
        route = {**copy.deepcopy(lead["route"]), "cluster": "calls"}
        host["routes"].insert(-1, {"match": {"prefix": "/septem.Soak"}, "route": route})
    return config


def _lead_to(cluster: dict[str, Any], ports: Sequence[int]) -> None:
    places = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in ports
    ]
    cluster["load_assignment"] = {
        "cluster_name": cluster["name"],
        "endpoints": [{"lb_endpoints": places}],
    }


def _patient(manager: dict[str, Any], piece: Mapping[str, Any]) -> None:
    service = copy.deepcopy(dict(piece["grpc_service"]))
    service["timeout"] = "20s"
    service["retry_policy"]["retry_back_off"]["max_interval"] = f"{LONG_TRY_SECONDS}s"
    (ext_authz,) = (each for each in manager["http_filters"] if "ext_authz" in each["name"])
    ext_authz["typed_config"]["grpc_service"] = service
    for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
        settings = route.get("typed_per_filter_config", {}).get("envoy.filters.http.ext_authz", {})
        if "grpc_service" in settings.get("check_settings", {}):
            settings["check_settings"]["grpc_service"] = copy.deepcopy(service)
