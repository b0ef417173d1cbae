"""Reports as browsers send them (shapes of Chromium 141, Firefox 140 ESR and Safari 18)."""

import json
from typing import Any

from sidecar.csp.reports.parse import LEGACY_TYPE, REPORTING_TYPE

HOST = "shop.acme.example"
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def legacy(**changes: Any) -> dict[str, Any]:
    return {
        "csp-report": {
            "document-uri": f"https://{HOST}/orders?id=7",
            "referrer": "",
            "violated-directive": "script-src-elem",
            "effective-directive": "script-src-elem",
            "original-policy": "script-src 'self'; report-uri /r",
            "disposition": "enforce",
            "blocked-uri": "https://evil.example/x.js?leak=1",
            "line-number": 3,
            "source-file": f"https://{HOST}/orders",
            "status-code": 200,
            "script-sample": "",
            **changes,
        }
    }


def modern(**changes: Any) -> dict[str, Any]:
    return {
        "age": 53,
        "body": {
            "blockedURL": "https://evil.example/x.js?leak=1",
            "columnNumber": 1,
            "disposition": "enforce",
            "documentURL": f"https://{HOST}/orders?id=7",
            "effectiveDirective": "script-src-elem",
            "lineNumber": 3,
            "originalPolicy": "script-src 'self'; report-to csp",
            "referrer": "",
            "sample": "",
            "sourceFile": f"https://{HOST}/orders",
            "statusCode": 200,
            **changes,
        },
        "type": "csp-violation",
        "url": f"https://{HOST}/orders?id=7",
        "user_agent": "Mozilla/5.0",
    }


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


GOOD = {
    "legacy": (LEGACY_TYPE, raw(legacy())),
    "modern": (REPORTING_TYPE, raw([modern()])),
    "without its array": (REPORTING_TYPE, raw(modern())),
    "WebKit": (LEGACY_TYPE, raw(modern())),
    "an array under the older type": (LEGACY_TYPE, raw([modern()])),
    "an old report under the newer type": (REPORTING_TYPE, raw(legacy())),
    "an old report in an array": (REPORTING_TYPE, raw([legacy()])),
    "with members of both": (LEGACY_TYPE, raw({**legacy(), "type": "csp-violation", "body": 5})),
    "old, with a type that is none": (LEGACY_TYPE, raw({**legacy(), "type": 5, "url": {}})),
    "new, with a URL that is none": (LEGACY_TYPE, raw({**modern(), "url": 5})),
    "old, with what nobody knows": (LEGACY_TYPE, raw({"x": [1], **legacy(y={"z": None})})),
    "new, the page named outside alone": (REPORTING_TYPE, raw([modern(documentURL=None)])),
}
"""Every shape under every label: one violation, the same one."""
