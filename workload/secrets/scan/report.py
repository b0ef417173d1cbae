"""A scan's result, as text for a person and as JSON. Neither holds a secret. Pure."""

import json

from workload.secrets.scan.findings import SecretFinding
from workload.secrets.scan.run import ScanResult

_SHOWN_UNREAD = 20


def as_text(result: ScanResult) -> str:
    """Return the findings, place and kind and what to do, and what was not looked at."""
    lines = []
    for each in result.findings:
        lines += [f"{each.kind}  {place_of(each)}", f"      → {each.mend}"]
    for unread in result.unread[:_SHOWN_UNREAD]:
        lines.append(f"not looked at: {_printable(unread.path)}: {unread.why}")
    more = len(result.unread) - _SHOWN_UNREAD
    if more > 0:
        lines.append(f"not looked at: {more} more")
    lines += [
        f"allowed and not found: {each.pattern} {each.kind}: take it out of the list"
        for each in result.unused
    ]
    found, files = len(result.findings), result.files
    lines.append(f"{found} finding{'s' * (found != 1)} in {files} file{'s' * (files != 1)}")
    return "\n".join(lines) + "\n"


def as_json(result: ScanResult) -> str:
    """Return ``{"files": n, "findings": [{kind, where, path, line, mend}], "unread": [...]}``."""
    table = {
        "files": result.files,
        "findings": [each._asdict() for each in result.findings],
        "unread": [each._asdict() for each in result.unread],
        "unused": [each._asdict() for each in result.unused],
    }
    return json.dumps(table, indent=1)


def place_of(finding: SecretFinding) -> str:
    """Return where a finding is, as one text."""
    line = f":{finding.line}" if finding.line else ""
    path = _printable(finding.path)
    where = _printable(finding.where)
    return f"{path}{line}" if where == path else f"{where}: {path}{line}"


def _printable(text: str) -> str:
    """Return a text without control characters: names come from what is scanned."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "replace").decode()
        for each in text
    )
