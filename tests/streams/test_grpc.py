"""What gRPC and gRPC-Web clients are told: a code and a sentence, the sidecar's and Envoy's."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from msgspec.structs import replace

from demo.process import free_ports
from sidecar.authz.encoding.denied import encode_denied
from sidecar.common.reasons import ANSWERS, GRPC_CODES, Reason
from tests.streams.edge import (
    UPGRADE_SECONDS,
    StreamsEdge,
    edge_before,
    no_sidecar,
    scale,
    table,
)
from tests.streams.grpc_clients import Failure, call, web

pytestmark = pytest.mark.real
BINARY = ("application/grpc-web", "application/grpc-web+proto")
TEXT = ("application/grpc-web-text", "application/grpc-web-text+proto")


def answer(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """Send back what came: once, or without end."""
    context.send_initial_metadata((("server", "careless"), ("x-powered-by", "careless")))
    context.set_trailing_metadata((("access-control-allow-origin", "*"), ("x-own", "1")))
    yield request
    while request == b"endless" and context.is_active():
        time.sleep(0.05)
        yield request


class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Serves any method of any service."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        del details
        return grpc.unary_stream_rpc_method_handler(answer)


@pytest.fixture(scope="module")
def application() -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(8), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait(5)


def http2(config: Any) -> None:
    """Speak HTTP/2 to the application, as gRPC must."""
    clusters = {each["name"]: each for each in config["static_resources"]["clusters"]}
    options = clusters["sidecar_authz"]["typed_extension_protocol_options"]
    clusters["application"]["typed_extension_protocol_options"] = options


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, application: int) -> Iterator[StreamsEdge]:
    folder = tmp_path_factory.mktemp("edge")
    with edge_before(folder, application, scale, http2) as running:
        yield running


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    """The edge before an application that is down."""
    (nobody,) = free_ports(1)
    with edge_before(tmp_path_factory.mktemp("edge"), nobody, scale, http2) as running:
        yield running


@pytest.fixture(scope="module")
def unanswered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    """The edge before an application that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with edge_before(tmp_path_factory.mktemp("edge"), port, scale, http2) as running:
            yield running


@pytest.fixture(scope="module")
def unchecked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamsEdge]:
    """The edge, whose sidecar has gone."""
    (nobody,) = free_ports(1)
    with edge_before(tmp_path_factory.mktemp("edge"), nobody, scale, no_sidecar) as running:
        yield running


def test_a_call_with_a_token_passes(edge: StreamsEdge) -> None:
    assert call(edge, "/test.Calls/Echo", edge.bearer()) == ([b"x"], Failure(0, ""))


LARGE = (("authorization", "Bearer " + "x" * 9000),)
DENIALS = [
    ("no token", "/test.Calls/Echo", (), 16, "An access token is required"),
    ("no route", "/other.Calls/Echo", (), 7, "No route allows this request"),
    ("too large a token", "/test.Calls/Echo", LARGE, 8, "The access token is too large"),
    ("two readings", "/test.Calls/a;b", (), 3, "The path can be read in more than one way"),
]


@pytest.mark.parametrize(("method", "headers", "code", "sentence"), **table(DENIALS))
def test_a_refusal_is_a_code_and_a_sentence(
    edge: StreamsEdge,
    method: str,
    headers: tuple[tuple[str, str], ...],
    code: int,
    sentence: str,
) -> None:
    assert call(edge, method, *headers) == ([], Failure(code, sentence))
    for content_type in (*BINARY, *TEXT):
        status, returned, failure, _ = web(edge, method, content_type, *headers)
        assert (status, returned) == (200, content_type)
        assert failure == Failure(code, sentence)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_reaches_every_kind_of_client(
    edge: StreamsEdge, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without a token is refused here for every reason that there is."""

    def encode(decision: Any, *more: Any) -> bytes:
        return encode_denied(replace(decision, outcome=reason), *more)

    monkeypatch.setattr("sidecar.authz.slow_path.encode_denied", encode)
    wanted = Failure(GRPC_CODES[ANSWERS[reason].status], ANSWERS[reason].title)
    assert call(edge, "/test.Calls/Echo") == ([], wanted)
    for content_type in (BINARY[1], TEXT[0]):
        assert web(edge, "/test.Calls/Echo", content_type)[2] == wanted
    plain = edge.fetch("/test.Calls/Echo", method="POST")
    assert (plain.status, plain.document()["reason"]) == (ANSWERS[reason].status, reason)


TO_WEB = "The request did not get through"
OWN = [
    ("no sidecar", "unchecked", "/test.Calls/Echo", 14, "The request could not be checked"),
    ("no application", "alone", "/test.Calls/Echo", 14, "The application could not be asked"),
    (
        "slow application",
        "unanswered",
        "/test.Calls/Echo",
        4,
        "The application took too long to answer",
    ),
    ("encoded slash", "edge", "/test.Calls/a%2fb", 3, "path_normalization_failed"),
]


@pytest.mark.parametrize(("which", "method", "code", "sentence"), **table(OWN))
def test_envoys_own_replies_are_codes_too(
    request: pytest.FixtureRequest, which: str, method: str, code: int, sentence: str
) -> None:
    edge: StreamsEdge = request.getfixturevalue(which)
    assert call(edge, method, edge.bearer()) == ([], Failure(code, sentence))
    for content_type in (BINARY[1], TEXT[0]):
        status, returned, failure, _ = web(edge, method, content_type, edge.bearer())
        assert (status, returned) == (200, content_type)
        assert failure == Failure(code, TO_WEB)


def test_a_body_too_large_for_envoy_is_not_worth_another_try(edge: StreamsEdge) -> None:
    path = "/.well-known/septem/csp-reports"
    for content_type in (BINARY[0], TEXT[0]):
        assert web(edge, path, content_type, body=b"x" * 70_000)[2] == Failure(8, TO_WEB)


def test_other_media_types_are_none_of_grpcs(edge: StreamsEdge) -> None:
    for content_type in ("application/grpc-website", "text/plain; application/grpc-web", ""):
        reply = edge.fetch("/test.Calls/Echo", ("content-type", content_type), method="POST")
        assert reply.status == 401
        assert reply.document()["reason"] == "token_missing"


@pytest.mark.parametrize("content_type", ["application/grpc", *BINARY, *TEXT])
def test_a_cache_keeps_no_reply_that_grpc_makes_a_200_of(
    edge: StreamsEdge, unchecked: StreamsEdge, content_type: str
) -> None:
    """Anybody may send a GET for a page with this content type, and have it fail."""
    for failing, path, status in (
        (edge, "/test.Calls/Echo", 401),
        (edge, "/open/a%2fb", 400),
        (unchecked, "/open/x", 503),
    ):
        reply = failing.fetch(path, ("content-type", content_type))
        assert reply.all("cache-control") == ["no-store"]
        assert reply.status == (200 if content_type == "application/grpc" else status)


def test_trailers_say_nothing_of_cors_and_of_what_it_runs_on(edge: StreamsEdge) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{edge.ports.https}") as channel:
        stream = channel.unary_stream("/test.Calls/Echo")(
            b"x", timeout=20, metadata=(edge.bearer(),)
        )
        list(stream)
        head = {key for key, _ in stream.initial_metadata()}
        trailers = dict(stream.trailing_metadata())
    assert not {"server", "x-powered-by"} & head
    assert "strict-transport-security" in head
    assert trailers == {"x-own": "1"}


def test_a_call_without_end_ends_with_its_token(edge: StreamsEdge) -> None:
    started = time.monotonic()
    received, failure = call(edge, "/test.Ending/Stream", edge.bearer(1.0), body=b"endless")
    assert len(received) > 3
    assert failure.code != 0
    assert time.monotonic() - started < UPGRADE_SECONDS
