"""The servers that are compared. Usage: python -m bench.servers VARIANT FOLDER.

``ours-h2`` and ``ours-grpcio``: the sidecar's Check with cache, lane, metrics and audit, on
either engine. ``floor``: the fast engine with a constant reply. ``naive``: what one writes
first, grpc.aio with protobuf classes and PyJWT. ``worker``: what a further Check worker
would be, without Vault and SDS. Each prints its port when it listens.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvloop

from sidecar.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.transport.h2 import H2Server
from sidecar.transport.unary import Limits

ISSUER, AUDIENCE = "https://iam.septemcore.com", "https://api.septemcore.com"
CONFIG = f"""\
vault: {{address: "https://vault.internal", auth: {{method: token_file, path: /none}}}}
tokens: {{issuers: [{{issuer: "{ISSUER}", audiences: ["{AUDIENCE}"]}}]}}
routes:
  - {{name: assets, path_prefix: /assets, auth: none}}
  - {{name: api, path_prefix: /api, csp: api}}
  - {{name: shell, path_prefix: /}}
"""
CHECK = "/envoy.service.auth.v3.Authorization/Check"


def service(folder: Path) -> Any:
    """Put the sidecar's Check together as the runtime does, keys apart."""
    from sidecar.audit import AuditLog, FileSink
    from sidecar.authz.policy import build_snapshot
    from sidecar.authz.service import CheckService
    from sidecar.config import parse_config
    from sidecar.decision_ids import DecisionIds
    from sidecar.keys.keyring import KeyRing
    from sidecar.keys.sources import parse_keys
    from sidecar.ledger import Ledger
    from sidecar.tally import Tally
    from sidecar.tokens.cache import TokenCache
    from sidecar.transport.lane import SlowLane

    keys = parse_keys((folder / "public.pem").read_text(), ISSUER)
    audit = AuditLog(FileSink(folder / "audit"), queue_lines=16_384, on_error=print)
    loop = asyncio.get_running_loop()
    ids = DecisionIds()
    return CheckService(
        build_snapshot(parse_config(CONFIG, "bench"), KeyRing(keys)),
        now=wall_seconds,
        elapsed_ns=elapsed_ns,
        new_id=ids.text,
        observer=Ledger(Tally(), audit, ids, loop.call_later),
        on_fault=print,
        cache=TokenCache(1_000_000),
        lane=SlowLane(loop),
    )


async def fast(handle: Any) -> int:
    """Serve ``handle`` on the fast engine."""
    server = H2Server(
        "127.0.0.1:0", {CHECK: handle}, limits=Limits(), clock=monotonic_seconds, on_fault=print
    )
    await server.start()
    return int(server.bound_address.rpartition(":")[2])


async def grpcio(handle: Any) -> int:
    """Serve ``handle`` on grpcio."""
    from sidecar.transport.aio import CHECK_SERVICE, GrpcServer, check_handlers

    handlers = check_handlers(handle)
    server = GrpcServer("127.0.0.1:0", CHECK_SERVICE, handlers, max_message_bytes=4_194_304)
    await server.start()
    KEPT.append(server)
    return int(server.bound_address.rpartition(":")[2])


async def naive(folder: Path) -> int:
    """Serve what one writes first."""
    import grpc
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from sidecar.pb import ext_authz_pb2 as pb

    key: Any = load_pem_public_key((folder / "public.pem").read_bytes())

    async def check(request: Any, _context: Any) -> Any:
        headers = request.attributes.request.http.headers
        token = headers["authorization"].decode().removeprefix("Bearer ")
        response = pb.CheckResponse()
        try:
            claims = jwt.decode(
                token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER,
                options={"require": ["exp", "nbf", "iat", "iss", "aud", "sub", "jti"]},
            )  # fmt: skip
        except jwt.PyJWTError:
            response.status.code = 7
            response.denied_response.status.code = 401
            return response
        for name, value in (
            ("x-tenant-id", claims["tenantId"]),
            ("x-user-id", claims["sub"]),
            ("x-roles", ",".join(claims["roles"])),
            ("x-token-id", claims["jti"]),
        ):
            option = response.ok_response.headers.add(append_action=2)
            option.header.key = name
            option.header.value = value.encode()
        response.ok_response.headers_to_remove.append("x-csp-nonce")
        return response

    method = grpc.unary_unary_rpc_method_handler(
        check, pb.CheckRequest.FromString, pb.CheckResponse.SerializeToString
    )
    server = grpc.aio.server()
    service_name = CHECK.split("/")[1]
    handlers = grpc.method_handlers_generic_handler(service_name, {"Check": method})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    KEPT.append(server)
    return int(port)


KEPT: list[Any] = []


async def main(variant: str, folder: Path) -> None:
    """Serve until killed."""
    if variant == "floor":
        constant = (folder / "answer").read_bytes()
        port = await fast(lambda _raw: constant)
    elif variant == "naive":
        port = await naive(folder)
    elif variant == "ours-grpcio":
        port = await grpcio(service(folder).handle)
    else:
        port = await fast(service(folder).handle)
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], Path(sys.argv[2])))
