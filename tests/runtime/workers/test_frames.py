"""What goes through the channel, and what is refused there."""

import contextlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import load_config, parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.limits.buckets import Share, SpendReport
from sidecar.observability.counters import Histogram
from sidecar.runtime.workers.frames import (
    MAX_FROM_WORKER_BYTES,
    MAX_TO_WORKER_BYTES,
    Applied,
    ChallengesReply,
    ChallengesRequest,
    Drain,
    Frame,
    FrameFault,
    FrameReader,
    FromWorker,
    KeysFrame,
    KnownChallenge,
    LimitsShares,
    LimitsState,
    LimitsUsed,
    LogLine,
    Policies,
    PublicKey,
    Readiness,
    Report,
    Revoked,
    Serving,
    Start,
    StatsRequest,
    TenantRate,
    TenantRates,
    ToWorker,
    UnknownKid,
    VersionRefused,
    encode,
    public_keys,
    ring_of,
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
from tests.support.minting import ISSUER, NOW, TENANT, Issuer

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
    KeysFrame(7, (PublicKey("k", None, b"\x30"),), (0, 1), KeyState.OUTAGE),
    KeysFrame(8, (), (), KeyState.ACTIVE, True, (PublicKey("k", "acme", b"0"),), ("a",)),
    Readiness(ready=True),
    LimitsState(b"k" * 32, 1.0, 0.25),
    TenantRates({TENANT: TenantRate(5, 60, 5, False), "other": None}),
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


OTHER_BUCKETS = WorkerStats()
OTHER_BUCKETS.counters.latency = Histogram((1, 2))
TOO_FEW = WorkerStats()
TOO_FEW.counters.latency.counts.pop()

REFUSED = [
    ("too long", (MAX_FROM_WORKER_BYTES + 1).to_bytes(4, "big"), "the limit is"),
    ("no msgpack", b"\0\0\0\1\xc1", "can't be decoded"),
    ("of an unknown kind", encode(StatsRequest(1)).replace(b"ask", b"axe"), "can't be decoded"),
    ("of the other direction", encode(Drain()), "can't be decoded"),
    ("other buckets than ours", encode(Report(1, 1, OTHER_BUCKETS)), "the buckets differ"),
    ("a bucket short", encode(Report(1, 1, TOO_FEW)), "one count per bucket"),
    (
        "text that is not UTF-8",
        encode(VersionRefused("xx")).replace(b"xx", b"\xff\xff"),
        "can't be decoded",
    ),
]


@pytest.mark.parametrize(("raw", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_no_frame_is_a_fault(raw: bytes, said: str) -> None:
    with pytest.raises(FrameFault, match=said):
        list(FrameReader(FromWorker, MAX_FROM_WORKER_BYTES).feed(raw))


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


def test_a_ring_is_sent_as_public_keys(issuer: Issuer) -> None:
    sent = public_keys(issuer.ring)
    public = issuer.private.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert sent == (PublicKey("key-1", ISSUER, der),)
    assert list(ring_of(sent)) == list(issuer.ring)


def other_keys() -> dict[str, bytes]:
    spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return {
        "another curve": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*spki),
        "another kind": ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*spki),
        "garbage": b"\x30\x00",
    }


@pytest.mark.parametrize("name", ["another curve", "another kind", "garbage"])
def test_only_keys_on_p256_come_into_a_ring(name: str) -> None:
    with pytest.raises(FrameFault, match=r"a key (can't|is not)"):
        ring_of((PublicKey("k", ISSUER, other_keys()[name]),))
