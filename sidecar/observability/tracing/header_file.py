"""Reads the headers that a collector asks for, with their secrets, from a file.

A configuration holds no secret. The file has one header a line, ``name: value``, as Vault's
agent or a mounted secret writes it; a message about it never quotes it.
"""

import re
from pathlib import Path

from sidecar.common.errors import Fault

MAX_FILE_BYTES, MAX_HEADERS = 16_384, 16
_LINE = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}):[ \t]*([\x21-\x7e][\x20-\x7e]*)")
_OURS = frozenset({"content-type", "content-length", "content-encoding", "host", "connection",
                   "transfer-encoding"})  # fmt: skip


class HeaderFileFault(Fault):
    """A file of headers that can't be read or used."""


def read_headers(path: Path) -> dict[str, str]:
    """Return the headers of a file, by their names in lower case. Raises ``HeaderFileFault``."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        text = raw.decode("ascii")
    except OSError as exc:
        raise HeaderFileFault(
            f"the collector's headers can't be read from {path}: {exc.strerror}: make it readable "
            "by this process"
        ) from None
    except UnicodeDecodeError:
        raise HeaderFileFault(f"{path} has characters beyond ASCII") from None
    lines = [line.rstrip(" \t\r") for line in text.split("\n")]
    found = [(number, line) for number, line in enumerate(lines, 1) if line]
    if len(raw) > MAX_FILE_BYTES or len(found) > MAX_HEADERS:
        raise HeaderFileFault(
            f"{path} is too large: {MAX_HEADERS} headers in {MAX_FILE_BYTES} bytes at most"
        )
    headers: dict[str, str] = {}
    for number, line in found:
        match = _LINE.fullmatch(line)
        name = "" if match is None else match[1].lower()
        if match is None or name in _OURS or name in headers:
            raise HeaderFileFault(
                f"{path}: line {number} is no header: write 'name: value', each name once, and "
                "none that describes the request's body"
            )
        headers[name] = match[2]
    return headers
