"""Answers of the sidecar's own: what they say to each kind of client, and what they share."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.authz.decision import Decision
from sidecar.authz.encoding.denied import (
    DenialKey,
    challenge_of,
    encode_denied,
    encode_preflight,
    problem_body,
)
from sidecar.authz.encoding.fields import MAX_SHARED
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.reasons import ANSWERS, GRPC_CODES, Answer, Grant, GrpcCode, Reason
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.keyring import EMPTY_RING
from tests.authz.conftest import CONFIG
from tests.support.ids import ONE_ID, numbered

CODES = {
    400: GrpcCode.INVALID_ARGUMENT,
    401: GrpcCode.UNAUTHENTICATED,
    403: GrpcCode.PERMISSION_DENIED,
    413: GrpcCode.RESOURCE_EXHAUSTED,
    415: GrpcCode.INVALID_ARGUMENT,
    422: GrpcCode.INVALID_ARGUMENT,
    429: GrpcCode.RESOURCE_EXHAUSTED,
    431: GrpcCode.RESOURCE_EXHAUSTED,
    503: GrpcCode.UNAVAILABLE,
}


SNAPSHOT = build_snapshot(parse_config(CONFIG, "test"), EMPTY_RING)


def denied(reason: Reason, shared: dict[DenialKey, bytes], **fields: Any) -> pb.CheckResponse:
    raw = encode_denied(Decision(reason, **fields), SNAPSHOT, ONE_ID, "", shared)
    return pb.CheckResponse.FromString(raw)


def metadata_of(reason: Reason) -> dict[str, str]:
    answer = denied(reason, {})
    return {name: value.string_value for name, value in answer.dynamic_metadata.fields.items()}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_code_and_trailers(reason: Reason) -> None:
    answer, metadata = ANSWERS[reason], metadata_of(reason)
    code = CODES[answer.status]
    assert (metadata["grpc_status"], metadata["title"]) == (str(int(code)), answer.title)
    frame = base64.b64decode(metadata["grpc_web_text"], validate=True)
    assert frame[:1] == b"\x80"
    assert int.from_bytes(frame[1:5]) == len(frame[5:])
    assert frame[4:].decode() == metadata["grpc_web"]
    lines = frame[5:].decode().split("\r\n")
    assert lines == [f"grpc-status: {code.value}", f"grpc-message: {answer.title}", ""]


def test_statuses_that_no_reason_has_yet_have_a_code_as_well() -> None:
    assert GRPC_CODES.keys() >= {answer.status for answer in ANSWERS.values()}
    assert all(GRPC_CODES[status] == code for status, code in CODES.items())


def answer_of(challenge: str | None) -> Answer:
    return Answer(401, "It is not valid", challenge)


CHALLENGES = [
    ("no authentication would help", None, None),
    ("a token is missing", "", 'Bearer realm="septem"'),
    (
        "a token is not valid",
        "invalid_token",
        'Bearer realm="septem", error="invalid_token", error_description="It is not valid"',
    ),
]


@pytest.mark.parametrize(
    ("challenge", "value"), [row[1:] for row in CHALLENGES], ids=[row[0] for row in CHALLENGES]
)
def test_the_challenge_of_rfc_6750(challenge: str | None, value: str | None) -> None:
    assert challenge_of(answer_of(challenge)) == value


def test_a_problem_says_nothing_of_the_request() -> None:
    body = problem_body(Reason.TOKEN_EXPIRED, answer_of(None), "an-id", "")
    assert " " not in body.replace("It is not valid", ""), "in its shortest form"
    assert json.loads(body) == {
        "type": "urn:septem:reason:token_expired",
        "title": "It is not valid",
        "status": 401,
        "reason": "token_expired",
        "instance": "urn:septem:decision:an-id",
    }
    named = problem_body(Reason.TOKEN_EXPIRED, answer_of(None), "an-id", "0d1c6c3a")
    assert json.loads(named) == {**json.loads(body), "request_id": "0d1c6c3a"}


def test_only_a_failure_of_ours_is_an_error_to_envoy() -> None:
    kinds = {reason: denied(reason, {}).WhichOneof("http_response") for reason in Reason}
    assert [r for r, kind in kinds.items() if kind != "denied_response"] == [Reason.KEYS_DEGRADED]
    assert kinds[Reason.KEYS_DEGRADED] == "error_response"


def test_denials_of_one_kind_differ_in_their_id_alone() -> None:
    shared: dict[DenialKey, bytes] = {}
    decision = Decision(Reason.TOKEN_EXPIRED, route="api")
    one, two = numbered(1), numbered(2)
    first, second = (
        encode_denied(decision, SNAPSHOT, each, request_id, shared)
        for each, request_id in ((one, "request-1"), (two, "request-2"))
    )
    assert len(shared) == 1
    for slot in (b"~~", b"^^"):
        assert slot not in first, "the slots are filled wherever an id stands"
    assert first.count(one) == 2, "in the body and in the metadata"
    assert first.count(b"request-1") == 1, "in the body"
    assert first.replace(one, two).replace(b"request-1", b"request-2") == second


DIFFERENT = [
    ("reason", Decision(Reason.TOKEN_MISSING, route="api"), KeyState.ACTIVE, "request-1"),
    ("route", Decision(Reason.TOKEN_EXPIRED, route="shell"), KeyState.ACTIVE, "request-1"),
    (
        "origin",
        Decision(Reason.TOKEN_EXPIRED, route="api", origin="*"),
        KeyState.ACTIVE,
        "request-1",
    ),
    ("key state", Decision(Reason.TOKEN_EXPIRED, route="api"), KeyState.OUTAGE, "request-1"),
    (
        "an id of another length",
        Decision(Reason.TOKEN_EXPIRED, route="api"),
        KeyState.ACTIVE,
        "x" * 8,
    ),
    ("no id of the request", Decision(Reason.TOKEN_EXPIRED, route="api"), KeyState.ACTIVE, ""),
]


@pytest.mark.parametrize(
    ("decision", "state", "request_id"), [r[1:] for r in DIFFERENT], ids=[r[0] for r in DIFFERENT]
)
def test_what_denials_do_not_share(decision: Decision, state: KeyState, request_id: str) -> None:
    shared: dict[DenialKey, bytes] = {}
    expired = Decision(Reason.TOKEN_EXPIRED, route="api")
    encode_denied(expired, SNAPSHOT, ONE_ID, "request-1", shared)
    snapshot = replace(SNAPSHOT, key_state=state)
    answer = encode_denied(decision, snapshot, ONE_ID, request_id, shared)
    assert answer == encode_denied(decision, snapshot, ONE_ID, request_id, {})
    assert len(shared) == 2


CORS = """\
routes:
  - {name: api, path_prefix: /, cors: pages}
headers:
  cors: {pages: {origins: ["https://app.example"]}}
"""


def test_what_is_shared_is_bounded_for_denials_and_preflights() -> None:
    head = CONFIG.partition("routes:")[0]
    snapshot = build_snapshot(parse_config(head + CORS, "test"), EMPTY_RING)
    preflight = Decision(Grant.PREFLIGHT, route="api", cors="pages", origin="https://app.example")
    expired = Decision(Reason.TOKEN_EXPIRED, route="api")
    encoders: list[Callable[[dict[DenialKey, bytes]], bytes]] = [
        lambda shared: encode_preflight(preflight, snapshot, ONE_ID, shared),
        lambda shared: encode_denied(expired, snapshot, ONE_ID, "", shared),
    ]
    for encode in encoders:
        keys: list[DenialKey] = [("", "", "", str(number), "", ()) for number in range(MAX_SHARED)]
        full = dict.fromkeys(keys, b"")
        assert encode(full) == encode({})
        assert len(full) == 1, "a full table is emptied"
        almost = dict.fromkeys(keys[1:], b"")
        encode(almost)
        assert len(almost) == MAX_SHARED


def test_a_preflight_is_answered_without_a_body() -> None:
    head = CONFIG.partition("routes:")[0]
    snapshot = build_snapshot(parse_config(head + CORS, "test"), EMPTY_RING)
    decision = Decision(Grant.PREFLIGHT, route="api", cors="pages", origin="https://app.example")
    answer = pb.CheckResponse.FromString(encode_preflight(decision, snapshot, ONE_ID, {}))
    assert (answer.status.code, answer.denied_response.status.code) == (7, 204)
    headers = {o.header.key: o.header.value for o in answer.denied_response.headers}
    assert headers["access-control-allow-origin"] == b"https://app.example"
    assert headers["cache-control"] == b"no-store"
    assert "content-type" not in headers
    assert answer.denied_response.body == ""
    assert answer.dynamic_metadata.fields["decision_id"].string_value == ONE_ID.decode()
