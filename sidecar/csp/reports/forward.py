"""Forwards reports: one JSON line each to a file, or a JSON array per POST."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from sidecar.common.http_client import make_session
from sidecar.common.printable import escape_json
from sidecar.config.reports import HttpsForwardSettings
from sidecar.csp.reports.store import Seen

_SUCCESS = range(200, 300)
_encoder = msgspec.json.Encoder()


def encode_seen(seen: Seen) -> bytes:
    """Write one report as a line of JSON."""
    time = datetime.fromtimestamp(seen.at, UTC).isoformat(timespec="milliseconds")
    fields = {name: value for name, value in seen._asdict().items() if name != "at"}
    return escape_json(_encoder.encode({"time": time, **fields})) + b"\n"


class HttpsForward:
    """Posts batches as ``application/json``. A batch is accepted as a whole (2xx) or sent again."""

    def __init__(self, settings: HttpsForwardSettings) -> None:
        self._settings = settings
        self._session: Any = None

    def write(self, lines: bytes) -> None:
        """Send a batch. Raises ``OSError`` for an answer other than success."""
        if self._session is None:
            self._session = make_session(ca_file=self._settings.ca_file, max_response_bytes=65_536)
        response = self._session.post(
            self._settings.url,
            data=b"[" + b",".join(lines.splitlines()) + b"]",
            headers={"content-type": "application/json"},
            timeout=self._settings.timeout_seconds,
            allow_redirects=False,
        )
        if response.status_code not in _SUCCESS:
            raise OSError(0, f"the receiver of reports answered {response.status_code}")

    def reopen(self) -> None:
        """Do nothing: there is nothing to reopen."""

    def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            self._session.close()
