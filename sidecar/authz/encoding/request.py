"""What Envoy asks: a ``CheckRequest``, read as far as a decision looks at it."""

from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from sidecar.authz.decision import RequestView
from sidecar.authz.encoding.varint import varint
from sidecar.authz.request_ids import read_request_id
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.pb import ext_authz_pb2 as pb

_TRACE_CONTEXT = varint(1000 << 3 | 2)
"""The tag of ``AttributeContext.trace_context``."""
_USUAL_BYTES = 55
_USUAL = b"\x0a" + varint(len(_TRACE_CONTEXT) + 1 + _USUAL_BYTES) + _TRACE_CONTEXT + b"\x37"
"""What stands before a ``traceparent`` of version 00 without a ``tracestate``."""
Attributes = pb.AttributeContext
"""A request's attributes as they came. Whoever passes them on need not know what they are."""


def parse_request(raw: bytes) -> Attributes:
    """Parse a ``CheckRequest`` and return its attributes, unread.

    Raises ``Denied(request_malformed)`` for bytes that are no such message.
    """
    try:
        return pb.CheckRequest.FromString(raw).attributes
    except DecodeError as exc:
        raise Denied(Reason.REQUEST_MALFORMED, "the bytes are no CheckRequest") from exc


def carry_trace(traceparent: bytes, tracestate: bytes) -> bytes:
    """Encode a call's trace context, to be appended to the bytes of its ``CheckRequest``.

    A submessage that occurs twice is merged by every decoder of protobuf.
    """
    if not tracestate and len(traceparent) == _USUAL_BYTES:
        return _USUAL + traceparent
    context = b"%b\n%b" % (traceparent, tracestate) if tracestate else traceparent
    field = _TRACE_CONTEXT + varint(len(context)) + context
    return b"\x0a" + varint(len(field)) + field


def view_of(attributes: Attributes) -> RequestView:
    """Read what a decision looks at.

    A message that lacks what a decision needs is read as it is: the pipeline says what is
    missing.
    """
    http = attributes.request.http
    source = attributes.source
    headers: Mapping[str, bytes] = http.headers
    if http.HasField("header_map"):
        headers = _join(http.header_map.headers)
    return RequestView(
        http.method,
        http.host,
        http.path,
        headers,
        source.address.socket_address.address,
        source.principal,
        source.certificate,
        http.raw_body,
        read_request_id(headers).decode("ascii"),
        attributes.trace_context,
    )


def _join(raw_headers: Iterable[pb.HeaderValue]) -> dict[str, bytes]:
    """Join repeated headers by commas, as Envoy does where it does not send them raw."""
    joined: dict[str, bytes] = {}
    for header in raw_headers:
        name = header.key.lower()
        value = header.raw_value or header.value
        joined[name] = joined[name] + b"," + value if name in joined else value
    return joined
