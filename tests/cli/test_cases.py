"""Files of cases: which are read, and when a result is as its case expects."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.cases import Case, Expectation, RecordedRequest, Result, load_case, load_suites
from sidecar.cli.cases import problems_of as found
from sidecar.common.errors import ConfigFault, Fault

RESULT = Result(
    name="a request",
    allowed=False,
    reason="role_missing",
    detail="has not admin",
    status=403,
    route="admin",
    tenant=None,
    request_headers={"x-tenant-id": "t"},
    removed_headers=(),
    response_headers={"vary": "origin"},
    steps=(),
)


def problems_of(**expected: Any) -> list[str]:
    case = Case(request=RecordedRequest(path="/"), expect=Expectation(**expected))
    return list(found(case, RESULT))


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"allowed": False, "reason": "role_missing", "status": 403, "route": "admin"},
        {"request_headers": {"X-Tenant-Id": "t", "x-absent": None}},
        {"response_headers": {"Vary": "origin"}},
        {"tenant": None},
    ],
    ids=["nothing", "all of a refusal", "a header and an absent one", "any case", "null is any"],
)
def test_an_expectation_that_holds(expected: dict[str, Any]) -> None:
    assert problems_of(**expected) == []


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"allowed": True}, "allowed is False, expected True"),
        ({"reason": "x"}, "reason is 'role_missing', expected 'x'"),
        ({"status": 200}, "status is 403, expected 200"),
        ({"route": "x"}, "route is 'admin', expected 'x'"),
        ({"tenant": "t"}, "tenant is None, expected 't'"),
        (
            {"request_headers": {"x-tenant-id": None}},
            "request_headers x-tenant-id is 't', expected None",
        ),
        ({"response_headers": {"X-Y": ""}}, "response_headers X-Y is None, expected ''"),
    ],
)
def test_an_expectation_that_does_not_hold(expected: dict[str, Any], problem: str) -> None:
    assert problems_of(**expected) == [problem]


def test_every_problem_is_told() -> None:
    assert len(problems_of(allowed=True, status=1, response_headers={"vary": "x"})) == 3


def test_a_folder_is_read_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.json", "c.yml"):
        (tmp_path / name).write_text(f"cases: [{{name: {name}, request: {{path: /}}}}]")
    (tmp_path / "notes.txt").write_text("not a suite")
    names = [(path.name, suite.cases[0].name) for path, suite in load_suites(tmp_path)]
    assert names == [(name, name) for name in ("a.json", "b.yaml", "c.yml")]


def test_a_folder_without_a_suite(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(Fault, match=r"has no \*\.yaml or \*\.json file"):
        list(load_suites(tmp_path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "request: {path: /}\nname: 5\n",
            "line 2: name: must be a text of at most 1048576 characters, not a number",
        ),
        ("request: {}\nname: a\n", "line 1: request.path: is missing"),
        ("request: {path: /}\nexpekt: {}\n", "line 2: expekt: is not a setting"),
        ("", "(the file): is empty"),
    ],
)
def test_a_file_that_is_no_case(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(text)
    with pytest.raises(ConfigFault) as fault:
        load_case(path)
    assert fault.value.problems[0].startswith(problem)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="cannot be read"):
        load_case(tmp_path / "none.json")
