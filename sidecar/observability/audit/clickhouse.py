"""Audit lines into a table of ClickHouse: batches over HTTP, each inserted once.

The lines are JSON already, so a batch is sent as it is (``FORMAT JSONEachRow``). Every insert has
a deduplication token that is made of its bytes: a batch that is sent again, because its answer got
lost or this process ended, is not doubled while the table remembers the token
(``non_replicated_deduplication_window``, or that of replicated tables).
"""

import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import requests

from sidecar.common.http_client import failure, make_session
from sidecar.config import model
from sidecar.observability.audit.clickhouse_answers import InsertAnswer, InsertVerdict, judge
from sidecar.observability.audit.sinks import LinesRefusedError

_MAX_ANSWER_BYTES = 1_048_576
_GZIP = 31
"""``wbits`` of zlib for gzip's format (RFC 1952)."""
_FASTEST = 1
_HELD_AFTER = 100
"""Single rows refused, and none taken: then the table is at fault, and no line is given up."""


class ClickHouseSink:
    """A table. ``password`` returns the secret of the user; it raises ``OSError``."""

    def __init__(self, settings: model.ClickHouseAudit, password: Callable[[], str] | None) -> None:
        self._settings = settings
        self._password = password
        self._query = f"INSERT INTO `{settings.database}`.`{settings.table}` FORMAT JSONEachRow"
        self._session: requests.Session | None = None

    def write(self, lines: bytes) -> None:
        """Insert a batch. Raises ``OSError``, or ``LinesRefusedError`` for rows refused for good.

        Of a batch in which a row is refused the halves are inserted, and so on, until it is
        found. Each part has a token of its own: tried again, what was taken is not doubled.
        """
        parts = [lines]
        refused, taken, why = 0, False, ""
        while parts:
            part = parts.pop()
            answer = self._insert(part)
            if answer.verdict is InsertVerdict.TAKEN:
                taken = True
            elif answer.verdict is InsertVerdict.FAILED:
                raise OSError(0, f"ClickHouse takes no batch: {answer.why}")
            elif halves := _halves(part):
                parts.extend(reversed(halves))
            else:
                refused, why = refused + 1, answer.why
                if refused >= _HELD_AFTER and not taken:
                    raise OSError(0, f"ClickHouse refuses every row: {why}; check the table")
        if refused:
            raise LinesRefusedError(refused, f"{refused} rows of a batch were refused: {why}")

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()

    def _insert(self, lines: bytes) -> InsertAnswer:
        settings = self._settings
        headers = {"X-ClickHouse-User": settings.user, "Content-Type": "application/x-ndjson"}
        if self._password is not None:
            headers["X-ClickHouse-Key"] = self._password()
        body = lines
        if settings.compression == "gzip":
            packer = zlib.compressobj(_FASTEST, zlib.DEFLATED, _GZIP)
            body = packer.compress(lines) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        files = (settings.ca_file, settings.certificate_file, settings.key_file)
        try:
            response = self._connected().post(
                settings.url,
                params=self._parameters(lines),
                data=body,
                headers=headers,
                timeout=settings.timeout_seconds,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as exc:
            raise OSError(0, f"ClickHouse: {failure(exc, files)}") from None
        return judge(response.status_code, response.headers, response.content)

    def _parameters(self, lines: bytes) -> dict[str, Any]:
        return {
            "query": self._query,
            "async_insert": 0,
            "wait_end_of_query": 1,
            "input_format_skip_unknown_fields": 1,
            "date_time_input_format": "best_effort",
            "insert_deduplicate": 1,
            "insert_deduplication_token": sha256(lines).hexdigest(),
        }

    def _connected(self) -> requests.Session:
        if self._session is None:
            certificate, key = self._settings.certificate_file, self._settings.key_file
            self._session = make_session(
                ca_file=self._settings.ca_file,
                client_certificate=(certificate, key) if certificate and key else None,
                max_response_bytes=_MAX_ANSWER_BYTES,
            )
        return self._session


def _halves(lines: bytes) -> tuple[bytes, bytes] | None:
    """Return two parts of about the same size; ``None`` of one line."""
    middle = lines.find(b"\n", len(lines) // 2) + 1
    if middle in {0, len(lines)}:
        middle = lines.rfind(b"\n", 0, len(lines) - 1) + 1
    return (lines[:middle], lines[middle:]) if middle else None
