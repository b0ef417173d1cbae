"""The page's own policy: its one style, its one script, and nothing else."""

import base64
import hashlib

from sidecar.admin.page.assets import HEADERS, POLICY, SCRIPT, STYLE


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_policy_allows_what_is_in_the_page() -> None:
    directives = dict(each.split(" ", 1) for each in POLICY.split("; "))
    assert directives == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest(STYLE)}'",
        "script-src": f"'sha256-{digest(SCRIPT)}'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_the_other_headers() -> None:
    headers = dict(HEADERS)
    assert headers["content-security-policy"] == POLICY
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin", "no-referrer has forms come from null"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
