"""Configurations that ask Vault for all there is, and an OpenBao that has all of it."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_ns
from sidecar.common.errors import Fault
from sidecar.config import model, parse_config
from sidecar.context import AppContext
from sidecar.runtime import serve
from sidecar.runtime.instance import Instance
from sidecar.runtime.service_manager import ServiceManager
from sidecar.sds.service import SDS_SERVICE
from sidecar.transport.names import CHECK_METHOD
from tests.authz.checks import check_request
from tests.support.minting import TENANT, Issuer
from tests.support.real import NAMESPACE
from tests.support.waiting import until

_BASE = """\
listen:
  authz: {{address: "unix:{folder}/authz"}}
  sds: {{address: "unix:{folder}/sds"}}
  admin: {{address: "unix:{folder}/admin"}}
  drain_seconds: 0.1
  drain_notice_seconds: 0
vault: {{address: "{vault}", auth: {{method: token_file, path: {token}}}{namespace}}}
routes: [{{name: all, path_prefix: /}}]
keys: {{poll_seconds: 0.3, revocations: {{path: iam/revocations, poll_seconds: 0.3{spread}}}}}
"""
FIRST = (
    _BASE
    + """\
tokens:
  issuers:
    - {{issuer: "https://one.example", audiences: [a], keys: {{source: vault_kv}}}}
    - issuer: https://two.example
      audiences: [a]
      keys: {{source: vault_transit, name: jwt}}
      claims: {{tenant: {{path: org, tenants_from: {{path: iam/tenants/two}}}}}}
modules: {{path: modules/publishers}}
limits: {{tenant: {{requests: 9, per_seconds: 1}}, tenants_from: {{path: limits/tenants}}}}
certificate_store: {{prefix: septem/store}}
issuers:
  - {{type: vault_pki, name: pki, role: edge, share: true}}
  - {{type: vault_kv, name: stored, prefix: septem/tls, poll_seconds: 0.3}}
certificates:
  - {{name: edge, issuer: pki, common_name: edge.example}}
  - {{name: kept.example, issuer: stored, common_name: kept.example}}
trust_bundles: [{{name: roots, roots: {{source: vault_kv, path: trust/platform}}, poll_seconds: 1}}]
session_ticket_keys: [{{name: tickets, path: tls/tickets, poll_seconds: 1}}]
generic_secrets: [{{name: oauth, path: edge/oauth, poll_seconds: 1}}]
audit:
  to:
    - {{sink: file, path: "{folder}/audit.jsonl"}}
    - sink: clickhouse
      url: http://127.0.0.1:1
      password: {{source: vault_kv, path: audit/clickhouse, poll_seconds: 1}}
  checkpoints: {{key: audit, seconds: 1}}
  pseudonyms: {{path: audit/pseudonyms, poll_seconds: 1}}
  spool: {{folder: "{folder}/spool", key: {{source: vault_transit, name: spool}}}}
"""
)
SECOND = (
    _BASE
    + """\
tokens: {{issuers: [{{issuer: "https://one.example", audiences: [a]}}]}}
issuers: [{{type: vault_pki, name: pki, role: edge}}]
on_demand:
  issuer: pki
  registry: {{source: vault_kv, path: edge/list, poll_seconds: 0.3}}
audit:
  to: {{sink: otlp, url: "http://127.0.0.1:1/v1/logs"}}
  spool: {{folder: "{folder}/spool", key: {{source: vault_kv, path: crypto/spool}}}}
"""
)
THIRD = (
    _BASE
    + """\
tokens: {{issuers: [{{issuer: "https://one.example", audiences: [a]}}]}}
issuers: [{{type: vault_pki, name: pki, role: edge}}]
on_demand:
  issuer: pki
  registry:
    source: vault_kv_prefix
    prefix: edge/domains
    poll_seconds: 0.3
    entry_ttl_seconds: 1
"""
)
CONFIGURATIONS = {
    "all that is polled": (FIRST, ""),
    "a list of domains": (SECOND, ", spread: false"),
    "an entry a domain": (THIRD, ", spread: false"),
}


WRITTEN = (
    "tls/tickets",
    "septem/store/certificates/pki/edge.example",
    "septem/store/leases/pki/edge.example",
    "audit/pseudonyms",
    "audit/pseudonyms/days",
)
"""The entries that a sidecar makes."""
TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def configuration(name: str, folder: Path, address: str, token: Path) -> model.Config:
    """Return one of the configurations, with its sockets and files in ``folder``."""
    text, spread = CONFIGURATIONS[name]
    namespace = f", namespace: {NAMESPACE}" if NAMESPACE else ""
    values = {"folder": folder, "vault": address, "token": token}
    return parse_config(text.format(**values, namespace=namespace, spread=spread), "test")


def fill(openbao: OpenBao, issuer: Issuer) -> None:
    """Put into an OpenBao all that the configurations name."""
    kv = openbao.client.secrets.kv.v2
    put = partial(kv.create_or_update_secret)
    openbao.enable_pki(["example"])
    openbao.enable_transit()
    for name, kind in {"jwt": "ecdsa-p256", "audit": "ed25519", "spool": "aes256-gcm96"}.items():
        openbao.client.secrets.transit.create_key(name, key_type=kind)
    public = issuer.private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    for _ in range(2):  # of one version there is no history to see
        openbao.put_key(public.decode())
    openbao.put_publishers({"acme": public.decode()})
    openbao.put_tenant_limits({TENANT: "5/1s"})
    put("iam/tenants/two", {"acme": TENANT})
    openbao.put_revocations({"kids": ["gone"]})
    put("iam/revocations/more", {"kids": ["gone-too"]})
    made = openbao.issue("kept.example")
    put(
        "septem/tls/kept.example",
        {"certificate": made["certificate"], "private_key": made["private_key"]},
    )
    put("trust/platform", {"value": made["issuing_ca"]})
    put("edge/oauth", {"value": "secret"})
    put("edge/list", {"domains": [{"domain": "shop.example", "tenant_id": TENANT}]})
    put("edge/domains/shop.example", {"domain": "shop.example", "tenant_id": TENANT})
    put("audit/clickhouse", {"value": "secret"})
    put("crypto/spool", {"value": base64.b64encode(bytes(32)).decode()})


def unwrite(openbao: OpenBao) -> None:
    """Remove what a sidecar writes when it finds nothing."""
    kv = openbao.client.secrets.kv.v2
    for path in WRITTEN:
        kv.delete_metadata_and_all_versions(path)


_SLOW = ("vault_login", "crl/pki")
"""Read every some seconds, or minutes."""


class Running:
    """A sidecar in this process, and all that it has said."""

    def __init__(self, context: AppContext, caplog: pytest.LogCaptureFixture) -> None:
        self.context = context
        self._caplog = caplog
        self.fault = ""
        """Why it did not start."""

    @property
    def said(self) -> str:
        """Everything that an operator can read: the log, ``/readyz``, why it did not start."""
        health = self.context.health
        words = (record.getMessage() for record in self._caplog.records)
        return "\n".join((self.fault, *health.problems.values(), *health.facts.values(), *words))

    async def asked(self) -> None:
        """Have a Check decided, of which there is an audit line then."""
        async with self._channel(self.context.config.listen.authz.address) as channel:
            await channel.unary_unary(CHECK_METHOD)(check_request(), timeout=10)

    @asynccontextmanager
    async def subscribed(self, name: str) -> AsyncIterator[None]:
        """Hold a subscription to a secret while the block runs, as an Envoy does.

        Where SDS is not served, because the start failed before, there is none.
        """
        sds = self.context.config.listen.sds
        assert sds is not None
        if not Path(sds.address.removeprefix("unix:")).exists():
            yield
            return
        async with self._channel(sds.address) as channel:
            stream = channel.stream_stream(f"/{SDS_SERVICE}/DeltaSecrets")()
            await stream.write(
                bytes(DeltaDiscoveryRequest(type_url=TYPE, resource_names_subscribe=[name]))
            )
            try:
                yield
            finally:
                stream.cancel()

    def _channel(self, address: str) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(address)

    @property
    def forbidden(self) -> list[str]:
        """The operations that Vault has refused because of the policy."""
        samples = (each for family in self.context.metrics.collect() for each in family.samples)
        return [
            each.labels["operation"]
            for each in samples
            if each.labels.get("outcome") == "VaultForbidden"
        ]

    async def settled(self) -> None:
        """Wait until each source that is polled has been read two times more."""
        polls = self.context.polls
        polls = [each for each in polls if each.part not in _SLOW]
        before = {each: sum(each.outcomes.values()) for each in polls}
        await until(
            lambda: all(sum(each.outcomes.values()) >= before[each] + 2 for each in polls),
            20,
            explain=lambda: [(each.part, each.outcomes) for each in polls],
        )


@asynccontextmanager
async def running(
    config: model.Config, caplog: pytest.LogCaptureFixture, *, start_seconds: float = 3.0
) -> AsyncIterator[Running]:
    """Start all components of a sidecar in this process; end them after the block.

    A start that is not over within ``start_seconds`` goes on during the block.
    """
    caplog.clear()
    caplog.set_level(logging.INFO, "sidecar")
    context = AppContext(config)
    manager = ServiceManager(None, context.health, context.waits, monotonic_ns)
    instance = Instance(config, manager, context, take_over=False)
    found = Running(context, caplog)
    start = partial(serve._start, Path("test.yaml"))
    starting = asyncio.create_task(instance.start(start))
    try:
        await asyncio.wait([starting], timeout=start_seconds)
        if starting.done():
            try:
                starting.result()
            except Fault as fault:
                found.fault = str(fault)
        yield found
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await instance.close()
