"""The servers that are compared, each a process of its own.

Usage: python -m bench.servers VARIANT FOLDER [--cache ENTRIES] [--unix PATH] [--names N]
       [--limits YAML]

``ours-h2`` and ``ours-grpcio``: the sidecar's Check with cache, lane, metrics and audit, on
either engine. ``floor``: the fast engine with a constant reply, read from FOLDER/answer.
``naive``: what one writes first, grpc.aio with protobuf classes and PyJWT. ``cached``: the
sidecar's Check with leases for Envoys at FOLDER/leases.sock. ``sds``: the sidecar's SDS with N
certificates in memory. Each prints where it listens when it does: a
port of loopback, or PATH.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bench.names import AUDIENCE, ISSUER
from sidecar.common.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.transport.h2 import H2Server
from sidecar.transport.limits import Limits
from sidecar.transport.names import CHECK_METHOD, CHECK_SERVICE

CONFIG = f"""\
vault: {{address: "https://vault.internal", auth: {{method: token_file, path: /none}}}}
tokens: {{issuers: [{{issuer: "{ISSUER}", audiences: ["{AUDIENCE}"]}}]}}
routes:
  - {{name: assets, path_prefix: /assets, auth: none}}
  - {{name: api, path_prefix: /api, csp: api}}
  - {{name: shell, path_prefix: /}}
"""


def service(
    folder: Path,
    *,
    cache: Any = None,
    now: Callable[[], float] = wall_seconds,
    limits: str = "",
    audit: Any = None,
) -> Any:
    """Put the sidecar's Check together as the runtime does, keys apart.

    ``cache`` is one of the size that the configuration gives it if nothing is said. ``now`` is
    the wall clock unless somebody needs an hour to pass at once. ``limits`` is the section of
    that name; none if nothing is said. ``audit`` is a log of its own if nothing is said.
    """
    from sidecar.authz.decision_ids import DecisionIds
    from sidecar.authz.recorder import DecisionRecorder
    from sidecar.authz.service import CheckService
    from sidecar.authz.snapshot import build_snapshot
    from sidecar.config import parse_config
    from sidecar.keys.sources import parse_keys
    from sidecar.observability.counters import Counters
    from sidecar.runtime.check import make_limiter
    from sidecar.tokens.cache import TokenCache
    from sidecar.tokens.keyring import KeyRing
    from sidecar.transport.lane import SlowLane

    keys = parse_keys((folder / "public.pem").read_text(), ISSUER)
    config = parse_config(CONFIG + (f"limits: {limits}\n" if limits else ""), "bench")
    counters = Counters()
    audit = audit_log(folder) if audit is None else audit
    loop = asyncio.get_running_loop()
    return CheckService(
        build_snapshot(config, KeyRing(keys)),
        now=now,
        elapsed_ns=elapsed_ns,
        new_id=DecisionIds().take,
        observer=DecisionRecorder(counters, audit, loop.call_later),
        on_fault=report,
        cache=TokenCache(config.tokens.cache_entries) if cache is None else cache,
        lane=SlowLane(loop, counters.latency.total),
        limiter=make_limiter(config, counters, shared=False),
    )


def audit_log(folder: Path) -> Any:
    """Open this process's audit log."""
    from sidecar.observability.audit import AuditLog, FileSink

    sink = FileSink(audit_path(folder, os.getpid()))
    return AuditLog(sink, queue_lines=16_384, on_error=report)


async def fast(handle: Callable[[bytes], Any], address: str) -> str:
    """Serve ``handle`` on the fast engine."""
    server = H2Server(
        address,
        {CHECK_METHOD: handle},
        limits=Limits(),
        clock=monotonic_seconds,
        on_fault=report,
    )
    await server.start()
    return server.bound_address


async def grpcio(handle: Callable[[bytes], Any], address: str) -> str:
    """Serve ``handle`` on grpcio."""
    from sidecar.transport.aio import GrpcServer, check_handlers

    handlers = check_handlers(handle, report)
    server = GrpcServer(address, CHECK_SERVICE, handlers, max_message_bytes=4_194_304)
    await server.start()
    KEPT.append(server)
    return server.bound_address


async def naive(folder: Path, address: str) -> str:
    """Serve what one writes first."""
    import grpc
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from sidecar.pb import ext_authz_pb2 as pb

    key: Any = load_pem_public_key((folder / "public.pem").read_bytes())

    async def check(request: Any, _context: Any) -> Any:
        headers = request.attributes.request.http.headers
        token = headers.get("authorization", b"").decode().removeprefix("Bearer ")
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
    handlers = grpc.method_handlers_generic_handler(CHECK_SERVICE, {"Check": method})
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port(address)
    await server.start()
    KEPT.append(server)
    return f"127.0.0.1:{port}"


async def cached(folder: Path, address: str) -> str:
    """Serve the sidecar's Check, and lease its answers."""
    from bench.leasing import serve_cached

    return await serve_cached(folder, address)


async def sds(names: int, address: str) -> str:
    """Serve certificates that are in memory."""
    from bench.certificates import serve_certificates

    server = await serve_certificates(names, address)
    KEPT.append(server)
    return server.bound_address


KEPT: list[Any] = []
"""grpcio's servers end when nobody holds them."""


def audit_path(folder: Path, pid: int) -> Path:
    """Tell where the server of this process id writes its audit lines."""
    return folder / f"audit-{pid}.jsonl"


def report(fault: object) -> None:
    """Say that something went wrong; nothing should."""
    print(f"bench.servers: {fault!r}", file=sys.stderr, flush=True)


def constant(answer: bytes) -> Callable[[bytes], bytes]:
    """Return the handler of the floor."""
    return lambda _raw: answer


class Options(NamedTuple):
    """What is asked of a server."""

    variant: str
    folder: Path
    cache: int | None = None
    unix: str = ""
    names: int = 0
    limits: str = ""

    @classmethod
    def read(cls, arguments: list[str]) -> "Options":
        """Read the command line. By hand: argparse would be a megabyte in every server."""
        variant, folder, *rest = arguments
        given = dict(zip(rest[::2], rest[1::2], strict=True))
        cache = given.pop("--cache", None)
        limits = given.pop("--limits", "")
        unix, names = given.pop("--unix", ""), int(given.pop("--names", 0))
        if given:
            raise SystemExit(f"bench.servers: unknown options {sorted(given)}")
        return cls(
            variant, Path(folder), None if cache is None else int(cache), unix, names, limits
        )


def cache_of(options: Options) -> Any:
    """Make the cache that was asked for, if one was."""
    from sidecar.tokens.cache import TokenCache

    return None if options.cache is None else TokenCache(options.cache)


async def start(options: Options) -> str:
    """Start the variant and return where it listens."""
    folder = options.folder
    address = f"unix:{options.unix}" if options.unix else "127.0.0.1:0"
    starts: dict[str, Callable[[], Awaitable[str]]] = {
        "ours-h2": lambda: fast(
            service(folder, cache=cache_of(options), limits=options.limits).handle, address
        ),
        "ours-grpcio": lambda: grpcio(service(folder, cache=cache_of(options)).handle, address),
        "floor": lambda: fast(constant((folder / "answer").read_bytes()), address),
        "naive": lambda: naive(folder, address),
        "cached": lambda: cached(folder, address),
        "sds": lambda: sds(options.names, address),
    }
    return await starts[options.variant]()


async def main(options: Options) -> None:
    """Serve until killed."""
    print((await start(options)).removeprefix("127.0.0.1:").removeprefix("unix:"), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Options.read(sys.argv[1:])))
