"""An answer read back, as the client and the application will see it."""

from collections.abc import Iterable
from typing import NamedTuple

from sidecar.pb import ext_authz_pb2 as pb


class DecodedResponse(NamedTuple):
    """What a ``CheckResponse`` makes Envoy do. Names of headers are in lower case."""

    status: int
    """What the client is answered; 200 where that is the application's to say."""
    request_headers: dict[str, str]
    """Set on the request before the application gets it."""
    removed_headers: tuple[str, ...]
    """Taken from the request."""
    response_headers: dict[str, str]


def decode_response(raw: bytes) -> DecodedResponse:
    """Read an answer that ``allowed`` or ``denied`` wrote."""
    response = pb.CheckResponse.FromString(raw)
    kind = str(response.WhichOneof("http_response"))
    if kind == "ok_response":
        ok = response.ok_response
        return DecodedResponse(
            200, _flatten(ok.headers), tuple(ok.headers_to_remove),
            _flatten(ok.response_headers_to_add),
        )  # fmt: skip
    denied = getattr(response, kind)
    return DecodedResponse(denied.status.code, {}, (), _flatten(denied.headers))


def _flatten(options: Iterable[pb.HeaderValueOption]) -> dict[str, str]:
    return {option.header.key: option.header.value.decode() for option in options}
