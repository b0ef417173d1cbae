"""An answer read back: each kind, and nothing that the kind does not have."""

import pytest

from sidecar.authz.encoding.response import DecodedResponse, decode_response
from sidecar.pb import ext_authz_pb2 as pb


def option(name: str, value: bytes) -> pb.HeaderValueOption:
    return pb.HeaderValueOption(header=pb.HeaderValue(key=name, value=value))


DENIED = pb.DeniedHttpResponse(status=pb.HttpStatus(code=403), headers=[option("c", b"3")])
ROWS: list[tuple[str, pb.CheckResponse, DecodedResponse]] = [
    (
        "allowed",
        pb.CheckResponse(
            ok_response=pb.OkHttpResponse(
                headers=[option("a", b"1")],
                headers_to_remove=["x", "y"],
                response_headers_to_add=[option("b", "\u00e9".encode())],
            )
        ),
        DecodedResponse(200, {"a": "1"}, ("x", "y"), {"b": "\u00e9"}),
    ),
    (
        "denied",
        pb.CheckResponse(denied_response=DENIED),
        DecodedResponse(403, {}, (), {"c": "3"}),
    ),
    (
        "an error of ours",
        pb.CheckResponse(error_response=DENIED),
        DecodedResponse(403, {}, (), {"c": "3"}),
    ),
]


@pytest.mark.parametrize(("answer", "read"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_rows(answer: pb.CheckResponse, read: DecodedResponse) -> None:
    assert decode_response(answer.SerializeToString()) == read
