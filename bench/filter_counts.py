"""What filters cost Envoy in instructions: bench/filters.json, and its table in bench/README.md.

``python -m bench.envoy_instructions --filters`` counts them; a test holds the two together.
"""

import json
from typing import Any

from bench.names import ASKED, NO_FILTER, SAME_JOB
from bench.report import ROOT, put_section
from bench.sections import table

COUNTS, PAGE = ROOT / "bench/filters.json", ROOT / "bench/README.md"


def filters_section(results: dict[str, Any]) -> str:
    """Write the table."""
    counts: dict[str, int] = results["instructions"]
    rest = counts[NO_FILTER]
    rows = [
        (
            name,
            f"{count:,}",
            f"{count - rest:,}",
            f"{count / counts[SAME_JOB]:.2f}",
            f"{count / counts[ASKED]:.2f}",
        )
        for name, count in counts.items()
    ]
    heads = ("Filters", "Instructions", "above no filter", ": same job", ": asked")
    return "\n".join(
        (
            (
                f"Counted {results['date'][:10]} in Envoy {results['versions']['envoy']}, one "
                "request at a time; the sidecar's part and the kernel's are not in it."
            ),
            "",
            *table(heads, rows),
        )
    )


def write_filters(results: dict[str, Any]) -> None:
    """Write the figures and their table."""
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    COUNTS.write_text(text, encoding="utf-8")
    page = put_section(PAGE.read_text(encoding="utf-8"), filters_section(results))
    PAGE.write_text(page, encoding="utf-8")
