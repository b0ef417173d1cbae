"""What answers of both kinds have in common: headers, and the metadata that Envoy's log reads."""

from collections.abc import Iterable

from sidecar.authz.decision import Decision, Snapshot
from sidecar.headers.field import ResponseHeader
from sidecar.pb import ext_authz_pb2 as pb

MAX_SHARED = 4096
"""The most answers, or shared parts of one, that are kept encoded."""


def set_headers(into: object, headers: Iterable[ResponseHeader]) -> None:
    """Write headers into a repeated ``HeaderValueOption``."""
    for name, value, how in headers:
        option = into.add(append_action=int(how))  # type: ignore[attr-defined]
        option.header.key = name
        option.header.value = value


def set_metadata(
    response: pb.CheckResponse,
    decision: Decision,
    snapshot: Snapshot,
    decision_id: str | None = None,
) -> None:
    """Set what the access log and per-tenant rate limits read.

    A ``decision_id`` is given where the answer is encoded with it; where an answer is kept, it
    is filled in later.
    """
    fields = response.dynamic_metadata.fields
    fields["reason"].string_value = decision.outcome
    fields["route"].string_value = decision.route
    fields["key_state"].string_value = snapshot.key_state
    if decision.shadowed is not None:
        fields["shadow"].string_value = decision.shadowed
    if decision_id is not None:
        fields["decision_id"].string_value = decision_id
