"""Discovery messages and secrets, held against envoy-data-plane's own reading of them."""

import pytest
from envoy_data_plane.envoy.config.core.v3 import Extension, Node
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DiscoveryRequest
from envoy_data_plane.google.rpc import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.sds import messages, resources
from sidecar.sds.messages import Envelope, MessageFault
from sidecar.sds.resources import ResourceFault
from sidecar.sds.subscription import DeltaRequest, SotwRequest

NODE = Node(
    id="gw-1",
    cluster="edge",
    extensions=[Extension(name=f"filter-{n}", type_urls=["a", "b"]) for n in range(500)],
)


def test_a_state_of_the_world_request() -> None:
    raw = DiscoveryRequest(
        node=NODE, type_url="t", resource_names=["a", "b"], response_nonce="3", version_info="v",
        error_detail=Status(code=13, message="BAD"),
    )  # fmt: skip
    assert messages.read_sotw(bytes(raw)) == (
        Envelope("gw-1", "t"),
        SotwRequest(("a", "b"), "3", "BAD"),
    )


def test_a_delta_request() -> None:
    raw = DeltaDiscoveryRequest(
        node=NODE, type_url="t", resource_names_subscribe=["a"], resource_names_unsubscribe=["b"],
        initial_resource_versions={"a": "1"}, response_nonce="3",
    )  # fmt: skip
    assert messages.read_delta(bytes(raw)) == (
        Envelope("gw-1", "t"),
        DeltaRequest(("a",), ("b",), {"a": "1"}, "3", None),
    )


def test_a_request_without_a_node_and_an_empty_one() -> None:
    raw = bytes(DiscoveryRequest(type_url="t", resource_names=["a"]))
    assert messages.read_sotw(raw) == (Envelope("", "t"), SotwRequest(("a",)))
    assert messages.read_delta(b"") == (Envelope("", ""), DeltaRequest())


def test_the_node_is_not_decoded() -> None:
    """That is what makes the first request of a stream cheap: whatever is in it is skipped."""
    node = b"\x0a\x04gw-1" + b"\x12\x02\xff\xfe" * 10
    raw = b"\x12" + bytes([len(node)]) + node + bytes(DiscoveryRequest(type_url="t"))
    assert messages.read_sotw(raw)[0] == Envelope("gw-1", "t")


def test_foreign_words_are_bounded_and_fit_for_a_log_line() -> None:
    error = Status(message="x\n{\x1b[31m" + "y" * 10_000)
    raw = DiscoveryRequest(node=Node(id="a\nb" * 100), error_detail=error)
    envelope, request = messages.read_sotw(bytes(raw))
    assert request.error is not None
    assert request.error.startswith("x?{?[31my")
    assert len(request.error) == 512
    assert envelope.node.startswith("a?ba?b")
    assert len(envelope.node) == 128


BAD = [
    ("a field cut short", b"\x1a\x05ab"),
    ("a tag without a field", b"\x1a"),
    ("a fixed field cut short", b"\x09\x00\x00"),
    ("a group", b"\x0b"),
    ("an endless number", b"\xff" * 11),
    ("a node that is no message", b"\x12\x01\xff"),
    ("a name that is no UTF-8", b"\x1a\x02\xff\xfe"),
    ("a number where text belongs", b"\x18\x01"),
]


@pytest.mark.parametrize("raw", [b[1] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_no_request(raw: bytes) -> None:
    with pytest.raises(MessageFault):
        messages.read_sotw(raw)


@settings(deadline=None)  # a busy machine is no defect
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (messages.read_sotw, messages.read_delta):
        try:
            envelope, _ = read(raw)
        except MessageFault:
            continue
        assert isinstance(envelope, Envelope)


def test_a_certificate() -> None:
    resource = resources.tls_certificate("edge", "7", b"chain", b"key")
    secret = Secret.parse(resource.body)
    assert secret.name == resource.name == "edge"
    certificate = secret.tls_certificate
    assert certificate is not None
    assert certificate.certificate_chain is not None
    assert certificate.private_key is not None
    assert certificate.certificate_chain.inline_bytes == b"chain"
    assert certificate.private_key.inline_bytes == b"key"
    assert repr(resource) == f"Resource('edge', '7', {len(resource.body)} bytes)"


def test_a_validation_context() -> None:
    resource = resources.validation_context(
        "mesh", "1", b"roots", uris=["spiffe://septem/a"], dns_names=["a.example"],
        spki_pins=["cGlu"], crl_pem=b"crl",
    )  # fmt: skip
    context = Secret.parse(resource.body).validation_context
    assert context is not None
    assert context.trusted_ca is not None
    assert context.crl is not None
    assert context.trusted_ca.inline_bytes == b"roots"
    assert context.crl.inline_bytes == b"crl"
    assert context.verify_certificate_spki == ["cGlu"]
    matchers = [
        (each.san_type.name, each.matcher.exact)
        for each in context.match_typed_subject_alt_names
        if each.matcher is not None and each.san_type.name is not None
    ]
    assert matchers == [("URI", "spiffe://septem/a"), ("DNS", "a.example")]


def test_a_validation_context_with_roots_only() -> None:
    context = Secret.parse(resources.validation_context("m", "1", b"r").body).validation_context
    assert context is not None
    assert context.crl is None
    assert not context.match_typed_subject_alt_names


def test_session_ticket_keys() -> None:
    keys = [b"a" * 80, b"b" * 80]
    secret = Secret.parse(resources.session_ticket_keys("t", "1", keys).body)
    assert secret.session_ticket_keys is not None
    assert [each.inline_bytes for each in secret.session_ticket_keys.keys] == keys


@pytest.mark.parametrize("keys", [[], [b"short"], [b"a" * 80, b"b" * 79]])
def test_session_ticket_keys_of_another_length(keys: list[bytes]) -> None:
    with pytest.raises(ResourceFault, match="80 bytes"):
        resources.session_ticket_keys("t", "1", keys)


def test_a_generic_secret() -> None:
    secret = Secret.parse(resources.generic_secret("g", "1", {"": b"one", "b": b"two"}).body)
    generic = secret.generic_secret
    assert generic is not None
    assert generic.secret is not None
    assert generic.secret.inline_bytes == b"one"
    assert {name: each.inline_bytes for name, each in generic.secrets.items()} == {"b": b"two"}
