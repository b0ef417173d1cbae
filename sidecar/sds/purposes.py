"""Two tables of secrets on one listener: the metadata of a stream selects one.

Certificates that answer tls-alpn-01 have the names of real ones, and must never be served in
their place. So Envoy asks for them with its own ``initial_metadata``, and a stream with that
metadata sees only these certificates.
"""

from collections.abc import Sequence

import grpc

PURPOSE_HEADER = "x-septem-purpose"
ACME_PURPOSE = "acme-tls-alpn-01"


class PurposeHandler(grpc.GenericRpcHandler):
    """Passes calls with one purpose to its handlers; other calls go to the next handler."""

    def __init__(self, purpose: str, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._metadatum = (PURPOSE_HEADER, purpose)
        self._handlers = handlers

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return the handler of a call with this purpose; ``None`` passes it to the next one."""
        if self._metadatum not in {(key, value) for key, value in call.invocation_metadata or ()}:
            return None
        for handler in self._handlers:
            found = handler.service(call)
            if found is not None:
                return found
        return None
