"""The rules of routes that install modules, and of what the modules may be."""

import pytest

from sidecar.config import parse_config
from tests.config.documents import MINIMAL, problems

MODULE = MINIMAL.replace("path_prefix: /", "path_prefix: /, methods: [POST], module: signed")
BAD: list[tuple[str, str, str]] = [
    ("a module route without modules", MODULE, "routes[0].module: needs the section modules"),
    (
        "a bundle larger than its message",
        MODULE + "modules: {max_bundle_bytes: 4194304}\n",
        "modules.max_bundle_bytes: must stay 131072 below",
    ),
    (
        "owners that nobody is",
        MODULE.replace("module: signed", "module: unsigned_by_owner") + "modules: {}\n",
        "routes[0].module: needs modules.owner_roles",
    ),
    (
        "a module from anybody",
        MODULE.replace("module: signed", "module: signed, auth: optional") + "modules: {}\n",
        "routes[0].module: needs auth: required",
    ),
    (
        "a module in shadow mode",
        MODULE.replace("module: signed", "module: signed, shadow: true") + "modules: {}\n",
        "routes[0].module: can't be in shadow mode",
    ),
    (
        "a module in a GET",
        MODULE.replace("[POST]", "[POST, GET]") + "modules: {}\n",
        "routes[0].module: needs methods",
    ),
    (
        "a bundle in a form",
        MODULE + "modules: {content_types: [text/javascript, multipart/form-data]}\n",
        "modules.content_types[1]: is decoded by frameworks",
    ),
    (
        "a bundle in an encoded form",
        MODULE + "modules: {content_types: [application/x-www-form-urlencoded]}\n",
        "modules.content_types[0]: is decoded by frameworks",
    ),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_problems_are_named_with_their_place(text: str, said: str) -> None:
    (problem,) = problems(text)
    assert said in problem


GOOD: list[tuple[str, str]] = [
    ("a signed module", MODULE + "modules: {}\n"),
    ("a module in a PUT", MODULE.replace("POST", "PUT") + "modules: {}\n"),
    ("either", MODULE.replace("[POST]", "[POST, PUT]") + "modules: {}\n"),
    (
        "the owners' own",
        MODULE.replace("signed", "unsigned_by_owner") + "modules: {owner_roles: [owner]}\n",
    ),
    (
        "the largest bundle of its message",
        MODULE + f"modules: {{max_bundle_bytes: {4_194_304 - 131_072}}}\n",
    ),
    ("modules that no route installs", MINIMAL + "modules: {}\n"),
]


@pytest.mark.parametrize("text", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_what_agrees_loads(text: str) -> None:
    assert parse_config(text, "test.yaml").modules is not None


def test_the_least_bundle_that_is_too_large() -> None:
    (problem,) = problems(MODULE + f"modules: {{max_bundle_bytes: {4_194_304 - 131_071}}}\n")
    assert "modules.max_bundle_bytes: must stay 131072 below" in problem
