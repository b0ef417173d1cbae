"""docs/reference-admin-api.md: the routes of the admin port, from the tables that have them."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from sidecar.admin.page.catalog import NAMES
from tools.reference.page import page, table

ROOT = Path(__file__).parents[2]
_METHODS = {"GET", "POST", "PUT", "DELETE"}
_CALLED_BY = {"cli", "doctor"}
"""Components that ask for others' routes, and have none."""
_PANELS = ", ".join(f"`{name}`" for name in NAMES)
MEANINGS: Mapping[tuple[str, str], str] = {
    ("GET", "/livez"): "200 while the event loop runs.",
    ("GET", "/readyz"): "200 if requests may come, else 503; JSON with every state, and under "
    "`problems` what is wrong.",
    (
        "GET",
        "/metrics",
    ): "The [metrics](reference-metrics.md), as Prometheus's text or OpenMetrics.",
    ("POST", "/keys/refresh"): "Reads keys, revocations, publishers and the registry now. 200: in "
    "force. 502: a source was not read (`problems`). 504: a worker has not acknowledged it "
    "(`pending`).",
    ("GET", "/keys"): "The verification keys: issuer, `kid`, algorithm, state. No private half.",
    (
        "POST",
        "/config/reload",
    ): "[Reloads](reload.md) the configuration; with `?allow_restart` by an "
    "overlapping restart where one is needed.",
    ("GET", "/certificates"): "Every certificate: issuer, state, end, serial, last error.",
    ("GET", "/certificates/show"): "One certificate (`?name=`), with its chain.",
    (
        "POST",
        "/certificates/renew",
    ): "Orders a certificate now (`?name=`), or joins the order under "
    "way; `asked` and `next_order_seconds` say [what comes of it](certificates.md#by-hand). 429 "
    "within a minute of the last.",
    ("POST", "/certificates/revoke"): "Has Vault PKI revoke a certificate (`?name=`), and orders "
    "another.",
    (
        "GET",
        "/limits",
    ): "[Rate limits](limits.md): the tenants that are refused most, and the store.",
    ("GET", "/csp"): "[Violation reports](csp-reports.md), as a page.",
    ("GET", "/csp/reports"): "The same as JSON.",
    ("GET", "/audit/checkpoint"): "The newest [checkpoint](audit.md#checkpoints); 404 before the "
    "first.",
    ("GET", "/decision-cache"): "The [decision cache](decision-cache.md): leases, rings, counts.",
    ("GET", "/"): "Leads to `/page`.",
    ("GET", "/page"): "[The operator's page](admin-page.md).",
    ("GET", "/page.json"): "The same as JSON.",
    ("GET", "/page/confirm"): "Asks before a button does something.",
    ("GET", "/page/events"): "Changes of the page, as server-sent events.",
    ("POST", "/page/do"): "Does what a button says; takes only the page's own form.",
    ("GET", "/page/<name>"): f"One part of the page: {_PANELS}.",
    ("GET", "/page/<name>.json"): "The same as JSON.",
}
_INTRODUCTION = """
The admin port (`listen.admin.address`) is on loopback or a Unix socket, and has no
authentication of its own: who reaches it may use it. Answers are JSON unless the table says
otherwise. A failure has `error`. A route of a component that is not configured answers 404.
`listen.probes` has `/livez` and `/readyz` alone, without detail; `listen.metrics` has
`/metrics` alone.
"""


def routes() -> set[tuple[str, str]]:
    """Return the method and path of every route that the code has."""
    return {
        route
        for path in sorted((ROOT / "sidecar").rglob("*.py"))
        if path.relative_to(ROOT / "sidecar").parts[0] not in _CALLED_BY
        if any(f'"{method}", ' in (text := path.read_text()) for method in _METHODS)
        for route in _of_file(ast.parse(text))
    }


def _of_file(tree: ast.Module) -> Iterator[tuple[str, str]]:
    paths = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Tuple) and len(node.elts) == 2):  # noqa: PLR2004
            continue
        method, path = node.elts
        if not (isinstance(method, ast.Constant) and method.value in _METHODS):
            continue
        if isinstance(path, ast.Attribute):  # of the listener for reports: a setting
            continue
        if isinstance(path, ast.JoinedStr):
            shown = "".join(
                str(each.value) if isinstance(each, ast.Constant) else "<name>"
                for each in path.values
            )
        else:
            shown = str(path.value if isinstance(path, ast.Constant) else paths[ast.unparse(path)])
        if shown.startswith("/"):
            yield str(method.value), shown


def admin_page() -> str:
    """Return the page; a route without a meaning is an error, and so is the other way round."""
    found = routes()
    if found != MEANINGS.keys():
        message = f"routes without a meaning, or meanings without one: {found ^ MEANINGS.keys()}"
        raise LookupError(message)
    lines = [(f"`{method} {path}`", words) for (method, path), words in MEANINGS.items()]
    body = [table(("Route", "What it does"), lines)]
    return page("Admin API", "the tables of routes in sidecar/", _INTRODUCTION, body)
