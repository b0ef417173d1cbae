"""docs/reference-alerts.md: every rule of deploy/prometheus-alerts.yaml."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from tools.reference.page import page, sentence, table

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus-alerts.yaml"
_INTRODUCTION = """
The rules of [`prometheus-alerts.yaml`](../deploy/prometheus-alerts.yaml). The name of each
leads to its [runbook](runbooks.md); so does its annotation `runbook_url`. It is a path in
this repository: put the address at which you serve the documents before it. A `critical` alert
needs somebody now, a `warning` within the day.
"""


class Alert(NamedTuple):
    """One rule."""

    name: str
    severity: str
    expression: str
    wait: str
    summary: str
    means: str
    runbook_url: str

    @property
    def runbook(self) -> str:
        """The place of its runbook, as pages of docs/ link to it."""
        return f"runbooks.md#{self.name.lower()}"

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that its expression reads; a histogram's by its own name."""
        found = re.findall(r"septem_\w+", self.expression)
        return frozenset(re.sub(r"_(bucket|sum|count)$", "", each) for each in found)


def alerts() -> Iterator[Alert]:
    """Yield the rules, in the order of the file."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            said = rule["annotations"]
            yield Alert(
                rule["alert"],
                rule["labels"]["severity"],
                rule["expr"],
                rule.get("for", ""),
                re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"<\1>", said["summary"]),
                said["description"],
                said.get("runbook_url", ""),
            )


def alerts_page() -> str:
    """Return the page."""
    lines = [
        (
            f"[{each.name}]({each.runbook})",
            each.severity,
            f"`{each.expression}`" + (f" for {each.wait}" if each.wait else ""),
            f"{sentence(_plain(each.summary))} {sentence(each.means)}",
        )
        for each in alerts()
    ]
    body = [table(("Alert", "Severity", "Fires while", "What it says"), lines)]
    return page("Alerts", "deploy/prometheus-alerts.yaml", _INTRODUCTION, body)


def _plain(summary: str) -> str:
    """Return a summary with its labels as code, and its value as a word."""
    return re.sub(r"<\w+>", lambda label: f"`{label[0]}`", summary).replace("{{ $value }}", "Some")
