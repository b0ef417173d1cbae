"""Where browsers report violations: named in each policy, and once beside them.

Two generations: ``report-to`` names an endpoint of ``Reporting-Endpoints`` (Reporting API
§3.2), ``report-uri`` is what older browsers know; one that knows both takes the first
(CSP Level 3 §6.5.1). The endpoint is a path, so it is of the page's own origin: no CORS,
nothing to allow in ``connect-src``, and no other origin learns of the violation.
"""

from collections.abc import Mapping, Sequence

ENDPOINTS = "reporting-endpoints"

Directives = Mapping[str, Sequence[str]]


def with_reporting(directives: Directives, path: str, group: str) -> Directives:
    """Return the policy with both directives, unless it has one of its own."""
    if "report-to" in directives or "report-uri" in directives:
        return directives
    return {**directives, "report-uri": (path,), "report-to": (group,)}


def endpoints(path: str, group: str) -> bytes:
    """Return the value of ``Reporting-Endpoints``, which maps the group to the path."""
    return f'{group}="{path}"'.encode("ascii")
