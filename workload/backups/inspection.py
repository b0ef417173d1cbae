"""What ``septem backup inspect`` prints of a header, for people and for programs. Pure."""

import json
from typing import Any

from workload.backups.archive import content_bytes
from workload.backups.expectations import shown_time
from workload.backups.header import VERSION, ArchiveHeader

UNVERIFIED = "The header was read, and not verified: that takes the key (septem backup verify)."


def inspect_as_text(header: ArchiveHeader, archive_bytes: int | None) -> str:
    """Return lines for people. Raises ``ArchiveAltered`` for a size that no archive has."""
    found = _facts(header, archive_bytes)
    rows = {
        "name": found["name"],
        "tenant": found["tenant"] or "(all)",
        "created": found["created"],
        "key": f"{found['key']}, version {found['key_version']}",
        "id": found["id"],
        "format": f"{found['format']}, AES-256-GCM in chunks of {found['chunk_bytes']} bytes",
    }
    if archive_bytes is not None:
        rows["content"] = f"{found['content_bytes']} bytes in {found['chunks']} chunks"
    lines = [f"{name:<8} {value}" for name, value in rows.items()]
    return "\n".join([*lines, UNVERIFIED]) + "\n"


def inspect_as_json(header: ArchiveHeader, archive_bytes: int | None) -> str:
    """Return one JSON document."""
    return json.dumps(_facts(header, archive_bytes), indent=2) + "\n"


def _facts(header: ArchiveHeader, archive_bytes: int | None) -> dict[str, Any]:
    label = header.label
    chunks, content = (None, None) if archive_bytes is None else content_bytes(archive_bytes, label)
    return {
        "format": VERSION,
        "name": label.name,
        "tenant": label.tenant,
        "created": shown_time(label.created),
        "key": label.place,
        "key_version": header.key_version,
        "id": label.archive_id.hex(),
        "chunk_bytes": label.chunk_bytes,
        "chunks": chunks,
        "content_bytes": content,
        "verified": False,
    }
