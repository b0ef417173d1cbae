"""What of a file is looked at. Pure."""

from typing import Final

MAX_FILE_BYTES: Final = 1_048_576
_SNIFFED_BYTES = 8192
_KEY_STORES = (".p12", ".pfx", ".jks", ".keystore", ".kdbx")


def text_of(raw: bytes) -> str | None:
    """Return a file's text; ``None`` for one that is none."""
    if b"\0" in raw[:_SNIFFED_BYTES]:
        return None
    return raw.decode("utf-8", "replace")


def is_key_store(path: str) -> bool:
    """Return whether a file is a store of keys by its name, whatever encrypts it."""
    return path.lower().endswith(_KEY_STORES)
