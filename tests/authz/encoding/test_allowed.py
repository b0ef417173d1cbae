"""What is encoded by hand, compared with protobuf's own encoder; and what answers share."""

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.authz.decision import Decision
from sidecar.authz.encoding.allowed import (
    SharedKey,
    encode_allowed,
    make_template,
    own_fields,
)
from sidecar.authz.encoding.fields import MAX_SHARED
from sidecar.authz.response_cache import EncodedFields
from sidecar.common.reasons import Grant, Reason
from sidecar.headers.nonce import NONCE_CHARACTERS
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.install import Provenance
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.claims import Claims
from sidecar.tokens.verifier import VerifiedToken, verify_token
from tests.authz.checks import Answer, read_answer
from tests.authz.world import SNAPSHOT
from tests.support.ids import ONE_ID, numbered
from tests.support.minting import NOW, TENANT, Issuer, policy

Shared = dict[SharedKey, EncodedFields]


@pytest.fixture(scope="module")
def token(issuer: Issuer) -> VerifiedToken:
    return verify_token(issuer.mint(), issuer.ring, policy(), NOW)


VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=300)


@given(subject=VISIBLE, token_id=VISIBLE, roles=st.lists(VISIBLE, max_size=3))
def test_a_tokens_own_fields_are_protobufs(
    token: VerifiedToken, subject: str, token_id: str, roles: list[str]
) -> None:
    """Up to 300 characters: the lengths of a header are of one byte each, or of two."""
    changes: dict[str, Any] = {"subject": subject, "token_id": token_id, "roles": tuple(roles)}
    claims: Claims = replace(token.claims, **changes)
    headers, metadata = own_fields(claims)
    wanted = {"x-tenant-id": TENANT, "x-user-id": subject, "x-token-id": token_id}
    if roles:
        wanted["x-roles"] = ",".join(roles)
    ok = pb.OkHttpResponse()
    for name, value in wanted.items():
        option = ok.headers.add(append_action="OVERWRITE_IF_EXISTS_OR_ADD")
        option.header.key, option.header.value = name, value.encode()
    assert headers == ok.SerializeToString(deterministic=True)
    response = pb.CheckResponse()
    response.dynamic_metadata.fields["tenant"].string_value = TENANT
    assert metadata == response.dynamic_metadata.SerializeToString()


def encode(decision: Decision, shared: Shared | None = None) -> Answer:
    made: Shared = {} if shared is None else shared
    return read_answer(
        encode_allowed(decision, SNAPSHOT, made, lambda: b"n" * NONCE_CHARACTERS, ONE_ID)
    )


IDENTITY = {"x-tenant-id", "x-user-id", "x-roles", "x-token-id"}
PUBLIC = Decision(Grant.PUBLIC, route="public", host="app.example", csp="api")
MORE: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("nothing", {}, {}),
    ("a cookie without other routes' tokens", {"cookie": b"a=b"}, {"cookie": "a=b"}),
    ("a stream's end", {"stream_milliseconds": 1500}, {"grpc-timeout": "1500m"}),
    (
        "whose bundle it is",
        {"provenance": Provenance("00", "acme")},
        {"x-module-verified": "true", "x-module-publisher": "acme"},
    ),
    ("nobody's bundle", {"provenance": Provenance("00", None)}, {"x-module-verified": "false"}),
]


@pytest.mark.parametrize(
    ("fields", "headers"), [row[1:] for row in MORE], ids=[row[0] for row in MORE]
)
def test_what_else_the_request_gets(
    token: VerifiedToken, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    for decision in (PUBLIC, replace(PUBLIC, outcome=Grant.TOKEN_VERIFIED, token=token)):
        answer = encode(replace(decision, removed=("x-gone",), **fields))
        own = IDENTITY if decision.token is not None else set()
        assert {n: v for n, v in answer.set_headers.items() if n not in own} == headers
        assert answer.set_headers.keys() >= own
        assert not answer.set_headers.keys() & set(answer.removed), "Envoy removes after it sets"
        trusted = {*IDENTITY, "x-module-verified", "x-module-publisher", "x-csp-nonce"}
        assert trusted <= {*answer.set_headers, *answer.removed}
        assert "x-gone" in answer.removed


def test_a_token_without_roles_has_its_header_removed(token: VerifiedToken) -> None:
    bare = replace(token, claims=replace(token.claims, roles=()))
    answer = encode(replace(PUBLIC, outcome=Grant.TOKEN_VERIFIED, token=bare))
    assert "x-roles" in answer.removed


def test_a_nonce_is_in_every_place_that_names_it_and_in_no_shared_part() -> None:
    shared: Shared = {}
    decision = replace(PUBLIC, nonce=True)
    for letter in (b"n", b"m"):
        nonce = letter * NONCE_CHARACTERS
        answer = read_answer(
            encode_allowed(decision, SNAPSHOT, shared, partial(bytes, nonce), ONE_ID)
        )
        assert answer.set_headers == {"x-csp-nonce": nonce.decode()}
        assert {"if-none-match", "if-modified-since"} <= set(answer.removed)
        assert answer.response_headers["cache-control"] == "no-store"
    assert len(shared) == 1
    assert "if-none-match" not in encode(PUBLIC).removed


ACTIVE, OUTAGE = KeyState.ACTIVE, KeyState.OUTAGE
DIFFERENT: list[tuple[str, dict[str, Any], KeyState, int]] = [
    ("nothing", {}, ACTIVE, 1),
    ("the path", {"path": "/other"}, ACTIVE, 1),
    ("the stream's end", {"stream_milliseconds": 5}, ACTIVE, 1),
    ("the grant", {"outcome": Grant.ANONYMOUS}, ACTIVE, 2),
    ("the route", {"route": "kept"}, ACTIVE, 2),
    ("the state of the keys", {}, OUTAGE, 2),
    ("what shadow mode let pass", {"shadowed": Reason.TOKEN_EXPIRED}, ACTIVE, 2),
    ("the host, where a tenant has it", {"host": "shop.acme.example"}, ACTIVE, 2),
    ("the reader's origin", {"origin": "https://a.example"}, ACTIVE, 2),
    ("what is removed", {"removed": ("cookie",)}, ACTIVE, 2),
    ("a bundle's origin", {"provenance": Provenance("00", None)}, ACTIVE, 2),
]


@pytest.mark.parametrize(
    ("changes", "state", "parts"), [row[1:] for row in DIFFERENT], ids=[r[0] for r in DIFFERENT]
)
def test_what_a_shared_part_depends_on(
    changes: dict[str, Any], state: KeyState, parts: int
) -> None:
    shared: Shared = {}
    encode(PUBLIC, shared)
    snapshot, other = replace(SNAPSHOT, key_state=state), replace(PUBLIC, **changes)
    again = encode_allowed(other, snapshot, shared, lambda: b"", ONE_ID)
    assert len(shared) == parts
    assert again == encode_allowed(other, snapshot, {}, lambda: b"", ONE_ID)


def test_every_answer_names_its_decision(token: VerifiedToken) -> None:
    shared: Shared = {}
    for decision in (PUBLIC, replace(PUBLIC, outcome=Grant.TOKEN_VERIFIED, token=token)):
        for number in (1, 2):
            decision_id = numbered(number)
            raw = encode_allowed(decision, SNAPSHOT, shared, lambda: b"", decision_id)
            answer = pb.CheckResponse.FromString(raw)
            response = pb.CheckResponse()
            response.dynamic_metadata.CopyFrom(answer.dynamic_metadata)
            fields = response.dynamic_metadata.fields
            assert fields["decision_id"].string_value == decision_id.decode()
            assert ("tenant" in fields) == (decision.token is not None)
            # As long as protobuf's own: one submessage, no unknown field.
            assert len(answer.SerializeToString()) == len(raw)


def test_what_is_shared_is_bounded() -> None:
    blank: Any = [(number,) for number in range(MAX_SHARED)]
    full: Shared = dict.fromkeys(blank, (b"", b""))
    make_template(PUBLIC, SNAPSHOT, (b"", b""), full, lambda: b"")
    assert len(full) == 1, "a full table is emptied"
