"""The files that a person names: read bounded, as text, and written; messages name the file."""

from pathlib import Path

from sidecar.common.errors import Fault

MAX_KEY_FILE_BYTES = 1_048_576


def read_text(path: Path, max_bytes: int = MAX_KEY_FILE_BYTES) -> str:
    """Read a file; raise ``Fault`` naming it, never its content: it may be a key."""
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as exc:
        raise Fault(f"{path} cannot be read: {exc.strerror}") from exc
    if len(raw) > max_bytes:
        raise Fault(f"{path} is larger than {max_bytes} bytes: is it the right file?")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault(f"{path} is not UTF-8 text: is it the right file?") from None


def write_text(path: Path, content: str, *, replace: bool) -> None:
    """Write a file; raise ``Fault`` naming it, for one that is there too unless it is replaced."""
    try:
        with path.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise Fault(f"{path} is there already: --force replaces it") from None
    except OSError as exc:
        raise Fault(f"{path} can't be written: {exc.strerror}") from exc
