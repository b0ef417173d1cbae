"""The discovery messages: bytes to the values of ``subscription``, and back.

The first request of a stream describes the whole Envoy (``node``, 60 KB with every extension
it knows): betterproto2 takes 35 ms to decode that, on the loop that also answers Checks. Only
the node's id is used. So ``node`` is cut out of the bytes first, and a request takes a tenth
of a millisecond.
"""

from collections.abc import Iterator
from typing import NamedTuple

from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy_data_plane.envoy.service.discovery.v3 import Resource as DeltaResource
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.google.rpc import Status

from sidecar.common.errors import Fault
from sidecar.sds.resources import SDS_TYPE_URL
from sidecar.sds.subscription import (
    DeltaAnswer,
    DeltaRequest,
    Resource,
    SotwAnswer,
    SotwRequest,
)

MAX_ERROR_LENGTH = 512
MAX_NODE_ID_LENGTH = 128
_SOTW_NODE_FIELD = 2
_DELTA_NODE_FIELD = 1
_NODE_ID_FIELD = 1
_CONTINUATION_BIT = 0x80
_UNREADABLE = (ValueError, LookupError, TypeError, EOFError, AttributeError, ArithmeticError)
"""What betterproto2 raises for invalid bytes; it has no exception of its own."""


class MessageFault(Fault):
    """The bytes are not a discovery request."""


class Envelope(NamedTuple):
    """The node and the type of a request. The node is set once per stream, else empty."""

    node: str
    type_url: str


def read_sotw(raw: bytes) -> tuple[Envelope, SotwRequest]:
    """Parse a ``DiscoveryRequest``. Raises ``MessageFault``."""
    rest, node = _cut_node(raw, _SOTW_NODE_FIELD)
    try:
        request = DiscoveryRequest.parse(rest)
    except _UNREADABLE:
        raise MessageFault("the message is not a DiscoveryRequest") from None
    return Envelope(node, request.type_url), SotwRequest(
        names=tuple(request.resource_names),
        nonce=request.response_nonce,
        error=_words(request.error_detail),
    )


def write_sotw(answer: SotwAnswer) -> bytes:
    """Serialise a ``DiscoveryResponse``."""
    return bytes(
        DiscoveryResponse(
            version_info=answer.version,
            nonce=answer.nonce,
            type_url=SDS_TYPE_URL,
            resources=[_any(resource) for resource in answer.resources],
        )
    )


def read_delta(raw: bytes) -> tuple[Envelope, DeltaRequest]:
    """Parse a ``DeltaDiscoveryRequest``. Raises ``MessageFault``."""
    rest, node = _cut_node(raw, _DELTA_NODE_FIELD)
    try:
        request = DeltaDiscoveryRequest.parse(rest)
    except _UNREADABLE:
        raise MessageFault("the message is not a DeltaDiscoveryRequest") from None
    return Envelope(node, request.type_url), DeltaRequest(
        subscribe=tuple(request.resource_names_subscribe),
        unsubscribe=tuple(request.resource_names_unsubscribe),
        initial_versions=dict(request.initial_resource_versions),
        nonce=request.response_nonce,
        error=_words(request.error_detail),
    )


def write_delta(answer: DeltaAnswer) -> bytes:
    """Serialise a ``DeltaDiscoveryResponse``."""
    return bytes(
        DeltaDiscoveryResponse(
            nonce=answer.nonce,
            type_url=SDS_TYPE_URL,
            resources=[
                DeltaResource(name=each.name, version=each.version, resource=_any(each))
                for each in answer.resources
            ],
            removed_resources=list(answer.removed),
        )
    )


def _any(resource: Resource) -> Any:
    return Any(type_url=SDS_TYPE_URL, value=resource.body)


def _words(error: Status | None) -> str | None:
    return None if error is None else _printable(error.message, MAX_ERROR_LENGTH)


def _printable(text: str, limit: int) -> str:
    """Return foreign text in a form that is safe in a log line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:limit])


def _cut_node(raw: bytes, field: int) -> tuple[bytes, str]:
    """Return the message without its node, and the node's id."""
    kept, node = [], ""
    for number, start, body, end in _fields(raw):
        if number != field:
            kept.append(raw[start:end])
            continue
        node = _node_id(raw[body:end])
    return b"".join(kept), _printable(node, MAX_NODE_ID_LENGTH)


def _node_id(node: bytes) -> str:
    for number, _, body, end in _fields(node):
        if number == _NODE_ID_FIELD:
            return node[body:end].decode("utf-8", "replace")
    return ""


def _fields(raw: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Walk a message: each field's number, and where it, its content and its end are.

    https://protobuf.dev/programming-guides/encoding; groups are not supported.
    """
    position = 0
    while position < len(raw):
        start = position
        tag, position = _varint(raw, position)
        match tag & 7:
            case 0:
                body = position
                _, position = _varint(raw, position)
            case 1:
                body, position = position, position + 8
            case 2:
                length, body = _varint(raw, position)
                position = body + length
            case 5:
                body, position = position, position + 4
            case _:
                raise MessageFault("the message has a field of no known wire type")
        if position > len(raw):
            raise MessageFault("the message ends within a field")
        yield tag >> 3, start, body, position


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(raw):
            raise MessageFault("the message ends within a field")
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & _CONTINUATION_BIT:
            return value, position
    raise MessageFault("the message has a number of more than ten bytes")
