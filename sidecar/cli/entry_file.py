"""Reads an entry of Vault KV as JSON: its data alone, or as Vault's commands print it."""

import json
from typing import Any

from sidecar.common.errors import Fault


def entry_of(text: str, what: str) -> dict[str, Any]:
    """Return the entry's fields; raise a ``Fault`` whose message begins with ``what``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Fault(f"{what} is not JSON") from None
    for _ in range(2):  # {"data": {"data": …}}
        if isinstance(value, dict) and isinstance(value.get("data"), dict):
            value = value["data"]
    if not isinstance(value, dict):
        raise Fault(f"{what} is not a JSON object") from None
    return value
