"""The parts of what is revoked, on their way to workers: each encoded once, and sent once.

A list of 300,000 tokens is fifteen megabytes. Encoded as a whole it would hold up the main
process, decoded as a whole every worker; so it travels as it is held, part by part, and a
change sends the parts that are new.
"""

from collections.abc import Iterable, Iterator

from sidecar.runtime.workers.frames import FrameFault, KeysFrame, Revoked, encode
from sidecar.tokens.revocation import RevocationPart, Revocations


class RevokedParts:
    """The main process's end: parts with their numbers and their frames."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[int, RevocationPart, bytes]] = {}
        """By identity of the part, which is held here and so keeps its identity."""
        self._next = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the parts in force."""
        return tuple(number for number, _, _ in self._sent.values())

    def frames(self) -> Iterator[bytes]:
        """Yield the encoded frames of all parts, for a worker that has none."""
        return (raw for _, _, raw in self._sent.values())

    def take(self, parts: Iterable[RevocationPart]) -> list[bytes]:
        """Take the parts that are in force now; returns the frames of those that are new."""
        taken: dict[int, tuple[int, RevocationPart, bytes]] = {}
        fresh: list[bytes] = []
        for part in parts:
            held = self._sent.get(id(part))
            if held is None:
                held = (self._next, part, encode(Revoked(self._next, part.tables())))
                self._next += 1
                fresh.append(held[2])
            taken[id(part)] = held
        self._sent = taken  # once all are encoded
        return fresh


class ReceivedParts:
    """A worker's end: parts by number."""

    def __init__(self) -> None:
        self._parts: dict[int, RevocationPart] = {}

    def take(self, frame: Revoked) -> None:
        """Keep a part until it is put in force."""
        self._parts[frame.part] = RevocationPart(frame.tables)

    def in_force(self, frame: KeysFrame) -> Revocations:
        """Return what a frame puts in force, and forget the rest. Raises ``FrameFault``."""
        try:
            self._parts = {number: self._parts[number] for number in frame.revoked}
        except KeyError:
            raise FrameFault("keys name a part of the revocations that never came") from None
        return Revocations.of(self._parts.values())
