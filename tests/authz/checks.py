"""Builds CheckRequests the way Envoy does, and reads CheckResponses, with envoy-data-plane.

An independent hand: the sidecar's own protobuf code is not used here.
"""

from dataclasses import dataclass, field

from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    HeaderMap,
    HeaderValue,
    HeaderValueOptionHeaderAppendAction,
    SocketAddress,
)
from envoy_data_plane.envoy.service.auth.v3 import (
    AttributeContext,
    AttributeContextHttpRequest,
    AttributeContextPeer,
    AttributeContextRequest,
    CheckRequest,
    CheckResponse,
)

from sidecar.cli.client_certificates import forwarded_certificate
from tests.support.minting import NOW

WEB = "spiffe://example/web"
OVERWRITE = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


def check_request(
    method: str = "GET",
    path: str = "/api/things",
    host: str = "app.septemcore.com",
    headers: dict[str, str] | None = None,
    raw_headers: list[tuple[str, bytes]] | None = None,
    *,
    source: str = "203.0.113.7",
    body: bytes = b"",
) -> bytes:
    """Serialise what Envoy would send; ``raw_headers`` as with ``encode_raw_headers``."""
    pseudo = {":method": method, ":path": path, ":authority": host, ":scheme": "https"}
    http = AttributeContextHttpRequest(
        id="1",
        method=method,
        path=path,
        host=host,
        scheme="https",
        protocol="HTTP/2",
        size=-1,
        raw_body=body,
    )
    if raw_headers is None:
        http.headers = {**pseudo, **(headers or {})}
    else:
        http.header_map = HeaderMap(
            headers=[HeaderValue(key=key, raw_value=value) for key, value in raw_headers]
        )
    peer = AttributeContextPeer(
        address=Address(socket_address=SocketAddress(address=source, port_value=4711)),
        principal=WEB,
        certificate=forwarded_certificate(WEB, NOW),
    )
    request = AttributeContextRequest(http=http)
    context = AttributeContext(source=peer, request=request, context_extensions={"a": "b"})
    return bytes(CheckRequest(attributes=context))


@dataclass
class Answer:
    """A CheckResponse, as Envoy would understand it."""

    allowed: bool
    status: int
    set_headers: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    response_headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


def read_answer(raw: bytes) -> Answer:
    """Parse a serialised CheckResponse, insisting on OVERWRITE for every request header."""
    response = CheckResponse.parse(raw)
    assert response.status is not None
    metadata = response.dynamic_metadata
    fields = (
        {key: value.string_value or "" for key, value in metadata.fields.items()}
        if metadata
        else {}
    )
    if response.ok_response is not None:
        assert response.status.code == 0
        ok = response.ok_response
        return Answer(
            allowed=True,
            status=200,
            set_headers=_flatten(ok.headers),
            removed=list(ok.headers_to_remove),
            response_headers=_flatten(ok.response_headers_to_add, ours=False),
            metadata=fields,
        )
    assert response.status.code == 7
    denied = response.denied_response or response.error_response
    assert denied is not None
    assert denied.status is not None
    return Answer(
        allowed=False,
        status=int(denied.status.code),
        response_headers=_flatten(denied.headers, ours=False),
        body=denied.body,
        metadata=fields,
    )


def _flatten(options: list, *, ours: bool = True) -> dict[str, str]:  # type: ignore[type-arg]
    """``ours``: headers for the application, of which the client must leave nothing."""
    flat: dict[str, str] = {}
    for option in options:
        assert option.append_action == OVERWRITE or not ours
        assert option.header.key not in flat
        flat[option.header.key] = option.header.value
    return flat
