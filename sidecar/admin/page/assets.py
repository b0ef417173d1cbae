"""The style and the script of the page, and the headers that allow these two and nothing else.

Both stand in the page itself, allowed by their hashes (CSP Level 3 §2.3.1): no request more, and
nothing from elsewhere.
"""

import base64
import hashlib
from importlib.resources import files

_FOLDER = files("sidecar.admin.page")
STYLE = _FOLDER.joinpath("page.css").read_text("utf-8")
SCRIPT = _FOLDER.joinpath("page.js").read_text("utf-8")


def _hash_of(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash_of(STYLE)}",
        f"script-src {_hash_of(SCRIPT)}",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-frame-options", "DENY"),
    # The origin, and only to ourselves: without it a browser sends our own forms as from "null".
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""Of every answer of the page; nosniff and no-store come from the server."""
