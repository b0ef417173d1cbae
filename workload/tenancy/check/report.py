"""What was found, as text for a person and as JSON. Pure."""

import json
from collections.abc import Sequence

from workload.tenancy.check.findings import Finding


def as_text(findings: Sequence[Finding]) -> str:
    """Return a table: severity, rule, name; detail and what to do below; then the counts."""
    width = max((len(each.rule) for each in findings), default=0)
    lines: list[str] = []
    for each in findings:
        lines += [
            f"{each.severity}  {each.rule:<{width}}  {_printable(each.name)}",
            f"      {_printable(each.detail)}",
            f"      → {_printable(each.mend)}",
        ]
    holes = sum(each.severity == "hole" for each in findings)
    total = f"{_counted(holes, 'hole')}, {_counted(len(findings) - holes, 'note')}"
    return "\n".join([*lines, total]) + "\n"


def as_json(findings: Sequence[Finding]) -> str:
    """Return ``{"holes": n, "findings": [{rule, severity, name, detail, mend}]}``."""
    holes = sum(each.severity == "hole" for each in findings)
    return json.dumps({"holes": holes, "findings": [each._asdict() for each in findings]}, indent=1)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _printable(text: str) -> str:
    """Return a text without control characters: names come from the database."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
