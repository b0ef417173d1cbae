"""Which handler a call reaches: that of its purpose, or the next one."""

from typing import Any, NamedTuple

import grpc
import pytest

from sidecar.sds.purposes import ACME_PURPOSE, PURPOSE_HEADER, PurposeHandler


class Call(NamedTuple):
    """The details of a call, as grpcio gives them to a handler."""

    method: str
    invocation_metadata: Any


async def serve(*_: object) -> None: ...


HANDLER = grpc.stream_stream_rpc_method_handler(serve)
ONE = grpc.method_handlers_generic_handler("one.Service", {"A": HANDLER})
OTHER = grpc.method_handlers_generic_handler("other.Service", {"B": HANDLER})
PURPOSE = (PURPOSE_HEADER, ACME_PURPOSE)

CALLS: list[tuple[str, str, Any, bool]] = [
    ("with the purpose", "/one.Service/A", (PURPOSE,), True),
    ("among other metadata", "/one.Service/A", (("user-agent", "envoy"), PURPOSE), True),
    ("at the second handler", "/other.Service/B", (PURPOSE,), True),
    ("a method that neither has", "/one.Service/B", (PURPOSE,), False),
    ("without metadata", "/one.Service/A", None, False),
    ("with none", "/one.Service/A", (), False),
    ("with another purpose", "/one.Service/A", ((PURPOSE_HEADER, "x"),), False),
    (
        "with more than the purpose",
        "/one.Service/A",
        ((PURPOSE_HEADER, ACME_PURPOSE + ","),),
        False,
    ),
    ("with it under another name", "/one.Service/A", (("x-purpose", ACME_PURPOSE),), False),
    ("in bytes", "/one.Service/A", ((PURPOSE_HEADER, ACME_PURPOSE.encode()),), False),
]


@pytest.mark.parametrize(
    ("method", "metadata", "found"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS]
)
def test_which_calls_are_for_it(method: str, metadata: Any, found: bool) -> None:
    handler = PurposeHandler(ACME_PURPOSE, (ONE, OTHER)).service(Call(method, metadata))
    assert (handler is HANDLER) is found
    assert found or handler is None, "the next handler is asked"
