"""A tree becomes typed settings, or every fault in it a problem with its path."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from sidecar.config import parse_config
from sidecar.config.base import Settings
from sidecar.config.convert import convert
from sidecar.config.keys import VaultKvKeys
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
    (
        "wrong type",
        MINIMAL + "log: {level: loud}\n",
        "line 8: log.level: must be one of: debug, info, warning, error",
    ),
    ("a list for a mapping", MINIMAL + "log: []\n", "log: must be a mapping, not a list"),
    ("no number", MINIMAL + "keys: {max_age_seconds: soon}\n", "must be a number above 0 and of"),
    (
        "out of bounds",
        MINIMAL + "keys: {poll_seconds: 0}\n",
        "keys.poll_seconds: must be a number from 0.1 to 3600, not 0\n",
    ),
    ("unknown method", MINIMAL.replace("token_file", "magic"), "vault.auth.method: must be one"),
    ("method missing", MINIMAL.replace("method: token_file, ", ""), "vault.auth.method: is miss"),
    (
        "empty list",
        MINIMAL.replace("[https://api.example]", "[]"),
        "audiences: must be a list of 1 to 64",
    ),
    (
        "a drain that was over before it began",
        MINIMAL + "listen: {drain_notice_seconds: -1}\n",
        "listen.drain_notice_seconds: must be a number from 0 to 300, not -1\n",
    ),
    (
        "a type that is none",
        MINIMAL + "modules: {content_types: [javascript]}\n",
        "modules.content_types[0]: must be a media type",
    ),
    (
        "no worker",
        MINIMAL + "listen: {authz: {workers: 0}}\n",
        "workers: must be a whole number from 1 to 64, not 0\n",
    ),
    (
        "half a worker",
        MINIMAL + "listen: {authz: {workers: 1.5}}\n",
        "workers: must be a whole number from 1 to 64, not 1.5\n",
    ),
    (
        "more workers than can be written",
        MINIMAL + f"listen: {{authz: {{workers: {'9' * 4000}}}}}\n",
        "workers: must be a whole number from 1 to 64\n",
    ),
    ("a scalar", "just text", "must be a mapping"),
    ("a header with a line break", MINIMAL + 'headers: {hsts: "a\\r\\nb"}\n', "headers.hsts"),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_problems_are_named_with_their_place(text: str, said: str) -> None:
    assert any(said in f"{problem}\n" for problem in problems(text)), problems(text)


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
        ({"shapes": []}, ("shapes",), "must be a list of at least 1 item, and is empty"),
        ({"shapes": {}}, ("shapes",), "must be a list of at least 1 item, not a mapping"),
        ({"shapes": [None]}, ("shapes", 0), "must be a mapping with shape, one of: circle, square"),
        ({"shapes": [{}]}, ("shapes", 0, "shape"), "is missing; it must be one of: circle, square"),
        ({"shapes": [{"shape": 5}]}, ("shapes", 0, "shape"), "must be one of: circle, square"),
        ({"shapes": [{"shape": "x"}]}, ("shapes", 0, "shape"), "must be one of: circle, square"),
        ({"shapes": [{"shape": "circle"}]}, ("shapes", 0, "radius"), "is missing"),
        (
            {"shapes": [{"shape": "circle", "radius": 0}]},
            ("shapes", 0, "radius"),
            "must be a number above 0",
        ),
        (
            {"shapes": [{**SQUARE, "radius": 1}]},
            ("shapes", 0, "radius"),
            "is not a setting; the settings here are: side",
        ),
        ({"shapes": [SQUARE], "title": 5}, ("title",), "must be a text, not a number"),
        ({"shapes": [SQUARE], "sizes": {"A": 0}}, ("sizes", "A"), "has a name that must be a text"),
        (
            {"shapes": [SQUARE], "sizes": {"a": -1}},
            ("sizes", "a"),
            "must be a whole number of at least 0",
        ),
    ],
)
def test_each_fault_has_its_path(value: Any, path: tuple[str | int, ...], message: str) -> None:
    converted, (found,) = convert_drawing(value)
    assert converted is None
    assert found.path == path
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    ("keys", "source"),
    [
        ("{mount: kv}", VaultKvKeys(mount="kv")),
        ("{}", VaultKvKeys()),
        ("{path: a/b}", VaultKvKeys(path="a/b")),
    ],
)
def test_without_a_source_keys_have_the_one_of_the_default(keys: str, source: VaultKvKeys) -> None:
    config = parse_config(MINIMAL.replace("audiences:", f"keys: {keys}, audiences:"), "test")
    assert config.tokens.issuers[0].keys == source


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("{name: k}", "keys.source: is missing; it must be one of: vault_transit"),
        ("{url: 'https://a'}", "keys.source: is missing; it must be one of: jwks"),
        (
            "{urk: 'https://a'}",
            "is missing; it must be one of: jwks, oidc, vault_kv, vault_transit",
        ),
        ("[]", "keys: must be a mapping with source, one of: jwks, oidc, vault_kv, vault_transit"),
    ],
)
def test_a_source_that_others_have_is_asked_for(keys: str, said: str) -> None:
    assert said in problems(MINIMAL.replace("audiences:", f"keys: {keys}, audiences:"))[0]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("metods: [GET]", "did you mean methods? The settings here are: auth, "),
        ("zzz: none", "is not a setting; the settings here are: auth, "),
    ],
)
def test_a_name_that_is_nearly_one_is_a_question(written: str, said: str) -> None:
    assert said in problems(MINIMAL.replace("path_prefix: /", f"path_prefix: /, {written}"))[0]


def test_where_there_are_no_settings_it_says_so() -> None:
    assert problems(MINIMAL + "audit: {to: {sink: stdout, path: /a}}\n")[0].endswith(
        "audit.to.path: is not a setting; there are none here: remove it"
    )


@pytest.mark.parametrize("style", [">", "|"])
def test_a_text_that_ends_with_a_line_end_is_no_value_with_a_form(style: str) -> None:
    """``$`` of a pattern would let it pass, into a header among others."""
    (found,) = problems(MINIMAL + f"headers:\n  permissions_policy: {style}\n    usb=()\n")
    assert "must be a header's value: printable ASCII in one line" in found
    assert "write >- or |- and not > or |" in found


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
