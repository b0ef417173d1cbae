"""The bench's tokens are good ones, by other hands than those that made them."""

from pathlib import Path

import jwt
import pytest

from bench.material import (
    Material,
    check_request,
    cycled,
    is_allowed,
    read_messages,
    verify_microseconds,
    write_messages,
)
from bench.names import AUDIENCE, ISSUER
from sidecar.pb import ext_authz_pb2 as pb
from sidecar.tokens.algorithms import ES256
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.policy import IssuerPolicy, TokenPolicy
from sidecar.tokens.verifier import verify_token

NOW = 1_700_000_000.0


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return Material(tmp_path)


def test_pyjwt_and_the_verifier_accept_them(material: Material) -> None:
    token, public = material.token(7, now=NOW), material.key.public_key()
    claims = jwt.decode(token, public, ["ES256"], audience=AUDIENCE, options={"verify_exp": False})
    assert claims["sub"] == "user-000007"
    ring = KeyRing([VerificationKey(material.kid, public, ISSUER, ES256)])
    policy = TokenPolicy({ISSUER: IssuerPolicy(frozenset({AUDIENCE}))})
    assert verify_token(token, ring, policy, NOW + 1).claims.subject == "user-000007"


def test_a_forged_one_is_refused(material: Material) -> None:
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(material.token(7, forged=True), material.key.public_key(), ["ES256"])


@pytest.mark.parametrize("about", [1_024, 2_048, 4_096, 8_000])
def test_padding_reaches_the_size_and_not_the_limit(material: Material, about: int) -> None:
    assert about - 50 <= len(material.token(1, about_bytes=about)) <= min(about + 50, 8_192)


def test_the_message_is_the_one_protobuf_would_write(material: Material) -> None:
    token = material.token(1)
    message = pb.CheckRequest.FromString(check_request(token))
    http = message.attributes.request.http
    assert http.headers["authorization"] == b"Bearer " + token
    assert len(http.headers) == 20
    again = pb.CheckRequest()
    again.CopyFrom(message)
    assert pb.CheckRequest.FromString(again.SerializeToString()) == message
    bare = pb.CheckRequest.FromString(check_request(None))
    assert "authorization" not in bare.attributes.request.http.headers


def test_messages_survive_a_file(tmp_path: Path) -> None:
    messages = [b"", b"one", b"\0" * 70_000]
    write_messages(tmp_path / "m", messages)
    assert list(read_messages(tmp_path / "m")) == messages
    assert cycled(messages, 4) == [*messages, b""]


def test_an_answer_is_told_from_a_denial() -> None:
    denied = pb.CheckResponse()
    denied.status.code = 16
    assert is_allowed(pb.CheckResponse().SerializeToString())
    assert not is_allowed(denied.SerializeToString())


def test_a_verification_takes_some_time(material: Material) -> None:
    assert 5 < verify_microseconds(material, 20) < 50_000
