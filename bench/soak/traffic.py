"""The soak's clients: each sends the requests of its seed, and hands every answer to the judge."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from bench.soak.answers import read_answer, read_events, talk
from bench.soak.asks import Ask, asks
from bench.soak.connections import (
    ANSWER_SECONDS,
    Connection,
    Edge,
    Headers,
    Http1,
    Http2,
    Lost,
    Reply,
    Stale,
    Unserved,
)
from bench.soak.judge import Judge
from bench.soak.oracle import Answer, Expected
from bench.soak.policy import LIMIT, NOTHING
from bench.soak.timeline import Timeline
from bench.soak.tokens import mint
from bench.soak.world import BUNDLE, WITHDRAWN, Sent, World, identity_of, steadied
from sidecar.module_signing.signature import HEADER_NAME, sign_digest

SPOOFED = (
    ("x-tenant-id", "00000000-0000-4000-8000-00000000ee11"), ("X-User-Id", "root"),
    ("x.tenant.id", "00000000-0000-4000-8000-00000000ee11"), ("x-roles", "admin,root"),
    ("x-csp-nonce", "c3Bvb2ZlZHNwb29mZWQ="), ("x-module-verified", "true"),
)  # fmt: skip
"""What a client claims to be; no application may see any of it."""
_UPGRADE = (
    ("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)  # fmt: skip
FORGETTING = ("worker_killed", "sidecar_killed", "sidecar_restarted", "restart_overlapped")
"""Disturbances after which a process begins anew, and may let a whole limit pass once more."""
FORGOTTEN_SECONDS = 30.0
_TRIES = 4
_FRESH = 0.08
"""The share of requests that come on a connection of their own."""


class Publishers(NamedTuple):
    """Who signs bundles: one that is registered, and a stranger."""

    acme: ec.EllipticCurvePrivateKey
    stranger: ec.EllipticCurvePrivateKey


class Setting(NamedTuple):
    """What all clients of an act share."""

    seed: int
    act: str
    edge: Edge
    world: World
    judge: Judge
    publishers: Publishers
    wall: Callable[[], float]
    timeline: Timeline
    deciding: int
    """How many processes answer Checks at one time."""
    sidecars: int


class Client:
    """One client: a connection that it keeps for a while, and a channel of gRPC."""

    def __init__(self, setting: Setting, number: int) -> None:
        self._setting = setting
        self._number = number
        self._world, self._judge = setting.world, setting.judge
        self._kind: type[Connection] = Http1 if number % 2 else Http2
        self._contexts: dict[type[Connection], ssl.SSLContext] = {
            kind: setting.edge.context(kind.protocol) for kind in (Http1, Http2)
        }
        self._connection: Connection | None = None
        self._channel: Any = None
        self._channel_name = ""

    async def run(self, over: asyncio.Event, pause_seconds: float) -> None:
        """Send one request after another until it is over."""
        requests = asks(self._setting.seed, self._setting.act, self._number)
        while not over.is_set():
            await self._send(steadied(next(requests)))
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause_seconds)
        if self._connection is not None:
            self._connection.close()
        if self._channel is not None:
            await self._channel.close()

    async def _send(self, ask: Ask) -> None:
        start = self._world.sends(ask)
        try:
            match ask.shape:
                case "limited":
                    await self._limited(ask)
                case "unknown_name":
                    await self._unknown_name(ask)
                case "stream" | "socket":
                    await self._long(ask)
                case "grpc":
                    await self._call(ask)
                case _:
                    await self._plain(ask)
        except Unserved as exc:
            self._judge.unserved(start, str(exc))
        except Lost as exc:
            self._judge.lost(ask, str(exc), start.at)

    def _headers(self, ask: Ask) -> tuple[list[tuple[str, str]], bytes | None]:
        headers: list[tuple[str, str]] = []
        if ask.credential != "none":
            token = mint(ask, identity_of(ask), self._world.key_for(ask), self._setting.wall())
            scheme = "Basic" if ask.credential == "basic" else "Bearer"
            headers = [("authorization", f"{scheme} {token}")] * (1 + (ask.credential == "twice"))
        if ask.spoofed:
            headers += [(name.lower(), value) for name, value in SPOOFED]
        body = b"{}" if ask.shape == "post" else None
        if ask.shape == "install":
            body = self._bundle(ask, headers)
        return headers, body

    def _bundle(self, ask: Ask, headers: list[tuple[str, str]]) -> bytes:
        body = WITHDRAWN if ask.bundle == "withdrawn" else BUNDLE
        publishers = self._setting.publishers
        key = publishers.stranger if ask.bundle == "stranger" else publishers.acme
        signature = sign_digest(hashlib.sha256(body).digest(), key)
        headers.append(("content-type", "application/octet-stream"))
        if ask.bundle != "unsigned":
            headers.append((HEADER_NAME, signature))
        return body + b" " if ask.bundle == "altered" else body

    async def _connected(self, kind: type[Connection], name: str, *, fresh: bool) -> Connection:
        kept = self._connection
        if kept is not None and (
            fresh or kept.closing or kept.name != name or not isinstance(kept, kind)
        ):
            kept.close()
            kept = None
        if kept is None:
            edge = self._setting.edge
            kept = self._connection = await kind.open(edge, self._contexts[kind], name)
        return kept

    async def _ask(self, sent: Sent, headers: Headers, body: bytes | None) -> Reply:
        """Send a request, once more where a kept connection had ended."""
        ask, method = sent.ask, "GET" if body is None else "POST"
        fresh = ask.keep < _FRESH or ask.shape == "install"
        for _ in range(_TRIES):
            connection = await self._connected(self._kind, sent.name.name, fresh=fresh)
            try:
                return await connection.request(method, ask.path, headers, body)
            except Stale:
                self._judge.asked_again += 1
                fresh = True
        raise Lost("every connection that was kept had ended")

    async def _plain(self, ask: Ask) -> None:
        headers, body = self._headers(ask)
        sent = self._world.sends(ask)
        self._decided(sent, await self._ask(sent, headers, body))

    def _decided(self, sent: Sent, reply: Reply, told: Any = None) -> None:
        received = self._world.clock()
        answer, decision_id = read_answer(reply, told)
        right = self._world.right_answers(sent, received)
        self._judge.decided(sent, received, answer, right, decision_id)

    async def _long(self, ask: Ask) -> None:
        """Open a stream of events or a websocket, and see it to its end."""
        headers, _ = self._headers(ask)
        sent = self._world.sends(ask)
        edge, context = self._setting.edge, self._contexts[Http1]
        connection = await Http1.open(edge, context, sent.name.name)
        try:
            if ask.shape == "stream":
                reply = await connection.request("GET", ask.path, headers)
                self._decided(sent, *read_events(reply))
                return
            reply = await connection.request("GET", ask.path, [*headers, *_UPGRADE])
            if reply.status != 101:
                self._decided(sent, reply)
                return
            received = self._world.clock()
            told = await talk(connection, ask)
            right = self._world.right_answers(sent, received)
            answer, _ = read_answer(reply._replace(status=200), told)
            self._judge.decided(sent, received, answer, right)
        finally:
            connection.close()

    async def _call(self, ask: Ask) -> None:
        headers, _ = self._headers(ask)
        sent = self._world.sends(ask)
        channel = await self._channel_for(sent.name.name)
        method = channel.unary_unary(ask.path)
        for again in range(_TRIES):
            call = method(b"x", timeout=ANSWER_SECONDS, metadata=headers, wait_for_ready=True)
            code = await call.code()
            details = await call.details() or ""
            fields = [*await call.initial_metadata(), *await call.trailing_metadata()]
            if code == grpc.StatusCode.UNAVAILABLE and not fields and again < _TRIES - 1:
                self._judge.asked_again += 1  # the connection ended, and said nothing
                continue
            break
        if code.value[0] in {1, 2, 4} or not fields:
            raise Lost(f"gRPC {code}: {details}")
        received = self._world.clock()
        told = json.loads(await call)["told"] if code == grpc.StatusCode.OK else None
        seen = {name: str(value) for name, value in fields}
        answer = Answer(200, "", seen, told, code.value[0])
        right = self._world.right_answers(sent, received)
        self._judge.decided(sent, received, answer, right)

    async def _channel_for(self, name: str) -> Any:
        """Return the one channel that is kept: for another name another is made."""
        if self._channel_name != name:
            if self._channel is not None:
                await self._channel.close()
            edge = self._setting.edge
            credentials = grpc.ssl_channel_credentials(edge.ca_pem.encode())
            self._channel_name = name
            self._channel = grpc.aio.secure_channel(
                f"127.0.0.1:{edge.port}",
                credentials,
                options=[
                    ("grpc.ssl_target_name_override", name),
                    ("grpc.default_authority", name),
                    ("grpc.initial_reconnect_backoff_ms", 100),
                    ("grpc.max_reconnect_backoff_ms", 1000),
                    ("grpc.use_local_subchannel_pool", 1),
                ],
            )
        return self._channel

    async def _limited(self, ask: Ask) -> None:
        """Use a token's limit up: never less than it passes, nor more than can be announced.

        docs/limits.md: before processes have heard of one another, each may spend the whole.
        """
        passed = 0
        headers, _ = self._headers(ask)  # one token: the limit is of each
        first = self._world.sends(ask)
        most = LIMIT * self._setting.deciding
        for number in range(most + 1):
            one = ask._replace(place=f"{ask.place}/{number}")
            sent = first._replace(ask=one, at=self._world.clock())
            reply = await self._ask(sent, headers, None)
            received = self._world.clock()
            right = self._world.right_answers(sent, received)
            right = _bounded(right, passed, *self._bounds(first.at, received))
            answer, decision_id = read_answer(reply, None)
            self._judge.decided(sent, received, answer, right, decision_id)
            passed += reply.status == 200
            if reply.status == 429:
                break

    def _bounds(self, start: float, end: float) -> tuple[int, int]:
        """Return how many requests of a token must pass at least, and may at most."""
        setting = self._setting
        afresh = setting.timeline.meets(FORGETTING, start, end, FORGOTTEN_SECONDS)
        # A sidecar has its part of the limit, and one that has gone is counted for a while. Of
        # what is left of it each worker has a share, and less than one request admits none.
        fewest = LIMIT // (setting.sidecars + afresh) + setting.sidecars - setting.deciding
        return fewest, LIMIT * setting.deciding * (1 + afresh)

    async def _unknown_name(self, ask: Ask) -> None:
        """Shake hands for a name that nobody has registered: it must fail."""
        name = f"nobody-{ask.client}-{ask.number}.example"
        sent = self._world.clock()
        try:
            connection = await Http1.open(self._setting.edge, self._contexts[Http1], name)
        except Lost:
            self._judge.answers["unknown_name refused"] += 1
            return
        connection.close()
        self._judge.report(
            "certificate", name, ["a name that nobody registered is served"], sent,
            self._world.clock(),
        )  # fmt: skip


def _bounded(right: list[Expected], passed: int, fewest: int, most: int) -> list[Expected]:
    """Return what is right where so many have passed, and between so many may."""
    found = [] if passed >= most else list(right)
    if passed >= fewest:
        found += [
            Expected(429, "rate_limited", None, NOTHING, each.referrer)
            for each in right
            if each.told is not None
        ]
    return found
