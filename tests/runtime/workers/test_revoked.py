"""Parts of the revocation list, from the main process to a worker."""

import pytest

from sidecar.keys.lifecycle import KeyState
from sidecar.runtime.workers.frames import ToWorker
from sidecar.runtime.workers.framing import MAX_TO_WORKER_BYTES, FrameFault, FrameReader
from sidecar.runtime.workers.key_frames import KeysFrame
from sidecar.runtime.workers.revoked import ReceivedParts, RevokedParts
from sidecar.tokens.revocation import Revocations
from tests.runtime.workers.test_frames import REVOCATIONS


def reader() -> FrameReader:
    return FrameReader(ToWorker, MAX_TO_WORKER_BYTES)


def test_only_new_parts_of_the_revocations_are_sent_and_others_are_forgotten() -> None:
    sent, received = RevokedParts(), ReceivedParts()
    for parts, fresh in (
        (REVOCATIONS.parts, 4),
        (REVOCATIONS.parts, 0),
        (REVOCATIONS.parts[1:], 0),
    ):
        raw = sent.take(parts)
        assert len(raw) == fresh
        for frame in (each for one in raw for each in reader().feed(one)):
            received.take(frame)
        got = received.in_force(KeysFrame(1, (), sent.numbers, KeyState.ACTIVE))
        assert got == Revocations.of(parts)
    assert len(list(sent.frames())) == 3
    with pytest.raises(FrameFault, match="was not sent"):
        received.in_force(KeysFrame(1, (), (1,), KeyState.ACTIVE))


def test_revocations_come_back_as_they_were() -> None:
    sent, received = RevokedParts(), ReceivedParts()
    frames = [each for raw in sent.take(REVOCATIONS.parts) for each in reader().feed(raw)]
    assert len(frames) == len(REVOCATIONS.parts) == 4
    for frame in frames:
        received.take(frame)
    restored = received.in_force(KeysFrame(1, (), sent.numbers, KeyState.ACTIVE))
    assert restored == REVOCATIONS
    assert len(restored) == 4
