"""The documents use the field's words, and plain ones."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(
        ROOT / name
        for name in (
            "README.md",
            "CONTRIBUTING.md",
            "envoy/README.md",
            "examples/tenants/README.md",
        )
    ),
    *sorted((ROOT / "docs").glob("*.md")),
]
NOT_SAID = {
    "short way": "fast path",
    "long way": "slow path",
    "memory of (?:verified )?tokens": "token cache",
    "ledger": "recorder, store",
    "desk": "the component's name",
    "ours": "the sidecar's",
    "whoever": "who it is",
    "anew": "again",
    "in the same breath": "at once",
    "falls away": "is removed",
    "somebody is told": "which alert or log line",
    "mend(?:s|ed)?": "correct, restore",
    "simply": "nothing",
    "(?:requests?|tokens?|clients?|paths?|proofs?|handshakes?) (?:is|are) refused": "denied",
    "(?:files?|configurations?|reloads?|settings?) (?:is|are) refused": "rejected",
    "the sidecar refuses": "denies, or rejects",
}


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_no_word_of_our_own(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for word, better in NOT_SAID.items():
            said = re.search(rf"\b{word}\b", line, re.IGNORECASE)
            assert said is None, f"{path.name}:{number}: {said[0]!r}; say {better!r}"


HEADERS = re.compile(r"^(\|.*\|)\n\|[ :|-]*---[ :|-]*\|$", re.MULTILINE)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: str(path.name)
)
def test_every_column_has_a_name_but_the_corner(path: Path) -> None:
    for header in HEADERS.findall(path.read_text()):
        _corner, *others = re.split(r"(?<!\\)\|", header)[1:-1]
        assert all(each.strip() for each in others), header
