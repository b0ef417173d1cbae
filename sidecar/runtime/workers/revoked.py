"""Sends the parts of the revocation list to workers: each is encoded once and sent once.

A list of 300,000 tokens is fifteen megabytes. Encoded as a whole it would block the main
process, decoded as a whole every worker; so it is sent part by part, and a change sends only
the new parts.
"""

from collections.abc import Iterable, Iterator

from sidecar.runtime.workers.framing import FrameFault, encode
from sidecar.runtime.workers.key_frames import KeysFrame, Revoked
from sidecar.tokens.revocation import RevocationPart, Revocations


class RevokedParts:
    """The main process's end: parts with their numbers and their frames."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[int, RevocationPart, bytes]] = {}
        """By ``id`` of the part, which is referenced here and so keeps its ``id``."""
        self._next = 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the parts in force."""
        return tuple(number for number, _, _ in self._sent.values())

    def frames(self) -> Iterator[bytes]:
        """Return the encoded frames of all parts, for a new worker."""
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
        """Store a part until a frame puts it in force."""
        self._parts[frame.part] = RevocationPart(frame.tables)

    def in_force(self, frame: KeysFrame) -> Revocations:
        """Return the revocations a frame puts in force; drop all others. Raises ``FrameFault``."""
        try:
            self._parts = {number: self._parts[number] for number in frame.revoked}
        except KeyError:
            raise FrameFault("keys name a part of the revocations that was not sent") from None
        return Revocations.of(self._parts.values())
