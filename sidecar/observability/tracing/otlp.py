"""Spans as OTLP: the official messages, and one POST to a collector (OTLP 1.x, HTTP, protobuf).

Imported by a main process with the section ``tracing`` only.
"""

import os
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecar.common.http_client import make_session
from sidecar.config import model
from sidecar.observability.tracing.exporter import CollectorRefusesError, RetryLaterError
from sidecar.observability.tracing.header_file import read_headers
from sidecar.observability.tracing.tracer import SpanRecord

_CONTENT_TYPE = "application/x-protobuf"
_SUCCESS = 200
_RETRYABLE = frozenset({429, 502, 503, 504})
"""OTLP 1.x, "Retryable Response Codes"; every other one is for good."""
_MAX_RETRY_AFTER = 60.0
_MAX_ANSWER_BYTES = 1_048_576
_SPAN_ID_BYTES = 8
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
"""Bits of a span's flags beside W3C's: its parent's context came from another process."""
_SLICE = 16
"""Spans that are encoded at once: between two slices other threads, that of Checks, may run."""
_FAULTS = frozenset({"internal_fault", "keys_degraded"})


class OtlpCollector:
    """A collector's address. ``send`` encodes and posts a batch; each call may block."""

    def __init__(self, settings: model.Tracing, version: str) -> None:
        self._settings = settings
        self._resource = [
            _text("service.name", settings.service_name),
            _text("service.version", version),
        ]
        self._headers = None if settings.headers_file is None else Path(settings.headers_file)
        self._session: Any = None

    def send(self, records: Sequence[SpanRecord]) -> int:
        """Send a batch; return how many of its spans the collector has rejected.

        Raises ``RetryLaterError`` if it may be sent again, ``CollectorRefusesError`` if it may
        not, and ``Fault`` for a file of headers that can't be used.
        """
        headers = {"content-type": _CONTENT_TYPE}
        if self._headers is not None:  # read for each: a rotated one needs no restart
            headers |= read_headers(self._headers)
        if self._session is None:
            self._session = make_session(
                ca_file=self._settings.ca_file, max_response_bytes=_MAX_ANSWER_BYTES
            )
        response = self._session.post(
            self._settings.url,
            data=encode(records, self._resource),
            headers=headers,
            timeout=self._settings.timeout_seconds,
            allow_redirects=False,
        )
        if response.status_code == _SUCCESS:
            return min(_rejected(response.content), len(records))
        answers = f"the collector answers {response.status_code}"
        if response.status_code in _RETRYABLE:
            raise RetryLaterError(answers, _retry_after(response.headers))
        raise CollectorRefusesError(answers)

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()


def encode(records: Sequence[SpanRecord], resource: Sequence[KeyValue] = ()) -> bytes:
    """Return an ``ExportTraceServiceRequest``."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(resource)
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "sidecar.authz"
    for number, record in enumerate(records):
        if number and number % _SLICE == 0:
            time.sleep(0)  # lets go of the interpreter's lock
        of_scope.spans.append(_span(record))
    return request.SerializeToString()


def _span(record: SpanRecord) -> Span:
    attributes = [
        *_RPC,
        _recurring("septem.decision", record.outcome),
        _recurring("septem.reason", record.reason),
        _recurring("septem.status", record.status),
        _recurring("septem.route", record.route),
        _text("septem.decision_id", record.decision_id),
    ]
    if record.tenant:
        attributes.append(_recurring("septem.tenant", record.tenant))
    if record.request_id:
        attributes.append(_text("septem.request_id", record.request_id))
    has_parent = _HAS_IS_REMOTE | _IS_REMOTE if record.parent_id else _HAS_IS_REMOTE
    return Span(
        trace_id=bytes.fromhex(record.trace_id),
        span_id=os.urandom(_SPAN_ID_BYTES),
        parent_span_id=bytes.fromhex(record.parent_id),
        flags=record.flags | has_parent,
        trace_state=record.state,
        name="Check",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=record.begins,
        end_time_unix_nano=record.ends,
        attributes=attributes,
        # A denial is what was asked for; an error is the sidecar's own.
        status=Status(code=Status.STATUS_CODE_ERROR) if record.reason in _FAULTS else None,
    )


def _text(name: str, value: str | int) -> KeyValue:
    if isinstance(value, int):
        return KeyValue(key=name, value=AnyValue(int_value=value))
    return KeyValue(key=name, value=AnyValue(string_value=value))


_recurring = lru_cache(maxsize=4096)(_text)
_RPC = (
    _text("rpc.system", "grpc"),
    _text("rpc.service", "envoy.service.auth.v3.Authorization"),
    _text("rpc.method", "Check"),
)


def _rejected(body: bytes) -> int:
    """Return how many spans of an accepted batch were not (``partial_success``)."""
    try:
        answer = ExportTraceServiceResponse.FromString(body)
    except DecodeError:
        return 0  # it has accepted the batch; the rest of its answer has no meaning here
    return max(0, answer.partial_success.rejected_spans)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that the collector asks to wait, bounded; 0 if it names none."""
    value = headers.get("retry-after", "")
    return min(float(value), _MAX_RETRY_AFTER) if value.isascii() and value.isdigit() else 0.0
