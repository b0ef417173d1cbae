"""docs/reference-metrics.md: every metric, from the calls that make it.

A component's metrics exist while it runs, so that no one process has all of them. The calls are
read instead: a name, a help text or a label that is not written down beside the call, or in a
list of the same file, is an error here and not a gap in the page.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.reference.alerts import alerts
from tools.reference.page import page, sentence, table

ROOT = Path(__file__).parents[2]
_FAMILIES = {
    "counter": "counter",
    "gauge": "gauge",
    "CounterMetricFamily": "counter",
    "GaugeMetricFamily": "gauge",
    "HistogramMetricFamily": "histogram",
    "InfoMetricFamily": "info",
}
_SUFFIX = {"counter": "_total", "info": "_info"}
_INFO_LABELS = {"septem_build": ("version", "commit"), "septem_config": ("sha256",)}
_INTRODUCTION = """
`GET /metrics` on the admin port, and on
[`listen.metrics`](operations.md#metrics-for-another-host) for another host. A metric of a
component that is not configured is not there. [What to watch](operations.md#what-to-watch) says
what each tells you; the last column names the alerts that use it. A histogram has `_bucket`,
`_sum` and `_count`.
"""


class Metric(NamedTuple):
    """One metric: the name as Prometheus shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    component: str


def metrics() -> list[Metric]:
    """Return every metric, in the order of components and names."""
    found = {
        metric
        for path in sorted((ROOT / "sidecar").rglob("*.py"))
        if "septem_" in (text := path.read_text())
        for metric in _of_file(ast.parse(text), path)
    }
    return sorted(found, key=lambda each: (each.component, each.name))


def _of_file(tree: ast.Module, path: Path) -> Iterator[Metric]:
    component = path.relative_to(ROOT / "sidecar").parts[0]
    lists = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id not in _FAMILIES or _makes_families(node):
            continue
        kind = _FAMILIES[node.func.id]
        given = next((each.value for each in node.keywords if each.arg == "labels"), None)
        labels = _texts(given, lists) if given is not None else ()
        for name, words in _named(node, tree, lists):
            shown = f"{name}{_SUFFIX.get(kind, '')}"
            yield Metric(shown, kind, labels or _INFO_LABELS.get(name, ()), words, component)


def _makes_families(call: ast.Call) -> bool:
    """Tell the two helpers' own calls: what they make is named where they are called."""
    return ast.unparse(call.args[0]) == "name" and any(e.arg == "value" for e in call.keywords)


def _named(
    call: ast.Call, tree: ast.Module, lists: dict[str, ast.expr]
) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of one call; a loop over a list of the file has several."""
    first, second = call.args[:2]
    if isinstance(first, ast.Constant):
        yield ast.literal_eval(first), ast.literal_eval(second)
        return
    for loop in ast.walk(tree):
        if isinstance(loop, ast.For) and call in set(ast.walk(loop)):
            names = ast.unparse(loop.target).strip("()").split(", ")
            rows = ast.literal_eval(lists[ast.unparse(loop.iter)])
            for row in rows:
                values = dict(zip(names, row, strict=True))
                yield values[ast.unparse(first)], values[ast.unparse(second)]


def _texts(node: ast.expr, lists: dict[str, ast.expr]) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return _texts(lists[node.id], lists)
    if not isinstance(node, ast.List | ast.Tuple):
        message = f"labels of a metric that can't be read: {ast.unparse(node)}"
        raise TypeError(message)
    found: list[str] = []
    for each in node.elts:
        if isinstance(each, ast.Starred):
            found.extend(_texts(each.value, lists))
        else:
            found.append(str(ast.literal_eval(each)))
    return tuple(found)


def metrics_page() -> str:
    """Return the page."""
    rules = list(alerts())
    by_component: dict[str, list[Metric]] = {}
    for metric in metrics():
        by_component.setdefault(metric.component, []).append(metric)
    body = []
    for component, found in by_component.items():
        lines = []
        for each in found:
            using = [rule for rule in rules if each.name in rule.metrics]
            links = ", ".join(f"[{rule.name}]({rule.runbook})" for rule in using) or "none"
            labels = ", ".join(f"`{label}`" for label in each.labels) or "none"
            lines.append((f"`{each.name}`", each.kind, labels, sentence(each.help), links))
        header = ("Metric", "Type", "Labels", "What it counts", "Alerts")
        body.append(f"## {component}\n{table(header, lines)}")
    return page("Metrics", "the metrics in sidecar/", _INTRODUCTION, body)
