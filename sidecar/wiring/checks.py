"""Checks answered by this very process, on either engine."""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from sidecar.audit import AuditLog
from sidecar.authz.challenge import ChallengeSource
from sidecar.authz.policy import build_snapshot
from sidecar.authz.service import CheckService
from sidecar.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.decision_ids import DecisionIds
from sidecar.keys.keyring import EMPTY_RING
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyView
from sidecar.ledger import Ledger
from sidecar.numbers import cache_families
from sidecar.tokens.cache import TokenCache
from sidecar.transport.aio import GrpcServer, check_handlers
from sidecar.transport.h2 import H2Server
from sidecar.transport.lane import SlowLane
from sidecar.transport.names import CHECK_METHOD, CHECK_SERVICE
from sidecar.transport.unary import Limits
from sidecar.wiring.lifespan import Lifespan


class LocalChecks:
    """The Check of this process: ``publish`` gives it keys, ``start`` opens its listener."""

    def __init__(self, life: Lifespan, audit: AuditLog) -> None:
        cache = TokenCache(life.config.tokens.cache_entries)
        life.metrics.add_source(partial(cache_families, cache))
        self._life = life
        self._server: GrpcServer | H2Server | None = None
        self._state = KeyState.INIT
        loop = asyncio.get_running_loop()
        ids = DecisionIds()
        self._ledger = Ledger(life.metrics.tally, audit, ids, loop.call_later)
        life.stack.callback(self._ledger.drain)
        self._service = CheckService(
            build_snapshot(life.config, EMPTY_RING),
            now=wall_seconds,
            elapsed_ns=elapsed_ns,
            new_id=ids.text,
            observer=self._ledger,
            on_fault=life.on_fault,
            cache=cache,
            lane=SlowLane(loop),
        )

    def publish(self, view: KeyView) -> None:
        """Decide by these keys and revocations from the next Check on."""
        self._service.snapshot = msgspec.structs.replace(
            self._service.snapshot,
            ring=view.ring,
            revocations=view.revocations,
            key_state=view.state,
        )
        self._state = view.state
        self._show_key_state()

    def answer_challenges(self, source: ChallengeSource) -> None:
        """Tell CAs, from now on, what this source knows (ACME http-01)."""
        self._service.challenges = source

    async def start(self, nudge: Callable[[], None]) -> None:
        """Listen. ``nudge`` is told of every token whose key is not known."""
        self._ledger.on_key_unknown = nudge
        self._server = self._make_server()
        await self._life.listen(self._server)
        self._show_key_state()

    def _make_server(self) -> GrpcServer | H2Server:
        listen = self._life.config.listen.authz
        if listen.engine == "h2":
            return H2Server(
                listen.address,
                {CHECK_METHOD: self._service.handle},
                limits=Limits(max_message_bytes=listen.max_message_bytes),
                clock=monotonic_seconds,
                on_fault=self._life.on_fault,
            )
        return GrpcServer(
            listen.address,
            CHECK_SERVICE,
            check_handlers(self._service.handle),
            max_message_bytes=listen.max_message_bytes,
        )

    def _show_key_state(self) -> None:
        """Say the state of the keys in gRPC health, as ``keys.<state>``."""
        if self._server is not None:
            words = {f"keys.{each}": each is self._state for each in KeyState}
            self._life.run_soon(self._server.health.set_words(words))
