"""Peers by IP address, as a real Envoy verifies them by the context that it is given."""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf import json_format

from demo.envoyproxy import Envoy
from demo.process import free_ports
from sidecar.common.clock import wall_seconds
from sidecar.config.secrets import TrustBundle
from sidecar.pb import sds_pb2 as pb
from sidecar.sds.secrets.component import encode_bundle
from tests.support.authorities import Ca, pem
from workload.mtls.memory import in_memory
from workload.mtls.peers import PeerPolicy, PeerRefused
from workload.x509.anchors import read_anchors

pytestmark = pytest.mark.real
CA = Ca("platform")
PEERS = ("10.0.0.7", "2001:0db8:0::7", "db.internal")
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
ECHO = "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an Envoy that echoes whom it admits."""
    listen, admin = free_ports(2)
    bundle = TrustBundle(name="peers", peers=PEERS)
    resource = encode_bundle(bundle, read_anchors([CA.chain], (), wall_seconds()))
    secret = pb.Secret.FromString(resource.body)
    own = CA.material(dns_names=("envoy",))
    context: dict[str, Any] = {
        "tls_certificates": [{
            "certificate_chain": {"inline_string": own.chain_pem.decode()},
            "private_key": {"inline_string": own.key_pem.decode()},
        }],
        "validation_context": json_format.MessageToDict(
            secret.validation_context, preserving_proto_field_name=True
        ),
    }  # fmt: skip
    chain = {
        "transport_socket": {"name": "tls", "typed_config": {
            "@type": TLS, "require_client_certificate": True, "common_tls_context": context}},
        "filters": [{"name": "echo", "typed_config": {"@type": ECHO}}],
    }  # fmt: skip
    envoy = Envoy(
        {
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
            "static_resources": {"listeners": [{
                "name": "peers", "filter_chains": [chain],
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": listen}},
            }]},
        },
        tmp_path_factory.mktemp("addresses"),
    )  # fmt: skip
    yield listen
    envoy.stop()


async def admitted(port: int, names: tuple[str, ...], addresses: tuple[str, ...]) -> bool:
    certificate, key = CA.leaf(dns_names=names, addresses=addresses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with in_memory(pem(certificate).encode() + private) as path:
        context.load_cert_chain(path)
    by_library = True
    try:
        PeerPolicy.of(PEERS).admit(certificate)
    except PeerRefused:
        by_library = False
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="envoy"
        )
        writer.write(b"hello")
        by_envoy = await asyncio.wait_for(reader.read(5), 10) == b"hello"
        writer.transport.abort()
    except OSError:
        by_envoy = False
    assert by_library is by_envoy, "one answer for every way a peer comes in"
    return by_envoy


PEER_ROWS: list[tuple[str, tuple[str, ...], tuple[str, ...], bool]] = [
    ("its address", (), ("10.0.0.7",), True),
    ("its address of IPv6", (), ("2001:db8::7",), True),
    ("one of several", ("x",), ("10.0.0.1", "10.0.0.7"), True),
    ("its name", ("db.internal",), (), True),
    ("another address", (), ("10.0.0.8",), False),
    ("an address as a DNS name", ("10.0.0.7",), (), False),
    ("nothing", (), (), False),
]


@pytest.mark.parametrize("row", PEER_ROWS, ids=[row[0] for row in PEER_ROWS])
async def test_envoy_and_the_library_admit_the_same(
    port: int, row: tuple[str, tuple[str, ...], tuple[str, ...], bool]
) -> None:
    _, names, addresses, is_admitted = row
    assert await admitted(port, names, addresses) is is_admitted
