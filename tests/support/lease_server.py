"""A sidecar as far as the decision cache meets one: a program with a lease server and Checks.

``python -m tests.support.lease_server SOCKET PORT AUDIT``: leases on a Unix socket, Checks over
gRPC on a loopback port; the lines of rings are appended to a file. Orders come on standard input
and are answered on standard output, a line each: ``raise``, ``revoke``, ``grant N``, ``counts``,
``sever`` (close every connection).
"""

import asyncio
import hashlib
import json
import os
import socket
import sys
from pathlib import Path

import grpc

from sidecar.pb import ext_authz_pb2 as pb
from tests.support.leases import ASK, NO_CREDIT, PAYLOAD_KEY, QUERY_REPEATS, Leases, Ring, Row
from tests.support.leases import payload as make_payload

ROWS = (
    Row(9, "/api/private", "/api/private", flags=ASK),
    Row(1, "/api", "/api"),
    Row(2, "/short", "/short"),
    Row(3, "/bodies", "/bodies", flags=QUERY_REPEATS),
    Row(4, "/counted", "/counted"),
)
TICK_SECONDS = 0.02
SHORT_SECONDS = 0.3
LINE = (
    b'{"time":"\x1aT","decision_id":"\x1aI","outcome":"allow","subject":"\x1a0","method":"\x1aM",'
    b'"host":"\x1aH","path":"\x1aP","source":"\x1aS","token_id":"\x1a1","latency_us":\x1aU}'
)
RESPONSE = (  # name, value, append_action
    ("strict-transport-security", "max-age=31536000", 2),
    ("content-security-policy", "default-src 'self'", 1),
    ("vary", "origin", 0),
    ("server", "nobody", 3),
)
REMOVED = ("x-secret", "x-also-secret")


class Server:
    """Leases and decisions. Every bearer token passes, until it is revoked."""

    def __init__(self, path: str, audit: Path) -> None:
        self.leases = Leases(ROWS)
        self.asked = 0
        self._revoked = False
        self._audit = audit.open("ab", buffering=0)
        self._rings: dict[socket.socket, Ring] = {}
        self._loop = asyncio.get_running_loop()
        Path(path).unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        self._tick()

    def _accept(self) -> None:
        peer, _ = self._listener.accept()
        peer.settimeout(5)
        self._rings[peer], old = self.leases.welcome(peer)
        if old is not None:
            self._audit.write(old.drain())
            old.close()
        peer.setblocking(False)
        self._loop.add_reader(peer, self._hang_up, peer)

    def _hang_up(self, peer: socket.socket) -> None:
        self._loop.remove_reader(peer)
        ring = self._rings.pop(peer)
        self._audit.write(ring.drain())
        ring.close()
        peer.close()

    def _tick(self) -> None:
        self.leases.beat()
        for ring in self._rings.values():
            if lines := ring.drain():
                self._audit.write(lines)
        self._loop.call_later(TICK_SECONDS, self._tick)

    def check(self, raw: bytes) -> bytes:
        """Answer one Check."""
        self.asked += 1
        http = pb.CheckRequest.FromString(raw).attributes.request.http
        credential = http.headers.get("authorization", b"")
        answer = pb.CheckResponse()
        if self._revoked or not credential.startswith(b"Bearer "):
            answer.status.code = 7
            answer.denied_response.status.code = 401
            return answer.SerializeToString()
        token = credential[7:]
        user, number = token.split(b".")[0], hashlib.sha256(token).hexdigest()[:16].encode()
        answer.status.code = 0
        records: list[tuple[bytes, ...]] = [(b"l", LINE)]
        for name, value, filled in (
            ("x-user-id", b"\x1a0", user),
            ("x-token-id", b"\x1a1", number),
            ("x-tenant-id", b"acme", b"acme"),
        ):
            option = answer.ok_response.headers.add(append_action=2)
            option.header.key, option.header.value = name, filled
            records.append((b"h", name.encode(), value))
        answer.ok_response.headers_to_remove.extend(REMOVED)
        records += [(b"d", name.encode()) for name in REMOVED]
        for name, text, how in RESPONSE:
            option = answer.ok_response.response_headers_to_add.add(append_action=how)
            option.header.key, option.header.value = name, text.encode()
            records.append((str(how).encode(), name.encode(), text.encode()))
        for key, text in (("tenant", "acme"), ("reason", "token_valid"), ("route", "api")):
            answer.dynamic_metadata.fields[key].string_value = text
            records.append((b"m", key.encode(), text.encode()))
        row = next((each for each in ROWS if http.path.startswith(each.path.encode())), None)
        if row is not None and not row.flags & ASK:
            answer.dynamic_metadata.fields[PAYLOAD_KEY].string_value = make_payload(
                self.leases,
                records,
                (user, number),
                scope=row.scope,
                seconds=SHORT_SECONDS if row.path == "/short" else 600,
                credit=0 if row.path == "/counted" else NO_CREDIT,
            ).decode()
        return answer.SerializeToString()

    def obey(self, order: str) -> object:
        """Carry out one order."""
        word, _, rest = order.strip().partition(" ")
        if word == "raise":
            self.leases.raise_epoch()
        elif word == "revoke":
            self._revoked = True
            self.leases.raise_epoch()
        elif word == "grant":
            self.leases.grant(0, self.leases.spent(0) + int(rest))
        elif word == "sever":
            for peer in self._rings:
                peer.shutdown(socket.SHUT_RDWR)
        elif word != "counts":
            raise ValueError(f"no such order: {order!r}")
        counts = [ring.counts() for ring in self._rings.values()]
        total = {name: sum(each[name] for each in counts) for name in (counts or [{}])[0]}
        return {"asked": self.asked, "leases": len(counts), **total}


async def main(path: str, port: str, audit: str) -> None:
    """Serve until standard input ends."""
    server = Server(path, Path(audit))

    async def check(raw: bytes, _: object) -> bytes:
        return server.check(raw)

    handler = grpc.method_handlers_generic_handler(
        "envoy.service.auth.v3.Authorization", {"Check": grpc.unary_unary_rpc_method_handler(check)}
    )
    checks = grpc.aio.server()
    checks.add_generic_rpc_handlers((handler,))
    checks.add_insecure_port(f"127.0.0.1:{port}")
    await checks.start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print(json.dumps({"pid": os.getpid()}), flush=True)  # noqa: T201 - the protocol of its orders
    while line := await reader.readline():
        print(json.dumps(server.obey(line.decode())), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
