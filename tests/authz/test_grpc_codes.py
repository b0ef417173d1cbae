"""What a refusal says to gRPC and gRPC-Web: a code and a sentence for every reason."""

import base64

import pytest

from sidecar.authz.decision import Decision
from sidecar.authz.encoding.denied import encode_denied
from sidecar.authz.grpc_web import LONGEST_BLOCK, as_text, trailer_block
from sidecar.authz.snapshot import build_snapshot
from sidecar.common.reasons import ANSWERS, GRPC_CODES, GrpcCode, Reason
from sidecar.config import parse_config
from sidecar.pb import ext_authz_pb2 as pb
from tests.authz.conftest import CONFIG
from tests.support.minting import Issuer

CODES = {
    400: GrpcCode.INVALID_ARGUMENT,
    401: GrpcCode.UNAUTHENTICATED,
    403: GrpcCode.PERMISSION_DENIED,
    413: GrpcCode.RESOURCE_EXHAUSTED,
    415: GrpcCode.INVALID_ARGUMENT,
    422: GrpcCode.INVALID_ARGUMENT,
    431: GrpcCode.RESOURCE_EXHAUSTED,
    503: GrpcCode.UNAVAILABLE,
}


def metadata_of(reason: Reason) -> dict[str, str]:
    snapshot = build_snapshot(parse_config(CONFIG, "test"), Issuer.generate().ring)
    answer = pb.CheckResponse.FromString(encode_denied(Decision(reason), snapshot, "id", {}))
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


@pytest.mark.parametrize("message", ["100 %", "caf\u00e9", "two\nlines", "x" * 200])
def test_a_sentence_that_trailers_can_not_hold_is_a_defect(message: str) -> None:
    with pytest.raises(ValueError, match="gRPC"):
        trailer_block(3, message)


def test_the_longest_trailers_have_a_length_of_one_character() -> None:
    block = trailer_block(16, "x" * (LONGEST_BLOCK - len("grpc-status: 16\r\ngrpc-message: \r\n")))
    assert ord(block[0]) == LONGEST_BLOCK == len(block) - 1
    assert base64.b64decode(as_text(block))[:5] == b"\x80\x00\x00\x00\x7f"
    with pytest.raises(ValueError, match="over"):
        trailer_block(16, "x" * LONGEST_BLOCK)
