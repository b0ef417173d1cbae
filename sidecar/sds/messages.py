"""The discovery messages: bytes to the values of ``subscription``, and back.

The first request of a stream describes the whole Envoy (``node``, 60 KB with every extension
it knows). The pruned proto (``proto/sds.proto``) has only the node's id, so that the rest is
skipped, and a request takes microseconds of the loop that also answers Checks.
"""

from typing import NamedTuple

from google.protobuf.message import DecodeError

from sidecar.common.errors import Fault
from sidecar.pb import sds_pb2 as pb
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


class MessageFault(Fault):
    """The bytes are not a discovery request."""


class Envelope(NamedTuple):
    """The node and the type of a request. The node is set once per stream, else empty."""

    node: str
    type_url: str


def read_sotw(raw: bytes) -> tuple[Envelope, SotwRequest]:
    """Parse a ``DiscoveryRequest``. Raises ``MessageFault``."""
    try:
        request = pb.DiscoveryRequest.FromString(raw)
    except DecodeError:
        raise MessageFault("the message is not a DiscoveryRequest") from None
    return _envelope(request), SotwRequest(
        names=tuple(request.resource_names),
        nonce=request.response_nonce,
        error=_error_of(request),
    )


def write_sotw(answer: SotwAnswer) -> bytes:
    """Serialise a ``DiscoveryResponse``."""
    return pb.DiscoveryResponse(
        version_info=answer.version,
        nonce=answer.nonce,
        type_url=SDS_TYPE_URL,
        resources=[_any(resource) for resource in answer.resources],
    ).SerializeToString()


def read_delta(raw: bytes) -> tuple[Envelope, DeltaRequest]:
    """Parse a ``DeltaDiscoveryRequest``. Raises ``MessageFault``."""
    try:
        request = pb.DeltaDiscoveryRequest.FromString(raw)
    except DecodeError:
        raise MessageFault("the message is not a DeltaDiscoveryRequest") from None
    return _envelope(request), DeltaRequest(
        subscribe=tuple(request.resource_names_subscribe),
        unsubscribe=tuple(request.resource_names_unsubscribe),
        initial_versions=dict(request.initial_resource_versions),
        nonce=request.response_nonce,
        error=_error_of(request),
    )


def write_delta(answer: DeltaAnswer) -> bytes:
    """Serialise a ``DeltaDiscoveryResponse``."""
    return pb.DeltaDiscoveryResponse(
        nonce=answer.nonce,
        type_url=SDS_TYPE_URL,
        resources=[
            pb.Resource(name=each.name, version=each.version, resource=_any(each))
            for each in answer.resources
        ],
        removed_resources=answer.removed,
    ).SerializeToString()


def _any(resource: Resource) -> pb.Any:
    return pb.Any(type_url=SDS_TYPE_URL, value=resource.body)


def _envelope(request: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest) -> Envelope:
    return Envelope(_printable(request.node.id, MAX_NODE_ID_LENGTH), request.type_url)


def _error_of(request: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest) -> str | None:
    if not request.HasField("error_detail"):
        return None
    return _printable(request.error_detail.message, MAX_ERROR_LENGTH)


def _printable(raw: bytes, limit: int) -> str:
    """Return foreign text in a form that is safe in a log line."""
    text = raw.decode("utf-8", "replace")[:limit]
    return "".join(letter if letter.isprintable() else "?" for letter in text)
