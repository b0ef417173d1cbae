"""What somebody allows."""

import pytest

from workload.secrets.scan.findings import SecretFinding, read_allowed, without_allowed
from workload.settings import SettingsFault


def finding(path: str, kind: str = "password") -> SecretFinding:
    return SecretFinding(kind, path, path, 1, "")


LIST = """\
# what tests need
tests/*      *          made for tests
docs/a.md    password   an example

"""


def test_a_pattern_a_kind_and_a_reason() -> None:
    findings = [
        finding("tests/deep/a.py", "jwt"),
        finding("docs/a.md"),
        finding("docs/a.md", "jwt"),
        finding("src/tests/a.py"),
    ]
    left, unused = without_allowed(findings, read_allowed(LIST, "list"))
    assert left == findings[2:]
    assert not unused


def test_what_is_allowed_and_not_found_is_told() -> None:
    _, unused = without_allowed([finding("docs/a.md")], read_allowed(LIST, "list"))
    assert [each.pattern for each in unused] == ["tests/*"]


@pytest.mark.parametrize("line", ["tests/*", "tests/* password"])
def test_a_line_without_a_reason_allows_nothing(line: str) -> None:
    with pytest.raises(SettingsFault, match=r"list, line 2: .* a reason are due"):
        read_allowed(f"# x\n{line}\n", "list")


def test_the_list_is_bounded() -> None:
    with pytest.raises(SettingsFault, match="more than 1000 lines"):
        read_allowed("a * b\n" * 1001, "list")
