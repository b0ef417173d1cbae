"""Writes the table of rules in docs/envoy-lint.md, from the rules themselves."""

from pathlib import Path

from sidecar.envoy_lint.lint import RULES

PAGE = Path(__file__).parents[1] / "docs/envoy-lint.md"
BEGIN, END = "<!-- rules:begin, written by make envoy-rules -->", "<!-- rules:end -->"


def with_table(page: str) -> str:
    """Return the page with the table of the rules as they are."""
    lines = ["| Rule | Severity | What happens | Write |", "| --- | --- | --- | --- |"]
    for rule in RULES:
        cells = (f"`{rule.identifier}`", rule.severity, rule.reason, rule.mend)
        lines.append(f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |")
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n{chr(10).join(lines)}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
