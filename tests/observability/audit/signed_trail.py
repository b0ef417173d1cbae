"""A trail with signed checkpoints, as a sidecar writes it, for tests that doctor it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.observability.audit.chain import CHECKPOINT, Head, chain_lines, read_link, trail_line
from sidecar.observability.audit.checkpoint import ORIGIN, Cause, Checkpoint, NoteKey, make_note
from sidecar.observability.audit.entry import AuditEntry, encode_entry
from sidecar.observability.audit.findings import TrailReport
from sidecar.observability.audit.verify import Verifier

TRAIL = b"0123456789abcdef"
START = datetime(2026, 11, 26, 3, 0, tzinfo=UTC).timestamp()


class Signer:
    """A key, as transit would have it."""

    def __init__(self, seed: int = 1, name: str = f"{ORIGIN}audit") -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = NoteKey(name, public)

    @property
    def pem(self) -> bytes:
        return self._private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    def note(self, head: Head, at: float) -> str:
        time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        checkpoint = Checkpoint(self.key.name, head, time, Cause.INTERVAL)
        return make_note(checkpoint, self.key, self._private.sign(checkpoint.text))


def decision(number: int, at: float) -> bytes:
    return encode_entry(
        AuditEntry(
            at=at, decision_id=f"d{number}", outcome="allow", reason="token_verified",
            status=200, route="api", latency_us=42, path=f"/api/{number}",
        )
    )  # fmt: skip


class SignedTrail:
    """Writes lines a second apart, and a checkpoint behind every so many of them."""

    def __init__(self, every: int = 10, signer: Signer | None = None, trail: bytes = TRAIL) -> None:
        self.signer = signer or Signer()
        self.head = Head(trail)
        self.at = START
        self.notes: list[str] = []
        self._every = every
        self._decisions = 0

    def lines(self, count: int) -> list[bytes]:
        """Return so many decisions, with the checkpoints between them."""
        written: list[bytes] = []
        for _ in range(count):
            self._decisions += 1
            self.at += 1
            written += self.chain([decision(self._decisions, self.at)])
            if self._decisions % self._every == 0:
                written += self.checkpoint()
        return written

    def checkpoint(self) -> list[bytes]:
        note = self.signer.note(self.head, self.at)
        self.notes.append(note)
        return self.own(CHECKPOINT, note=note)

    def own(self, reason: str, **members: int | str) -> list[bytes]:
        time = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        return self.chain([trail_line(time, reason, "", **members)])

    def chain(self, lines: Sequence[bytes]) -> list[bytes]:
        chained, self.head = chain_lines(self.head, lines)
        return chained


def rechained(lines: Sequence[bytes], head: Head) -> list[bytes]:
    """Return chained lines with links that fit, whatever was done to them: what anybody can do."""
    bodies = []
    for line in lines:
        link = read_link(line[:-1])
        assert link is not None
        bodies.append(link.body[: link.body.rindex(b',"trail":')] + b"}\n")
    return chain_lines(head, bodies)[0]


def verify(
    *files: bytes,
    keys: Sequence[NoteKey] = (Signer().key,),
    external: Sequence[str] = (),
    now: float | None = None,
    chunk: int = 1000,
    sink: str = "",
) -> TrailReport:
    verifier = Verifier(keys, max_unsigned_seconds=30, sink=sink)
    for number, note in enumerate(external):
        verifier.signed.add_external(note, verifier._place()._replace(file="kept", line=number))
    verifier.signed.sort_external()
    for number, data in enumerate(files, 1):
        verifier.begin_file(f"file{number}")
        for at in range(0, len(data), chunk):
            verifier.read(data[at : at + chunk])
    return verifier.finish(now)
