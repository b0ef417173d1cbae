"""``grpc.health.v1.Health/Check`` for the fast engine, as a function of bytes.

The streaming ``Watch`` and reflection are served by grpcio, on the port of SDS: an engine
for unary calls has no use for them.
"""

from collections.abc import Mapping

from google.protobuf.message import DecodeError

from sidecar.pb import health_pb2
from sidecar.transport.unary import GrpcStatus, RpcError

HEALTH_CHECK = "/grpc.health.v1.Health/Check"


class HealthStatus:
    """What is serving, by name; the empty name is the whole server."""

    def __init__(self, service: str) -> None:
        self._names = ("", service)
        self._answers: dict[str, bytes] = {}

    async def set_serving(self, serving: bool) -> None:
        """Say whether requests may be sent here."""
        await self.set_status(dict.fromkeys(self._names, serving))

    async def set_status(self, words: Mapping[str, bool]) -> None:
        """Set further names, such as one for each state a part can be in."""
        status = health_pb2.HealthCheckResponse
        for name, serving in words.items():
            answer = status(status=status.SERVING if serving else status.NOT_SERVING)
            self._answers[name] = answer.SerializeToString()

    def check(self, raw: bytes) -> bytes:
        """Answer one check; raises ``RpcError`` for a name that is not known."""
        try:
            service = health_pb2.HealthCheckRequest.FromString(raw).service
        except DecodeError:
            raise RpcError(GrpcStatus.INVALID_ARGUMENT, "no HealthCheckRequest") from None
        answer = self._answers.get(service)
        if answer is None:
            raise RpcError(GrpcStatus.NOT_FOUND, "unknown service")
        return answer
