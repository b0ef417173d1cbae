"""proto/ext_authz.proto is a part of Envoy's API, and sidecar/pb is made from it."""

import importlib.util
from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.core.v3 import HeaderValue, HeaderValueOption
from envoy_data_plane.envoy.service.auth.v3 import (
    CheckResponse,
    DeniedHttpResponse,
    OkHttpResponse,
)
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode

from sidecar.pb import ext_authz_pb2 as pb
from tests.authz.checks import OVERWRITE

ROOT = Path(__file__).parents[2]


def test_the_generated_code_is_current(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate_pb", ROOT / "tools/generate_pb.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(tmp_path)
    for made in tmp_path.iterdir():
        assert made.read_text() == (ROOT / "sidecar/pb" / made.name).read_text(), "make proto"


def option(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=key, value=value), append_action=OVERWRITE)


def our_option(key: str, value: str) -> pb.HeaderValueOption:
    header = pb.HeaderValue(key=key, value=value.encode())
    return pb.HeaderValueOption(header=header, append_action="OVERWRITE_IF_EXISTS_OR_ADD")


RESPONSES = {
    "ok": (
        pb.CheckResponse(
            ok_response=pb.OkHttpResponse(
                headers=[our_option("a", "1")],
                headers_to_remove=["b"],
                response_headers_to_add=[our_option("c", "2")],
            )
        ),
        CheckResponse(
            ok_response=OkHttpResponse(
                headers=[option("a", "1")],
                headers_to_remove=["b"],
                response_headers_to_add=[option("c", "2")],
            )
        ),
    ),
    "denied": (
        pb.CheckResponse(
            denied_response=pb.DeniedHttpResponse(
                status=pb.HttpStatus(code=401), headers=[our_option("a", "1")], body="no"
            )
        ),
        CheckResponse(
            denied_response=DeniedHttpResponse(
                status=HttpStatus(code=StatusCode(401)),
                headers=[option("a", "1")],
                body="no",
            )
        ),
    ),
    "error": (
        pb.CheckResponse(error_response=pb.DeniedHttpResponse(body="down")),
        CheckResponse(error_response=DeniedHttpResponse(body="down")),
    ),
}


@pytest.mark.parametrize("kind", RESPONSES)
def test_a_response_has_the_bytes_envoys_own_messages_have(kind: str) -> None:
    ours, envoys = RESPONSES[kind]
    assert ours.SerializeToString() == bytes(envoys)
