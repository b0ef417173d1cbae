"""What goes through the channel, and what is refused there."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import load_config, parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.limits.buckets import Share, SpendReport
from sidecar.runtime.workers.frames import (
    Applied,
    ChallengesReply,
    ChallengesRequest,
    Drain,
    FromWorker,
    KnownChallenge,
    LogLine,
    Policies,
    Readiness,
    Report,
    Serving,
    Spans,
    Start,
    StatsRequest,
    TenantTableFrame,
    ToWorker,
    UnknownKid,
    VersionRefused,
)
from sidecar.runtime.workers.framing import (
    MAX_FROM_WORKER_BYTES,
    MAX_TO_WORKER_BYTES,
    Frame,
    FrameFault,
    FrameReader,
    encode,
)
from sidecar.runtime.workers.key_frames import KeysFrame, Revoked, SentKey
from sidecar.runtime.workers.limit_frames import (
    LimitsShares,
    LimitsState,
    LimitsUsed,
    TenantLimitsFrame,
    TenantRate,
)
from sidecar.runtime.workers.stats import WorkerStats
from sidecar.tokens.revocation import (
    RevocationEntry,
    Revocations,
    RevokedSubject,
    RevokedTenant,
    RevokedToken,
)
from tests.authz.conftest import CONFIG
from tests.observability.tracing.test_tracer import RECORD
from tests.support.minting import ISSUER, NOW, TENANT

ENTRY = RevocationEntry(
    kids=("gone",),
    tokens=(RevokedToken(iss=ISSUER, jti="t-1", exp=NOW + 60),),
    subjects=(RevokedSubject(iss=ISSUER, sub="alice", issued_before=NOW),),
    tenants=(RevokedTenant(tenant=TENANT, issued_before=NOW),),
)
REVOCATIONS = Revocations(ENTRY, NOW, 930)
NUMBERS = WorkerStats(hits=3, cpu_seconds=0.5)
NUMBERS.counters.count_check("deny", "token_expired", "api", 70)

TO_WORKER = [
    Start(1, 2, "127.0.0.1:9110"),
    Policies(parse_config(CONFIG, "test")),
    Policies(load_config(Path(__file__).parents[3] / "config.example.yaml")),
    *(Revoked(number, part.tables()) for number, part in enumerate(REVOCATIONS.parts)),
    KeysFrame(7, (SentKey("k", None, b"\x30", "ES256"),), (0, 1), KeyState.OUTAGE),
    KeysFrame(8, (), (), KeyState.ACTIVE, True, (SentKey("k", "acme", b"0", "ES256"),), ("a",)),
    TenantTableFrame(9, ISSUER, "secret", "iam/tenants", {"acme": TENANT}),
    TenantTableFrame(10, ISSUER, "secret", "iam/tenants", None),
    Readiness(ready=True),
    LimitsState(b"k" * 32, 1.0, 0.25),
    TenantLimitsFrame({TENANT: TenantRate(5, 60, 5, False), "other": None}),
    LimitsShares(7, (Share("tenant|a", -5, 0.5, 0.25),)),
    ChallengesReply(3, (KnownChallenge("token", "a.example", "token.thumb"),)),
    StatsRequest(9),
    Drain(),
]
FROM_WORKER = [
    Serving("127.0.0.1:9110"),
    VersionRefused("taken"),
    Applied(7),
    Report(9, 7, NUMBERS),
    UnknownKid(),
    ChallengesRequest(3, ("token",)),
    LimitsUsed(7, (SpendReport("tenant|a", 5, 2),)),
    Spans((RECORD,) * 2),
    LogLine(40, "text"),
]


DIRECTIONS = [(TO_WORKER, ToWorker), (FROM_WORKER, FromWorker)]


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize(("frames", "kind"), DIRECTIONS, ids=["to a worker", "from a worker"])
def test_frames_arrive_as_they_were_sent_however_they_are_cut(
    frames: list[Frame], kind: object, size: int
) -> None:
    stream = b"".join(encode(frame) for frame in frames)
    reader = FrameReader(kind, MAX_TO_WORKER_BYTES)
    got: list[Frame] = []
    for start in range(0, len(stream), size):
        got += reader.feed(stream[start : start + size])
    assert got == frames


@given(
    st.binary(max_size=200),
    st.sampled_from(TO_WORKER + FROM_WORKER),
    st.sampled_from([FromWorker, ToWorker]),
)
def test_whatever_comes_is_a_frame_or_a_fault(noise: bytes, frame: Frame, kind: object) -> None:
    raw = encode(frame)
    spot = len(noise) % len(raw)
    for stream in (noise, raw[:spot] + noise + raw[spot:], raw[:4] + noise):
        reader = FrameReader(kind, MAX_FROM_WORKER_BYTES)
        with contextlib.suppress(FrameFault):
            assert all(isinstance(each, Frame) for each in reader.feed(stream))
