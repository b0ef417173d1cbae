"""YAML 1.2, of which only that is taken which has one reading; each fault has its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.problem import Problem
from sidecar.config.yamltree import MAX_DEPTH, parse_yaml
from tests.config.documents import MINIMAL

BAD: list[tuple[str, str, str]] = [
    (
        "a control character",
        MINIMAL.replace("path_prefix: /", 'path_prefix: "/\x7f"'),
        "line 7: (the file): is not YAML: has the character U+007F",
    ),
    ("repeated key", MINIMAL + "routes: []\n", "line 8: routes: is set twice"),
    ("not YAML", "a: [", "is not YAML"),
    ("empty", "", "is empty"),
    ("a key that is no name", MINIMAL + "1: 2\n", "is not a name"),
    ("a YAML tag", MINIMAL + "log: !!python/object:os.system {}\n", "unsupported YAML type"),
    ("an alias", "log: &a {level: info}\naudit: *a\n", "line 2: (the file): is not YAML: aliases"),
    ("a date", MINIMAL.replace("name: api", "name: 2020-01-01"), "unsupported YAML type"),
    ("a whole number that is none", "a: !!int ''\n", "line 1: a: is not a whole number"),
    ("a truth that is none", "a: !!bool xyz\n", "line 1: a: is not true or false"),
    ("a number that is none", "a: !!float x\n", "line 1: a: is not a number"),
    ("a mapping that is none", "a: !!map 5\n", "line 1: a: is not a mapping"),
    ("a character there is not", 'a: "\\U00110000"\n', "is not YAML"),
    ("a NUL", "a: \x00\n", "is not YAML"),
    ("two documents", "a: 1\n---\nb: 1\n", "is not YAML"),
    ("too deep", "[" * 100 + "]" * 100, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_has_not_one_reading_is_a_problem(text: str, said: str) -> None:
    tree = parse_yaml(text)
    (problem,) = tree.problems
    assert said in tree.locate(problem)


@pytest.mark.parametrize(
    ("written", "read"),
    [("0101", 101), ("0x1F", 31), ("0o17", 15), ("1_000", 1000), ("off", "off"), ("no", "no"),
     ("1:30", "1:30"), ("true", True), ("~", None), ("1e3", 1000.0), ("'1'", "1")],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(written: str, read: object) -> None:
    tree = parse_yaml(f"a: {written}\n")
    assert tree.problems == []
    assert tree.value == {"a": read}
    assert type(tree.value["a"]) is type(read)


@given(st.text(max_size=60) | st.text(alphabet="a:[]{}!&*|>-? \n'\"#%@0x.<", max_size=60))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    tree = parse_yaml(text)
    assert tree.problems or tree.value is not None or text.strip()


def test_the_deepest_that_is_read() -> None:
    assert parse_yaml("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH).problems == []
    (problem,) = parse_yaml("[" * (MAX_DEPTH + 1) + "1" + "]" * (MAX_DEPTH + 1)).problems
    assert problem.message == "is nested too deeply"


DOCUMENT = """\
a:
  b:
    - 1
    - c: 2
d: 3
"""


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        (Problem(("a", "b", 1, "c"), "x"), "line 4: a.b[1].c: x"),
        (Problem(("a", "b", 0), "x"), "line 3: a.b[0]: x"),
        (Problem(("a", "b", 1, "missing"), "x"), "line 4: a.b[1].missing: x"),
        (Problem(("missing", "deeply"), "x"), "line 1: missing.deeply: x"),
        (Problem(("d",), "x"), "line 5: d: x"),
        (Problem(("d",), "x", 9), "line 9: d: x"),
        (Problem((), "x"), "line 1: (the file): x"),
    ],
)
def test_a_problem_has_the_line_of_its_path_or_of_the_nearest_parent(
    problem: Problem, shown: str
) -> None:
    assert parse_yaml(DOCUMENT).locate(problem) == shown


def test_without_a_document_there_is_no_line() -> None:
    assert parse_yaml("").locate(Problem(("a",), "is missing")) == "a: is missing"


ENVOY: list[tuple[str, str, object]] = [
    ("an alias", "a: &a {b: 1}\nc: *a\n", {"a": {"b": 1}, "c": {"b": 1}}),
    ("what is ignored but by its name", "a: !ignore &a [1]\nb: *a\n", {}),
    ("a key that is a number", "200: ok\n", {"200": "ok"}),
    ("a date, to Envoy a text", "a: 2020-01-01\n", {"a": "2020-01-01"}),
    ("a word in quotes", "a: 'no'\nb: \"on\"\n", {"a": "no", "b": "on"}),
    ("words that only hold one", "a: none\nb: only\n", {"a": "none", "b": "only"}),
    ("as deep as none is", "a: " + "[" * 60 + "]" * 60, None),
]


@pytest.mark.parametrize(("text", "value"), [e[1:] for e in ENVOY], ids=[e[0] for e in ENVOY])
def test_envoys_liberties_are_for_envoys_files(text: str, value: object) -> None:
    tree = parse_yaml(text, of_envoy=True)
    assert tree.problems == []
    assert value is None or tree.value == value


@pytest.mark.parametrize("text", [e[1] for e in ENVOY[:4]], ids=[e[0] for e in ENVOY[:4]])
def test_and_for_no_other(text: str) -> None:
    assert parse_yaml(text).problems


ENVOY_BAD: list[tuple[str, str, str]] = [
    *((word, f"a: {word}\n", "line 1: a: is true or false for Envoy and a text for others")
      for word in ("no", "Yes", "ON", "off", "y", "N")),
    ("a key twice", "a: 1\na: 2\n", "line 2: a: is set twice"),
    ("itself within itself", "a: &a [*a]\n", "is nested too deeply"),
    ("a type of Python's", "a: !!python/object:os.system {}\n", "unsupported YAML type"),
    (
        "ten lines that stand for any number",
        "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 8)),
        "has more than 200000 values, aliases followed",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"), [e[1:] for e in ENVOY_BAD], ids=[e[0] for e in ENVOY_BAD]
)
def test_what_has_not_one_reading_for_envoy_either(text: str, said: str) -> None:
    tree = parse_yaml(text, of_envoy=True)
    assert any(said in tree.locate(problem) for problem in tree.problems)
