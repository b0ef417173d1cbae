"""The spool on disk: audit lines that a sink has not taken yet, sealed, bounded, and in order.

One thread appends, and a thread of each sink reads (``reader``). Lines are numbered through all
segments; a sink's cursor is the number of the next line it gets. A segment goes once every sink
has passed it. When the bound is reached, new lines are refused: what was accepted stays, for it
has been said to be safe.

A record is written whole, then ``sync`` puts it on the disk: only then its lines are safe. What a
crash leaves of a record that was being written is no record, and its lines were not yet safe.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from sidecar.common.clock import Now
from sidecar.observability.audit.spool.cursors import (
    Cursor,
    Cursors,
    read_cursors,
    write_cursors,
)
from sidecar.observability.audit.spool.keys import DataKey, SpoolKeys
from sidecar.observability.audit.spool.records import (
    SALT_BYTES,
    DamagedError,
    SegmentCipher,
    SegmentHeader,
    begin_segment,
)
from sidecar.observability.audit.spool.segments import (
    Segment,
    create_segment,
    find_segments,
    make_folder,
    segment_path,
    set_aside,
)

_SEGMENT_BYTES = 16_777_216
_SEGMENTS_AT_LEAST = 8

_log = logging.getLogger("sidecar.observability.audit")


class SpoolFullError(Exception):
    """The bound is reached: nothing more is taken until a sink has got on."""


class SpoolStore:
    """The segments of one folder, which this process has locked."""

    def __init__(self, folder: Path, keys: SpoolKeys, max_bytes: int, now: Now) -> None:
        self.folder = folder
        self.keys = keys
        self.max_bytes = max_bytes
        self._now = now
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._cursors: Cursors = {}
        self._key: DataKey | None = None
        self._descriptor = -1
        self._cipher: SegmentCipher | None = None
        self._records = 0
        self._is_closed = False
        self._appended = 0
        self.end = 0
        """The number of the line after the last one that is safe."""

    def open(self, sinks: Iterable[str]) -> None:
        """Read what is there, and begin a segment of our own.

        ``sinks`` are those that get the lines; what waited for another one is given up. Raises
        ``OSError`` where the folder can't be used, or a key can't be had now; then try again.
        """
        make_folder(self.folder)
        self._key = self.keys.new()
        try:
            cursors = read_cursors(self.folder, self.keys)
        except DamagedError as exc:
            _log.error(
                "the cursors in %s are lost (%s): all lines are sent again", self.folder, exc
            )
            cursors = {}
        segments, unreadable = find_segments(self.folder)
        for path in unreadable:
            _log.error("%s is no whole segment of the spool: it is set aside", path)
            set_aside(path)
        self._segments = segments
        ends = [segments[-1].end if segments else 0, *(each.next for each in cursors.values())]
        self.end = self._appended = max(ends)
        if segments:
            segments[-1].end = self.end
        first = segments[0].first if segments else self.end
        fresh = first if not cursors else self.end
        for name in cursors.keys() - set(sinks):
            left = self.end - cursors.pop(name).next
            _log.warning("%d spooled audit lines were for %s, which is no sink now", left, name)
        self._cursors = {
            name: cursors.get(name) or Cursor(next=fresh, batch=fresh) for name in sinks
        }
        with contextlib.suppress(OSError):  # of a full disk what is there can still be sent
            self._begin()
        self._save()
        self._forget()

    def close(self) -> None:
        """End the segment. What waits stays for the next process; nothing is changed any more."""
        with self._lock:
            if self._descriptor >= 0:
                with contextlib.suppress(OSError):
                    self._finish()
            self._forget()
            self._is_closed = True

    def use_sinks(self, sinks: Iterable[str]) -> None:
        """Keep lines for these from now on; one that is new gets those from now on."""
        with self._lock:
            before = self._cursors
            new = Cursor(next=self.end, batch=self.end)
            self._cursors = {
                name: before.get(name) or Cursor(new.next, new.batch) for name in sinks
            }
            self._save()
            self._forget()

    @property
    def used_bytes(self) -> int:
        """The bytes of all segments."""
        return sum(each.size for each in tuple(self._segments))

    def cursor(self, name: str) -> Cursor | None:
        """Return where a sink is, if lines are kept for it."""
        return self._cursors.get(name)

    def begin_batch(self, name: str, end: int) -> None:
        """Note where the batch that is to be sent ends, before it is sent."""
        with self._lock:
            if (cursor := self._cursors.get(name)) is not None and not self._is_closed:
                cursor.batch = end
                self._save()

    def delivered(self, name: str, end: int) -> None:
        """Note that a sink has got all lines before ``end``."""
        with self._lock:
            if (cursor := self._cursors.get(name)) is not None and not self._is_closed:
                cursor.next = max(cursor.next, end)
                self._save()
                self._forget()

    def segment_at(self, line: int) -> Segment | None:
        """Return the segment that has a line, or the next one after it."""
        with self._lock:
            return next((each for each in self._segments if each.end > line), None)

    def append(self, lines: bytes, count: int) -> None:
        """Write a record; its lines are safe after ``sync``.

        Raises ``SpoolFullError``, and ``OSError`` where the disk refused it: then nothing that was
        appended since the last ``sync`` is in the spool. From the appending thread only.
        """
        try:
            self._append(lines, count)
        except OSError:
            self._take_back()
            raise

    def _append(self, lines: bytes, count: int) -> None:
        self._check_files()
        active = self._segments[-1] if self._descriptor >= 0 else None
        if active is None or active.damaged or active.size >= self._segment_bytes:
            self._rotate()
        cipher, active = self._cipher, self._segments[-1]
        assert cipher is not None  # noqa: S101 - there is one while a segment is open
        at_ms = int(self._now() * 1000)
        record = cipher.seal(self._records, self._appended, at_ms, lines, count)
        if self.used_bytes + len(record) > self.max_bytes:
            raise SpoolFullError
        self._write(active, record)
        self._records += 1
        self._appended += count

    def sync(self) -> None:
        """Put what was appended on the disk, and let the sinks have it.

        Raises ``OSError``; then nothing that was appended since the last time is in the spool. The
        kernel reports a failed write once and forgets it, so what failed is written elsewhere.
        """
        if self._appended == self.end:
            return
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            self._take_back()
            raise
        self._segments[-1].end = self.end = self._appended

    @property
    def _segment_bytes(self) -> int:
        return min(_SEGMENT_BYTES, self.max_bytes // _SEGMENTS_AT_LEAST)

    def _write(self, active: Segment, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], active.size + written)
        active.size += len(data)

    def _take_back(self) -> None:
        """Leave the open segment with what is safe in it.

        Another one is begun, with another key: a place is never written to twice, so that no nonce
        is used twice.
        """
        self._appended = self.end
        if self._descriptor >= 0:
            self._abandon()

    def _check_files(self) -> None:
        """Raise ``OSError`` where the open segment was removed: what is written to it is lost."""
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0:
            raise OSError(0, "a file of the spool was removed: another is begun")

    def begin_again(self) -> None:
        """Go on in a folder that was removed and made again; what is gone, readers count."""
        self._take_back()

    def _rotate(self) -> None:
        """End the open segment and begin another; all that was appended is safe then."""
        self.sync()
        if self._descriptor >= 0:
            self._finish()
        self._begin()

    def _abandon(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def _begin(self) -> None:
        assert self._key is not None  # noqa: S101 - the store was opened
        header = SegmentHeader(self._key.reference, os.urandom(SALT_BYTES), self._appended)
        beginning, cipher = begin_segment(self._key.secret, header)
        path = segment_path(self.folder, header.first)
        if self._segments and self._segments[-1].first == header.first:
            self._segments.pop().remove()  # of which no whole record was written
        descriptor = create_segment(path, beginning)
        segment = Segment(path, header.first, header.first, len(beginning))
        self._descriptor, self._cipher, self._records = descriptor, cipher, 0
        with self._lock:
            self._segments.append(segment)

    def _finish(self) -> None:
        """Write the record without lines that ends a segment."""
        assert self._cipher is not None  # noqa: S101 - there is one while a segment is open
        last = self._cipher.seal(self._records, self._appended, int(self._now() * 1000), b"", 0)
        try:
            self._write(self._segments[-1], last)
            os.fdatasync(self._descriptor)
        finally:
            self._abandon()

    def _save(self) -> None:
        """Write the cursors. Where that fails lines may be sent twice, so it holds up nothing."""
        assert self._key is not None  # noqa: S101 - the store was opened
        try:
            write_cursors(self.folder, self._key, self._cursors)
        except OSError as exc:
            _log.warning("the cursors of the spool can't be written: %s", exc.strerror)

    def _forget(self) -> None:
        """Delete the segments that every sink has passed, but the open one."""
        passed = min((each.next for each in self._cursors.values()), default=self.end)
        open_ones = 1 if self._descriptor >= 0 else 0
        while len(self._segments) > open_ones and self._segments[0].end <= passed:
            self._segments.pop(0).remove()
