"""Whatever a lookup of challenges comes to, the worker that asked is answered."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from sidecar.authz.acme_challenge import PendingChallenge
from sidecar.runtime.workers.challenge_replies import ChallengeReplies, FleetChallenges
from sidecar.runtime.workers.frames import (
    ChallengesReply,
    ChallengesRequest,
    KnownChallenge,
    ToWorker,
)
from sidecar.runtime.workers.framing import MAX_TO_WORKER_BYTES, FrameReader
from tests.support.waiting import until

KNOWN = KnownChallenge("token", "shop.example", "the answer")


class Known:
    async def find_all(self, tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        return {token: KNOWN for token in tokens if token == KNOWN.token}


class Unencodable:
    async def find_all(self, tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        return {token: KnownChallenge(token, "\ud800", "") for token in tokens}


class Broken:
    async def find_all(self, tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        raise LookupError(tokens)


class Endless:
    async def find_all(self, _tokens: Collection[str]) -> Mapping[str, PendingChallenge]:
        await asyncio.Event().wait()
        return {}


@pytest.mark.parametrize(
    ("source", "known", "faults"),
    [
        (None, (), []),
        (Known(), (KNOWN,), []),
        (Endless(), (), []),
        (Broken(), (), [LookupError]),
        (Unencodable(), (), [UnicodeEncodeError]),
    ],
    ids=["no ACME", "known", "too slow", "a defect", "not Unicode"],
)
async def test_one_reply_to_one_request(
    monkeypatch: pytest.MonkeyPatch,
    source: FleetChallenges | None,
    known: tuple[KnownChallenge, ...],
    faults: list[type[Exception]],
) -> None:
    if isinstance(source, Endless):
        monkeypatch.setattr("sidecar.runtime.workers.challenge_replies.CHALLENGE_SECONDS", 0.0)
    sent: list[bytes] = []
    found: list[Exception] = []
    replies = ChallengeReplies(found.append)
    replies.source = source
    replies.answer(ChallengesRequest(4, ("token", "other")), sent.append)
    await until(lambda: sent)
    reader = FrameReader(ToWorker, MAX_TO_WORKER_BYTES)
    assert list(reader.feed(sent[0])) == [ChallengesReply(4, known)]
    assert len(sent) == 1
    assert [type(each) for each in found] == faults
