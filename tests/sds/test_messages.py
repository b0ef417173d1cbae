"""Discovery messages, compared with envoy-data-plane's own reading of them."""

import dataclasses
from importlib import import_module

import pytest
from envoy_data_plane.envoy.config.core.v3 import Extension, Node
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    SubjectAltNameMatcherSanType,
)
from envoy_data_plane.envoy.service.discovery.v3 import DeltaDiscoveryRequest, DiscoveryRequest
from envoy_data_plane.google.rpc import Status
from google.protobuf.descriptor import Descriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.pb import sds_pb2 as pb
from sidecar.sds import messages
from sidecar.sds.messages import Envelope, MessageFault
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


def test_a_field_of_another_type_is_skipped_as_one_that_is_unknown() -> None:
    """So does Envoy's own protobuf: a number stands where a name belongs."""
    raw = b"\x18\x01" + bytes(DiscoveryRequest(type_url="t"))
    assert messages.read_sotw(raw) == (Envelope("", "t"), SotwRequest(()))


def test_words_that_are_no_text_refuse_no_request() -> None:
    raw = b"\x12\x04\x0a\x02\xff\xfe" + b"\x32\x04\x12\x02\xff\xfe"
    envelope, request = messages.read_sotw(raw)
    assert (envelope.node, request.error) == ("\ufffd\ufffd", "\ufffd\ufffd")


def test_an_error_without_words_is_an_error() -> None:
    """A rejection must not be taken for an acknowledgement."""
    raw = bytes(DiscoveryRequest(error_detail=Status(code=13)))
    assert messages.read_sotw(raw)[1].error == ""
    assert messages.read_delta(b"\x3a\x00")[1].error == ""


FILES = (
    "envoy.service.discovery.v3",
    "envoy.extensions.transport_sockets.tls.v3",
    "envoy.config.core.v3",
    "envoy.type.matcher.v3",
    "google.rpc",
    "google.protobuf",
)
MESSAGES = sorted(pb.DESCRIPTOR.message_types_by_name.values(), key=lambda each: each.name)


@pytest.mark.parametrize("ours", MESSAGES, ids=[each.name for each in MESSAGES])
def test_every_field_has_envoys_number_and_kind(ours: Descriptor) -> None:
    modules = [import_module(f"envoy_data_plane.{file}") for file in FILES]
    theirs = next(found for each in modules if (found := getattr(each, ours.name, None)))
    fields = {each.name: each.metadata["betterproto"] for each in dataclasses.fields(theirs)}
    for field in ours.fields:
        assert field.number == fields[field.name].number, field.full_name
        assert field.is_repeated is (
            fields[field.name].repeated or fields[field.name].map_meta is not None
        ), field.full_name


def test_every_kind_of_name_has_envoys_number() -> None:
    for name, value in pb.SubjectAltNameMatcher.SanType.items():
        assert SubjectAltNameMatcherSanType.from_string(name).value == value


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
