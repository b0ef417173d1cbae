"""What a setting takes is said in words, for every setting of the model."""

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from sidecar.config.base import Address, Label, Settings
from sidecar.config.convert import convert
from sidecar.config.expected import bare_type, bounds_of, in_words, kind_of, members_of
from sidecar.config.problem import Problem
from tests.config.walking import bound_values, fits, settings

WRONG: list[Any] = [
    None, True, False, 0, -1, 1, 10**400, 1.5, float("nan"), float("inf"), "", "a\n", "a b", "{}",
    "x" * 5000, "é", "true", [], [None], [[]], ["", ""], {}, {"": None}, {"a": []}, {"a": {"b": 1}},
]  # fmt: skip
NO_WORDS = (
    "regex", "enum", "xpected", "`", "array", "object", " str ", " int ", "float", "null", "None",
    "dict", "tuple", "got ", "length", ">=", "<=", "^", "$.", "\\", "validat",
)  # fmt: skip
SETTINGS = settings()
BY_KIND = {repr(kind): (path, kind) for path, kind in reversed(SETTINGS)}
KINDS = dict(BY_KIND.values())
"""Each type once, by a path where it is."""


def test_the_walk_goes_everywhere() -> None:
    paths = {path for path, _ in SETTINGS}
    assert len(paths) > 250
    assert {
        "routes[].hosts[]",
        "headers.csp.<name>.enforced[].<name>[]",
        "vault.auth.role",
    } <= paths


@pytest.mark.parametrize(("path", "kind"), KINDS.items(), ids=KINDS)
def test_no_message_speaks_of_types_or_patterns(path: str, kind: Any) -> None:
    for value in [*WRONG, *(each for each, good in bound_values(kind) if not good)]:
        found: list[Problem] = []
        convert(value, kind, found)
        for problem in found:
            message = problem.message.removeprefix("is not a setting; ")
            assert not [word for word in NO_WORDS if word in message], (path, message)
            assert message.startswith(
                ("must be ", "is missing; it must be ", "has a name that must be ")
            ) or problem.message.startswith("is not a setting; "), (path, message)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_bound_holds_exactly(kind: Any) -> None:
    for value, good in bound_values(kind):
        shown = str(value)[:60]
        assert fits(value, kind) is good, shown


def test_every_text_number_and_list_has_a_bound_and_every_form_its_words() -> None:
    for path, kind in SETTINGS:
        for member in members_of(kind):
            bounds, bare = bounds_of(member), bare_type(member)
            if bare is str or str(bare).startswith("tuple"):
                assert bounds.max_length is not None, path
            if bare in {int, float}:
                assert bounds.le is not None, path
                assert bounds.ge is not None or bounds.gt is not None, path
            if bounds.pattern is not None:
                assert bounds.description, f"{path}: give its text(…) a description"


class Shape(Settings, frozen=True):
    side: float = 1.0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (int, "a whole number"),
        (Annotated[int, Meta(ge=1, le=64)], "a whole number from 1 to 64"),
        (Annotated[float, Meta(ge=0.1, le=60)], "a number from 0.1 to 60"),
        (Annotated[float, Meta(gt=0, le=60)], "a number above 0 and of at most 60"),
        (Annotated[float, Meta(ge=0)], "a number of at least 0"),
        (Annotated[float, Meta(lt=1)], "a number below 1"),
        (Literal["a", "b"], "one of: a, b"),
        (Literal["a", "b"] | None, "one of: a, b"),
        (str, "a text"),
        (Annotated[str, Meta(min_length=1)], "a text of at least 1 character"),
        (Annotated[str, Meta(min_length=2)], "a text of at least 2 characters"),
        (Annotated[str, Meta(min_length=1, max_length=9)], "a text of 1 to 9 characters"),
        (Annotated[tuple[int, ...], Meta(min_length=4, max_length=4)], "a list of 4 items"),
        (Annotated[dict[str, int], Meta(max_length=4)], "a mapping of at most 4 entries"),
        (Shape, "a mapping"),
        (Shape | int, "a mapping"),
        (Address, "host:port, [IPv6]:port or unix:/path"),
        (Annotated[Label, Meta(max_length=3)], bounds_of(Label).description),
    ],
)
def test_what_a_type_takes_is_said_in_words(kind: Any, words: str) -> None:
    assert in_words(kind) == words


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "empty"), (True, "true or false"), ([], "a list"), ({}, "a mapping"),
        ("a", "text"), (1, "a number"), (1.5, "a number"),
    ],
)  # fmt: skip
def test_what_a_value_is_is_said_in_words(value: Any, kind: str) -> None:
    assert kind_of(value) == kind
