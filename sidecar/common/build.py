"""Which build this is: its version and its commit, as the wheel records them.

``tools/hatch_build.py`` writes the record, ``sidecar/build.json``, into the wheel and the sdist. A
checkout has none.
"""

from importlib.metadata import version
from pathlib import Path

import msgspec

RECORD = Path(__file__).parents[1] / "build.json"


class Build(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A build. ``commit`` is 40 hexadecimal digits, or empty where it is not known."""

    version: str
    commit: str
    modified: bool

    def __str__(self) -> str:
        """Return ``0.1.0 (commit 1a2b…)``, and say where there were changes beside the commit."""
        said = f"commit {self.commit}" if self.commit else "commit unknown"
        return f"{self.version} ({said}{', modified' if self.modified else ''})"


def installed_build(record: Path = RECORD) -> Build | None:
    """Return what the wheel records, and ``None`` where there is no record: in a checkout."""
    try:
        return msgspec.json.decode(record.read_bytes(), type=Build)
    except FileNotFoundError:
        return None


def running_build() -> Build:
    """Return the build for metrics and logs: without a record by the installation's metadata."""
    return installed_build() or Build(version("septem-sidecar"), "", modified=False)
