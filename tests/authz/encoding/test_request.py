"""A ``CheckRequest``, read as far as a decision needs it."""

import pytest

from sidecar.authz.encoding.request import parse_request, view_of
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.pb import ext_authz_pb2 as pb
from tests.authz.checks import check_request


def test_a_request_is_read_as_envoy_wrote_it() -> None:
    raw = check_request(
        "POST", "/a?b=c", "h.example:80", {"authorization": "Bearer x", "cookie": "é"}
    )
    view = view_of(parse_request(raw))
    assert (view.method, view.path, view.host) == (b"POST", b"/a?b=c", b"h.example:80")
    assert view.headers["authorization"] == b"Bearer x"
    assert view.headers["cookie"] == "é".encode()
    assert (view.source, view.principal) == ("203.0.113.7", "spiffe://example/web")


def test_raw_headers_are_joined_as_envoy_joins_them() -> None:
    raw = check_request(
        raw_headers=[("Authorization", b"a"), ("x", b"\xff"), ("authorization", b"b")]
    )
    view = view_of(parse_request(raw))
    assert dict(view.headers) == {"authorization": b"a,b", "x": b"\xff"}


JOINED: list[tuple[str, list[pb.HeaderValue], dict[str, bytes]]] = [
    ("none", [], {}),
    ("text where nothing is raw", [pb.HeaderValue(key="a", value=b"t")], {"a": b"t"}),
    ("raw before text", [pb.HeaderValue(key="a", value=b"t", raw_value=b"r")], {"a": b"r"}),
    (
        "three of one name, in their order",
        [
            pb.HeaderValue(key=key, raw_value=raw)
            for key, raw in (("A", b"1"), ("a", b"2"), ("A", b""))
        ],
        {"a": b"1,2,"},
    ),
    (
        "the first one empty",
        [pb.HeaderValue(key="a"), pb.HeaderValue(key="a", raw_value=b"2")],
        {"a": b",2"},
    ),
]


@pytest.mark.parametrize(
    ("sent", "read"), [row[1:] for row in JOINED], ids=[row[0] for row in JOINED]
)
def test_raw_headers(sent: list[pb.HeaderValue], read: dict[str, bytes]) -> None:
    """An empty header map is one, too: the other form of headers is then not read."""
    http = pb.AttributeContext.HttpRequest(
        headers={"ignored": b"x"}, header_map=pb.HeaderMap(headers=sent)
    )
    request = pb.AttributeContext(request=pb.AttributeContext.Request(http=http))
    assert dict(view_of(request).headers) == read


def test_a_body_and_a_certificate_are_read() -> None:
    http = pb.AttributeContext.HttpRequest(raw_body=b"bundle")
    view = view_of(
        pb.AttributeContext(
            source=pb.AttributeContext.Peer(certificate="pem"),
            request=pb.AttributeContext.Request(http=http),
        )
    )
    assert (view.body, view.certificate, view.method) == (b"bundle", "pem", b"")


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\xff", b"{}"])
def test_bytes_that_are_no_message(raw: bytes) -> None:
    with pytest.raises(Denied) as denied:
        parse_request(raw)
    assert denied.value.reason is Reason.REQUEST_MALFORMED
