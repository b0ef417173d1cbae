"""``grpc.health.v1.Health/Check`` for the fast engine, as a function of bytes.

grpcio serves the streaming ``Watch`` and reflection, on the port of SDS: the fast engine is for
unary calls only.
"""

from collections.abc import Mapping

from google.protobuf.message import DecodeError

from sidecar.pb import health_pb2
from sidecar.transport.grpc_status import GrpcStatus, RpcError

HEALTH_CHECK = "/grpc.health.v1.Health/Check"


class HealthStatus:
    """The status by name; the empty name is the whole server."""

    def __init__(self, service: str) -> None:
        self._names = ("", service)
        self._answers: dict[str, bytes] = {}

    async def set_serving(self, serving: bool) -> None:
        """Set the status of the whole server and of the service."""
        await self.set_status(dict.fromkeys(self._names, serving))

    async def set_status(self, statuses: Mapping[str, bool]) -> None:
        """Set the status of further names, such as one for each key state."""
        status = health_pb2.HealthCheckResponse
        for name, serving in statuses.items():
            answer = status(status=status.SERVING if serving else status.NOT_SERVING)
            self._answers[name] = answer.SerializeToString()

    def check(self, raw: bytes) -> bytes:
        """Answer one check; raise ``RpcError`` for an unknown name."""
        try:
            service = health_pb2.HealthCheckRequest.FromString(raw).service
        except DecodeError:
            raise RpcError(GrpcStatus.INVALID_ARGUMENT, "no HealthCheckRequest") from None
        answer = self._answers.get(service)
        if answer is None:
            raise RpcError(GrpcStatus.NOT_FOUND, "unknown service")
        return answer
