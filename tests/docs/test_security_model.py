"""Every section of the security model that is cited exists, and says who does what for it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/security-model.md"
THREATS = ROOT / "docs/threat-model.md"
SECTIONS = dict(
    re.findall(r"^## (\d+)\. .+\n\n?((?:(?!^## ).*\n)*)", PAGE.read_text(), re.MULTILINE)
)
CITED = re.compile(r"SECURITY-MODEL\s+§(\d+)((?:,?\s+(?:and\s+)?§\d+)*)")
TEXTS = (
    "*.py",
    "*.md",
    "*.yaml",
    "*.toml",
    "*.json",
    "*.c",
    "*.h",
    "*.in",
    "Dockerfile",
    "Makefile",
)
"""What may cite it; by git's own list, so that what is built is not read."""


def files() -> list[Path]:
    """Every text of the project that git has."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone: git lists the files")
    done = subprocess.run(
        [git, "ls-files", "-z", *TEXTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in done.stdout.split("\0") if name]


def cited_in(text: str) -> set[str]:
    """Return the numbers of the sections that a text cites."""
    found = set()
    for first, more in CITED.findall(text):
        found |= {first, *re.findall(r"§(\d+)", more)}
    return found


def test_there_are_the_models_ten_sections() -> None:
    assert list(SECTIONS) == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize("number", SECTIONS)
def test_a_section_says_what_is_required_and_who_does_what(number: str) -> None:
    text = SECTIONS[number]
    assert text.startswith("**Required.** ")
    assert "Sidecar" in text
    assert "Others" in text, "what is left to others must be said"


def test_every_section_that_is_cited_exists() -> None:
    cited = {
        number: path.relative_to(ROOT)
        for path in files()
        if path.exists() and path != Path(__file__)
        for number in cited_in(path.read_text(encoding="utf-8", errors="replace"))
    }
    assert {"3", "5", "6", "9", "10"} <= cited.keys(), "the search finds what is known to be there"
    assert {n: str(path) for n, path in cited.items() if n not in SECTIONS} == {}


def test_every_section_that_the_threat_model_names_exists() -> None:
    assert set(re.findall(r"§(\d+)", THREATS.read_text())) <= SECTIONS.keys()


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("(SECURITY-MODEL §9, §10).", {"9", "10"}),
        ("those of SECURITY-MODEL §3, §6\nand §9", {"3", "6", "9"}),
        ("SECURITY-MODEL\n§77", {"77"}),
        ("RFC 6125 §6 and W3C §3.2", set()),
    ],
)
def test_citations_are_found(text: str, sections: set[str]) -> None:
    assert cited_in(text) == sections


def rows_of_threats() -> dict[str, list[str]]:
    """Return the rows of the model's threats, by their first cell."""
    section = THREATS.read_text().partition("\n## The model's threats\n")[2].partition("\n## ")[0]
    rows = [[c.strip() for c in line.strip("|").split(" | ")] for line in section.splitlines()]
    return {row[0].strip("* "): row[1:] for row in rows if len(row) > 1 and "---" not in row[0]}


def test_each_threat_of_the_model_has_its_defence_its_tests_and_what_stays_open() -> None:
    rows = rows_of_threats()
    assert list(rows)[1:] == [
        "Malicious module code",
        "Scripts between modules",
        "Supply chain",
        "Data of another tenant",
        "Forged tokens",
        "Guessed passwords",
        "Secrets that leak",
        "Impersonated services",
        "Floods",
        "Insiders, abuse of an API",
    ]
    assert all(len(cells) == 3 and all(cells) for cells in rows.values())


def test_the_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[^`]+)`", THREATS.read_text())
    assert len(named) >= 10
    assert [name for name in named if not (ROOT / name).exists()] == []
