"""One sink's way through the spool: whole records in their order, and what is missing counted.

Whatever is wrong with a segment costs the lines that can't be read and no others. How many those
are is known from the numbers: a record says which line it begins with, and so does a segment.
"""

import logging
from io import FileIO
from typing import NamedTuple

from sidecar.observability.audit.intake import Batch
from sidecar.observability.audit.spool.records import (
    PREAMBLE_BYTES,
    RECORD_HEADER_BYTES,
    DamagedError,
    RecordHeader,
    SegmentCipher,
    read_preamble,
    read_record_header,
)
from sidecar.observability.audit.spool.segments import Segment
from sidecar.observability.audit.spool.store import SpoolStore

_log = logging.getLogger("sidecar.observability.audit")


class _Open(NamedTuple):
    segment: Segment
    file: FileIO
    cipher: SegmentCipher


class SpoolReader:
    """Reads for one sink, in its thread. Raises ``OSError`` where a key can't be had now."""

    def __init__(self, store: SpoolStore, name: str) -> None:
        self._store = store
        self._name = name
        cursor = store.cursor(name)
        self._line = cursor.next if cursor is not None else store.end
        self._again = cursor.batch if cursor is not None else 0
        """Where the batch ends that was begun before the last end of the process."""
        self._open: _Open | None = None
        self._record = 0
        self._head: RecordHeader | None = None
        self._at_ms = 0
        self.lost = 0
        """Lines that could not be read."""

    @property
    def waiting(self) -> int:
        """The lines that the sink has not got."""
        cursor = self._store.cursor(self._name)
        return 0 if cursor is None else self._store.end - cursor.next

    @property
    def oldest_at_ms(self) -> int:
        """When the last batch that was read was spooled, in milliseconds of Unix time."""
        return self._at_ms

    def take(self, max_lines: int, max_bytes: int) -> Batch | None:
        """Return the next batch, of whole records; it is the sink's until ``done``.

        The batch that was being sent when the process ended is made again as it was.
        """
        until = self._store.end
        if self._line < self._again <= until:
            until, max_lines, max_bytes = self._again, until, self._store.max_bytes
        taken: list[bytes] = []
        count = size = 0
        while self._line < until and (record := self._peek()) is not None:
            if taken and (
                count + record.lines > max_lines or size + record.sealed_bytes > max_bytes
            ):
                break
            if (lines := self._read(record)) is not None:
                if not taken:
                    self._at_ms = record.at_ms
                taken.append(lines)
                count += record.lines
                size += record.sealed_bytes
        if not taken:
            if (cursor := self._store.cursor(self._name)) and cursor.next != self._line:
                self._store.delivered(self._name, self._line)  # past what can't be read
            return None
        self._store.begin_batch(self._name, self._line)
        return Batch(b"".join(taken), count, self._line)

    def done(self, batch: Batch) -> None:
        """Note that the sink has got a batch."""
        self._store.delivered(self._name, batch.end)

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open.file.close()
            self._open = None

    def _peek(self) -> RecordHeader | None:
        """Return the header of the next record that has lines for us; ``None`` at the end."""
        while self._line < self._store.end:
            if self._open is None and not self._open_next():
                continue
            opened = self._open
            assert opened is not None  # noqa: S101 - it was opened
            if self._head is None:
                self._head = read_record_header(opened.file.read(RECORD_HEADER_BYTES))
            head = self._head
            if head is None or not head.lines or self._line >= opened.segment.end:
                self._leave()
            elif head.end <= self._line:
                self._pass_over(head)
            else:
                return head
        return None

    def _read(self, head: RecordHeader) -> bytes | None:
        """Return a record's lines; ``None`` where it is damaged."""
        opened = self._open
        assert opened is not None  # noqa: S101 - its header was read
        sealed = opened.file.read(head.sealed_bytes)
        number, self._record, self._head = self._record, self._record + 1, None
        try:
            lines = opened.cipher.open(number, head, sealed)
        except DamagedError:
            opened.segment.damaged = True
            return None
        if head.first > self._line:
            self._lose(head.first, opened.segment)
        self._line = head.end
        return lines

    def _pass_over(self, head: RecordHeader) -> None:
        assert self._open is not None  # noqa: S101 - its header was read
        self._open.file.seek(head.sealed_bytes, 1)
        self._record, self._head = self._record + 1, None

    def _open_next(self) -> bool:
        """Open the segment of the next line; else go on where there is one."""
        segment = self._store.segment_at(self._line)
        if segment is None:
            self._lose(self._store.end, None)
            return False
        if segment.first > self._line:
            self._lose(segment.first, None)
        try:
            self._open = self._begin(segment)
        except (DamagedError, FileNotFoundError):
            self._lose(segment.end, segment)
            return False
        self._record, self._head = 0, None
        return True

    def _begin(self, segment: Segment) -> _Open:
        # Unbuffered: what is read ahead may be written again after a failed write.
        file = segment.path.open("rb", buffering=0)
        try:
            preamble = read_preamble(file.read(PREAMBLE_BYTES))
            key = self._store.keys.open(preamble.header.key)
            cipher = SegmentCipher(key, preamble.header, preamble.text)
            cipher.check_header(preamble.seal, segment.first)
            file.seek(preamble.size)
        except BaseException:
            file.close()
            raise
        return _Open(segment, file, cipher)

    def _leave(self) -> None:
        """Go on after this segment; what it should still have is lost."""
        assert self._open is not None  # noqa: S101 - there is nothing else to leave
        segment = self._open.segment
        self.close()
        if self._line < segment.end:
            self._lose(segment.end, segment)

    def _lose(self, line: int, segment: Segment | None) -> None:
        """Go on at a line, and count those before it."""
        lost, self._line = line - self._line, line
        self.lost += lost
        if segment is not None:
            segment.damaged = True
        where = self._store.folder if segment is None else segment.path
        _log.error("%d spooled audit lines for %s can't be read from %s", lost, self._name, where)
