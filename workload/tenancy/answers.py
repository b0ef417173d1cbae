"""What a refused request is told: problem+json (RFC 9457) with the reason, and no detail."""

import json
from http import HTTPStatus

from workload.tenancy.edge import TenantDenied


def problem(denied: TenantDenied) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return status, headers and body of a refusal. The detail is for our log alone."""
    body = json.dumps(
        {
            "type": f"urn:septem:reason:{denied.reason}",
            "title": HTTPStatus(denied.status).phrase,
            "status": denied.status,
            "reason": denied.reason,
        }
    ).encode()
    return (
        denied.status,
        [
            ("content-type", "application/problem+json"),
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
        ],
        body,
    )
