"""docs/envoy-lint.md has every rule, as it is."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_rules() -> None:
    tool = runpy.run_path(str(ROOT / "tools/write_envoy_rules.py"))
    page = (ROOT / "docs/envoy-lint.md").read_text()
    assert tool["with_table"](page) == page, "run `make envoy-rules`"
