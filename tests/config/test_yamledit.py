"""What is added stands where it belongs, and nothing else moves."""

import difflib

import pytest
import yaml

from sidecar.config.problem import Path
from sidecar.config.yamledit import EditFault, add_entry, append_item, unified_diff

FILE = """\
# At the top.
headers:
  csp:            # profiles
    shell:
      enforced:
        - default-src: ["'none'"]  # nothing
          # scripts
          script-src: ["'self'", cdn.example]   # the CDN

          img-src:
            - "'self'"
            - a.example  # pictures
          font-src: [
            "'self'",  # ours
            b.example,  # theirs
          ]
          media-src: []
    flow: {enforced: [{img-src: [a.example]}]}
# At the end.
log: {level: info}
"""
POLICY: Path = ("headers", "csp", "shell", "enforced", 0)


def added(before: str, after: str) -> list[str]:
    """The lines that are new; none may be gone but those of which one is a continuation."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [line[2:] for line in lines if line.startswith("+ ")]


@pytest.mark.parametrize(
    ("directive", "line"),
    [
        ("script-src", """          script-src: ["'self'", cdn.example, NEW]   # the CDN"""),
        ("img-src", "            - NEW"),
        ("font-src", "            b.example, NEW,  # theirs"),
        ("media-src", "          media-src: [NEW]"),
    ],
)
def test_an_item(directive: str, line: str) -> None:
    after = append_item(FILE, (*POLICY, directive), "NEW")
    assert added(FILE, after) == [line]
    expected = yaml.safe_load(FILE)
    expected["headers"]["csp"]["shell"]["enforced"][0][directive].append("NEW")
    assert yaml.safe_load(after) == expected


def test_an_item_in_braces() -> None:
    after = append_item(FILE, ("headers", "csp", "flow", "enforced", 0, "img-src"), "NEW")
    assert added(FILE, after) == ["    flow: {enforced: [{img-src: [a.example, NEW]}]}"]


def test_an_entry_behind_the_last_one() -> None:
    after = add_entry(FILE, POLICY, "connect-src", ["[NEW]"])
    assert added(FILE, after) == ["          connect-src: [NEW]"]
    assert (
        list(yaml.safe_load(after)["headers"]["csp"]["shell"]["enforced"][0])[-1] == "connect-src"
    )


def test_an_entry_in_braces() -> None:
    after = add_entry(FILE, ("headers", "csp", "flow", "enforced", 0), "font-src", ["[NEW]"])
    assert added(FILE, after) == ["    flow: {enforced: [{img-src: [a.example], font-src: [NEW]}]}"]


LINES = ["enforced:", "  - img-src: [NEW]"]


def test_mappings_that_are_not_there_are_made() -> None:
    before = "a: 1\nheaders:\n    hsts: x\n# end\nb: 2\n"
    after = add_entry(before, ("headers", "csp"), "shell", LINES)
    assert yaml.safe_load(after) == {
        "a": 1,
        "headers": {"hsts": "x", "csp": {"shell": {"enforced": [{"img-src": ["NEW"]}]}}},
        "b": 2,
    }
    assert "# end\nb: 2\n" in after


@pytest.mark.parametrize("before", ["a: 1\n", "a: 1", "a: 1\n# comment\n\n"])
def test_a_file_without_any_of_it(before: str) -> None:
    after = add_entry(before, ("headers", "csp"), "shell", LINES)
    assert yaml.safe_load(after)["headers"] == {
        "csp": {"shell": {"enforced": [{"img-src": ["NEW"]}]}}
    }


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", ("a",), "empty"),
        ("a: [", ("a",), "not YAML"),
        ("a: {b: 1}", ("a", "c"), "braces"),
        ("- 1", ("a",), "not a mapping"),
    ],
)
def test_other_shapes_are_refused(text: str, path: Path, message: str) -> None:
    with pytest.raises(EditFault, match=message):
        add_entry(text, path, "k", LINES)


def test_the_diff_is_one_that_patch_takes() -> None:
    assert unified_diff("a: 1", "a: 1\nb: 2\n", "/etc/x.yaml").startswith(
        "--- a/etc/x.yaml\n+++ b/etc/x.yaml\n@@"
    )
