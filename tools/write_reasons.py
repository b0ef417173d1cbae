"""Writes sidecar/common/reasons.json: what each reason means and what to do, from docs/reasons.md.

The page is the one place where that is said; `sidecar explain` and the operator's page have it.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reasons.md"
FILE = ROOT / "sidecar/common/reasons.json"
_ROW = re.compile(r"^\| `(\w+)` \| \d{3} \| (.+?) \| (.+?) \|$", re.MULTILINE)
_ALLOWED = re.compile(r"^\| `(\w+)` \| ([a-z][^|]+) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def reasons(page: str) -> dict[str, dict[str, str]]:
    """Return what every reason means and what to do, as plain text."""
    found = {
        reason: {"means": _LINK.sub(r"\1", means), "do": _LINK.sub(r"\1", do)}
        for reason, means, do in _ROW.findall(page)
    }
    for reason, means in _ALLOWED.findall(page):
        found[reason] = {"means": _LINK.sub(r"\1", means), "do": ""}
    return found


def rendered(page: str) -> str:
    """Return the file's content."""
    return json.dumps(reasons(page), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered(PAGE.read_text()))
