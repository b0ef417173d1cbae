"""A tree becomes typed settings, or every fault in it a problem with its path."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from sidecar.config.base import Settings
from sidecar.config.convert import convert
from sidecar.config.problem import Problem
from tests.config.documents import MINIMAL, problems

BAD: list[tuple[str, str, str]] = [
    ("unknown key", MINIMAL + "rooutes: []\n", "line 8: rooutes: is not a setting"),
    (
        "unknown nested key",
        MINIMAL.replace("path_prefix: /", "path_prefix: /, atuh: none"),
        "line 7: routes[0].atuh: is not a setting",
    ),
    ("missing section", "routes: [{name: a, path: /}]\n", "vault: is missing"),
    ("wrong type", MINIMAL + "log: {level: loud}\n", "line 8: log.level: invalid enum value"),
    ("a list for a mapping", MINIMAL + "log: []\n", "log: must be a mapping, not a list"),
    ("no number", MINIMAL + "keys: {max_age_seconds: soon}\n", "expected `float`"),
    ("out of bounds", MINIMAL + "keys: {poll_seconds: 0}\n", "keys.poll_seconds: expected"),
    ("unknown method", MINIMAL.replace("token_file", "magic"), "vault.auth.method: must be one"),
    ("method missing", MINIMAL.replace("method: token_file, ", ""), "vault.auth.method: is miss"),
    ("empty list", MINIMAL.replace("[https://api.example]", "[]"), "audiences: expected"),
    (
        "a drain that was over before it began",
        MINIMAL + "listen: {drain_notice_seconds: -1}\n",
        "listen.drain_notice_seconds: expected",
    ),
    (
        "a type that is none",
        MINIMAL + "modules: {content_types: [javascript]}\n",
        "modules.content_types[0]: expected",
    ),
    ("no worker", MINIMAL + "listen: {authz: {workers: 0}}\n", "listen.authz.workers: expected"),
    ("a scalar", "just text", "must be a mapping"),
    ("a header with a line break", MINIMAL + 'headers: {hsts: "a\\r\\nb"}\n', "headers.hsts"),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_problems_are_named_with_their_place(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


class Circle(Settings, frozen=True, tag_field="shape", tag="circle"):
    radius: Annotated[float, Meta(gt=0)]


class Square(Settings, frozen=True, tag_field="shape", tag="square"):
    side: float = 1.0


class Drawing(Settings, frozen=True):
    shapes: Annotated[tuple[Circle | Square, ...], Meta(min_length=1)]
    frame: Circle | Square | None = None
    title: str | None = None
    sizes: dict[Annotated[str, Meta(pattern="^[a-z]$")], Annotated[int, Meta(ge=0)]] = (
        msgspec.field(default_factory=dict)
    )


def convert_drawing(value: Any) -> tuple[Drawing | None, list[Problem]]:
    found: list[Problem] = []
    return convert(value, Drawing, found), found


SQUARE = {"shape": "square"}


@pytest.mark.parametrize(
    ("value", "drawing"),
    [
        ({"shapes": [SQUARE]}, Drawing(shapes=(Square(),))),
        (
            {"shapes": [{"shape": "circle", "radius": 2}, {"shape": "square", "side": 3}]},
            Drawing(shapes=(Circle(radius=2.0), Square(side=3.0))),
        ),
        ({"shapes": [SQUARE], "frame": None, "title": None}, Drawing(shapes=(Square(),))),
        ({"shapes": [SQUARE], "frame": SQUARE}, Drawing(shapes=(Square(),), frame=Square())),
        ({"shapes": [SQUARE], "sizes": {"a": 0}}, Drawing(shapes=(Square(),), sizes={"a": 0})),
    ],
    ids=["defaults", "each by its tag", "null where it may be", "a mapping there", "a table"],
)
def test_what_fits_is_converted(value: Any, drawing: Drawing) -> None:
    assert convert_drawing(value) == (drawing, [])


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (None, (), "must be a mapping, not empty"),
        ("x", (), "must be a mapping, not text"),
        (5, (), "must be a mapping, not a number"),
        (True, (), "must be a mapping, not true or false"),
        ([], (), "must be a mapping, not a list"),
        ({}, ("shapes",), "is missing"),
        ({"shapes": []}, ("shapes",), "expected `array` of length >= 1"),
        ({"shapes": {}}, ("shapes",), "expected `array`, got `object`"),
        ({"shapes": [None]}, ("shapes", 0), "must be a mapping, not empty"),
        ({"shapes": [{}]}, ("shapes", 0, "shape"), "is missing; it must be one of: circle, square"),
        ({"shapes": [{"shape": 5}]}, ("shapes", 0, "shape"), "must be one of: circle, square"),
        ({"shapes": [{"shape": "x"}]}, ("shapes", 0, "shape"), "must be one of: circle, square"),
        ({"shapes": [{"shape": "circle"}]}, ("shapes", 0, "radius"), "is missing"),
        (
            {"shapes": [{"shape": "circle", "radius": 0}]},
            ("shapes", 0, "radius"),
            "expected `float` > 0.0",
        ),
        (
            {"shapes": [{**SQUARE, "radius": 1}]},
            ("shapes", 0, "radius"),
            "is not a setting; the settings here are: side",
        ),
        ({"shapes": [SQUARE], "title": 5}, ("title",), "expected `str | null`, got"),
        ({"shapes": [SQUARE], "sizes": {"A": 0}}, ("sizes", "A"), "expected `str` matching"),
        ({"shapes": [SQUARE], "sizes": {"a": -1}}, ("sizes", "a"), "expected `int` >= 0"),
    ],
)
def test_each_fault_has_its_path(value: Any, path: tuple[str | int, ...], message: str) -> None:
    converted, (found,) = convert_drawing(value)
    assert converted is None
    assert found.path == path
    assert found.message.startswith(message)


def test_every_fault_is_found_at_once() -> None:
    value = {"shapes": [{"shape": "circle", "radius": -1}, {"shape": "x"}], "titel": "", "frame": 1}
    _, found = convert_drawing(value)
    assert {each.path for each in found} == {
        ("shapes", 0, "radius"), ("shapes", 1, "shape"), ("titel",), ("frame",),
    }  # fmt: skip


def test_problems_that_were_there_before_do_not_keep_it_from_being_converted() -> None:
    before = [Problem(("elsewhere",), "x")]
    assert convert({"shapes": [SQUARE]}, Drawing, before) == Drawing(shapes=(Square(),))
    assert len(before) == 1
