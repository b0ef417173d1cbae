"""The policies of docs/audit.md, as the tests use them with a real OpenBao."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs/audit.md"


def policy(name: str) -> str:
    """Return the policy of the document whose first line is a comment that begins so."""
    for block in re.findall(r"```hcl\n(.*?)```", _PAGE.read_text(), re.DOTALL):
        if block.startswith(f"# {name}"):
            return str(block)
    raise AssertionError(f"docs/audit.md has no policy for {name!r}")
