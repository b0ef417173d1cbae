"""What each reason means and what to do, as docs/reasons.md says it, where no page is at hand.

``reasons.json`` beside this file is written from that page by ``make schema``.
"""

import json
from functools import cache
from importlib.resources import files


@cache
def reasons() -> dict[str, dict[str, str]]:
    """Return for each reason what it ``means`` and what to ``do``, which may be empty."""
    text = files("sidecar.common").joinpath("reasons.json").read_text("utf-8")
    found: dict[str, dict[str, str]] = json.loads(text)
    return found
