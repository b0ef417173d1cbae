"""Two tables of secrets on one listener: which one a stream reads, its metadata says.

Certificates that answer tls-alpn-01 have the names of real ones, and must never be served in
their place. So Envoy asks for them with ``initial_metadata`` of its own, and whoever comes
with it sees these and nothing else.
"""

from collections.abc import Sequence

import grpc

PURPOSE_HEADER = "x-septem-purpose"
ACME_PURPOSE = "acme-tls-alpn-01"


class PurposeHandler(grpc.GenericRpcHandler):
    """Hands calls of one purpose to handlers of their own, and leaves the others alone."""

    def __init__(self, purpose: str, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._metadatum = (PURPOSE_HEADER, purpose)
        self._handlers = handlers

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return the handler of a call with our metadatum; ``None`` leaves it to who is next."""
        if self._metadatum not in {(key, value) for key, value in call.invocation_metadata or ()}:
            return None
        for handler in self._handlers:
            found = handler.service(call)
            if found is not None:
                return found
        return None
