"""What answers of both kinds have in common, as protobuf's own reader sees it."""

import pytest
from msgspec.structs import replace

from sidecar.authz.decision import Decision
from sidecar.authz.encoding.fields import set_headers, set_metadata
from sidecar.common.reasons import Grant, Reason
from sidecar.headers.field import How, ResponseHeader
from sidecar.keys.lifecycle import KeyState
from sidecar.pb import ext_authz_pb2 as pb
from tests.authz.world import SNAPSHOT

PLAIN = {"reason": "public", "route": "r", "key_state": "outage"}
ROWS: list[tuple[str, Decision, str | None, dict[str, str]]] = [
    ("an answer of the application's", Decision(Grant.PUBLIC, route="r"), None, PLAIN),
    (
        "one of ours: Envoy tells by the id",
        Decision(Grant.PUBLIC, route="r"),
        "id",
        {**PLAIN, "decision_id": "id"},
    ),
    (
        "what would have been denied",
        Decision(Grant.SHADOW, route="r", shadowed=Reason.TOKEN_EXPIRED),
        None,
        {**PLAIN, "reason": "shadow", "shadow": "token_expired"},
    ),
]


@pytest.mark.parametrize(
    ("decision", "decision_id", "fields"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_metadata(decision: Decision, decision_id: str | None, fields: dict[str, str]) -> None:
    response = pb.CheckResponse()
    snapshot = replace(SNAPSHOT, key_state=KeyState.OUTAGE)
    set_metadata(response, decision, snapshot, decision_id)
    written = response.dynamic_metadata.fields
    assert {name: value.string_value for name, value in written.items()} == fields


@pytest.mark.parametrize("how", How)
def test_a_header_keeps_its_order_its_bytes_and_how_it_is_set(how: How) -> None:
    ok = pb.OkHttpResponse()
    set_headers(ok.headers, [ResponseHeader("a", b"\xff", how), ResponseHeader("b", b"")])
    first, second = ok.headers
    assert (first.header.key, first.header.value) == ("a", b"\xff")
    assert first.append_action == int(how)
    assert (second.header.key, second.header.value) == ("b", b"")
