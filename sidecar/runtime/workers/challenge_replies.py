"""Answers the workers' requests for pending ACME challenges, from the main process."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from sidecar.authz.acme_challenge import PendingChallenge
from sidecar.runtime.workers.frames import ChallengesReply, ChallengesRequest, KnownChallenge
from sidecar.runtime.workers.framing import encode

CHALLENGE_SECONDS = 4.0
"""A worker's challenge request is answered within this time; a bit less than it waits."""


class FleetChallenges(Protocol):
    """Finds ACME challenges; ``certificates.challenges.distributed_solver`` has one."""

    async def find_all(self, tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        """Find several with one lookup."""


class ChallengeReplies:
    """Answers each request in a task of its own, whatever the lookup comes to.

    A worker sends no further request before its last one is answered, and ``WorkerWatch`` allows
    it only one at a time; so the tasks are as many as the workers.
    """

    def __init__(self, on_fault: Callable[[Exception], None]) -> None:
        self.source: FleetChallenges | None = None
        """The source of the challenges, where ACME is configured."""
        self._on_fault = on_fault
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, request: ChallengesRequest, send: Callable[[bytes], None]) -> None:
        """Look the challenges up, and send one encoded reply."""
        task = asyncio.create_task(self._answer(request, send))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: ChallengesRequest, send: Callable[[bytes], None]) -> None:
        found: Mapping[str, PendingChallenge] = {}
        try:
            if self.source is not None:
                async with asyncio.timeout(CHALLENGE_SECONDS):
                    found = await self.source.find_all(request.tokens)
            known = (KnownChallenge(token, each.host, each.answer) for token, each in found.items())
            raw = encode(ChallengesReply(request.number, tuple(known)))
        except TimeoutError:
            raw = encode(ChallengesReply(request.number))
        except Exception as exc:  # noqa: BLE001 - the task's edge
            self._on_fault(exc)
            raw = encode(ChallengesReply(request.number))
        send(raw)
