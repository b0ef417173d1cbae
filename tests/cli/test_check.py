"""``sidecar check``: one request or a folder of cases, with an exit code."""

import json
from pathlib import Path

import pytest

from sidecar.cli.main import main

CONFIG = Path(__file__).parents[1] / "policy" / "config.yaml"


def test_a_case_that_does_not_hold_is_shown_with_its_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "cases": [
                    {
                        "name": "wrong",
                        "request": {"path": "/api"},
                        "expect": {"allowed": True, "response_headers": {"X-Frame": "y"}},
                    }
                ]
            }
        )
    )
    assert main(["check", "--config", str(CONFIG), "--cases", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "FAILED a.json: wrong" in out
    assert "allowed is False, expected True" in out
    assert "response_headers X-Frame is None, expected 'y'" in out
    assert "NO  credential: token_missing" in out
    assert "0 passed, 1 failed" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases: [{request: {path: /}, expect: {alowed: true}}]", "alowed: is not a setting"),
        ("cases: [{request: {}}]", "cases[0].request.path: is missing"),
        ("cases: []", "cases"),
        ("[]", "must be a mapping"),
        ("cases: [", "is not YAML"),
    ],
)
def test_a_file_that_is_not_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert main(["check", "--config", str(CONFIG), "--cases", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_one_request_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request.json"
    path.write_text(
        json.dumps({"request": {"path": "/admin"}, "token": {"claims": {"roles": ["x"]}}})
    )
    assert main(["check", "--config", str(CONFIG), "--request", str(path)]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["reason"], result["status"], result["route"]) == ("role_missing", 403, "admin")
    assert [step["step"] for step in result["steps"]] == [
        "method", "host", "path", "route", "credential", "token", "personal data", "revocation",
        "tenant", "roles and scopes",
    ]  # fmt: skip
    assert [step["held"] for step in result["steps"]] == [True] * 9 + [False]


def test_no_folder_and_an_empty_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (tmp_path / "none", tmp_path):
        assert main(["check", "--config", str(CONFIG), "--cases", str(folder)]) == 1
    assert "has no *.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expect", "code"),
    [
        ({"allowed": False, "reason": "token_missing"}, 0),
        ({"status": 401}, 0),
        ({"allowed": True}, 1),
        ({"reason": "role_missing", "status": 401}, 1),
        ({"response_headers": {"x-none": None}}, 0),
        ({}, 1),
    ],
)
def test_one_request_is_as_it_expects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expect: dict[str, object], code: int
) -> None:
    """Without an expectation the exit code says whether the request is allowed."""
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"request": {"path": "/admin"}, "expect": expect}))
    assert main(["check", "--config", str(CONFIG), "--request", str(path)]) == code
    result = json.loads(capsys.readouterr().out)
    assert bool(result.get("problems")) == bool(code and expect)


def test_cases_are_counted_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = ({"request": {"path": "/admin"}, "expect": {"status": n}} for n in (401, 200))
    (tmp_path / "a.json").write_text(json.dumps({"cases": [good, {**bad, "name": "bad"}]}))
    assert main(["check", "--config", str(CONFIG), "--cases", str(tmp_path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["passed"], found["failed"]) == (1, 1)
    (failure,) = found["failures"]
    assert (failure["file"], failure["name"]) == ("a.json", "bad")
    assert failure["problems"] == ["status is 401, expected 200"]
