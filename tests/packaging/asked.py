"""What a running sidecar is asked by its sockets, as Envoy and a probe do."""

import json
from pathlib import Path
from typing import Any

import grpc

from sidecar.common.unix_http import UnixConnection
from sidecar.pb import ext_authz_pb2


def readyz(folder: Path) -> dict[str, Any]:
    """Return what it says of itself once it is ready, and nothing before."""
    connection = UnixConnection("localhost", timeout=5)
    connection.socket_path = str(folder / "admin.sock")
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said: dict[str, Any] = json.loads(answer.read())
    except OSError:
        return {}
    finally:
        connection.close()
    return said if answer.status == 200 else {}


def check(address: Path | str, token: str) -> int:
    """Ask as Envoy does; return the status that the client would get, 200 for allowed.

    A path is a Unix socket.
    """
    request = ext_authz_pb2.CheckRequest()
    http = request.attributes.request.http
    http.method, http.host, http.path, http.scheme = b"GET", b"localhost", b"/orders", b"https"
    if token:
        http.headers["authorization"] = f"Bearer {token}".encode()
    target = f"unix:{address}" if isinstance(address, Path) else address
    with grpc.insecure_channel(target) as channel:
        ask = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
        answer = ext_authz_pb2.CheckResponse.FromString(
            ask(request.SerializeToString(), timeout=10)
        )
    return answer.denied_response.status.code or 200
