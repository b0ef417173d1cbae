"""The policy's cases, run as a user would, and the command around them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.cases import (
    Case,
    RecordedRequest,
    Token,
    load_case,
    load_suites,
    problems_of,
)
from sidecar.cli.main import main
from sidecar.cli.policy_evaluator import PolicyEvaluator
from sidecar.common.reasons import Grant, Reason
from sidecar.config import load_config
from tests.support.minting import NOW

HERE = Path(__file__).parent
CONFIG = HERE / "config.yaml"
EVALUATOR = PolicyEvaluator(load_config(CONFIG))
CASES = [case for _, suite in load_suites(HERE / "cases") for case in suite.cases]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_cases(case: Case) -> None:
    assert list(problems_of(case, EVALUATOR.evaluate(case, NOW))) == []


NOT_BY_ONE_REQUEST = {
    Reason.REQUEST_TOO_LARGE: "tests/common/test_canonical.py::test_a_path_over_the_limit",
    Reason.TOKEN_TOO_LARGE: "tests/authz/test_service.py::test_denials",
    Reason.TOKEN_REVOKED: "tests/tokens/test_revocation.py::test_rows",
    Reason.MODULE_TOO_LARGE: "tests/authz/test_module_install.py::test_rows",
    Reason.MODULE_WITHDRAWN: "tests/authz/test_module_install.py::test_rows",
    Reason.MODULE_SIGNATURE_INVALID: "tests/authz/test_module_install.py::test_rows",
    Reason.MODULES_BUSY: (
        "tests/module_signing/test_digest_pool.py::test_too_many_are_told_to_come_again"
    ),
    Grant.CHALLENGE_ANSWERED: (
        "tests/authz/test_acme_challenge.py::test_a_token_in_flight_is_answered_and_no_route_is_asked"
    ),
    Reason.KEYS_UNAVAILABLE: "tests/authz/test_service.py::test_without_a_key_the_answer_is_503",
    Reason.KEYS_DEGRADED: "tests/keys/test_refresher.py::test_degraded_may_refuse",
    Reason.INTERNAL_FAULT: "tests/authz/test_service.py::test_a_fault_of_ours_is_a_refusal",
}


def test_every_reason_and_ground_has_a_case_that_brings_it_about() -> None:
    named = {case.expect.reason for case in CASES}
    assert named | set(NOT_BY_ONE_REQUEST) >= {*Reason, *Grant}
    for place in NOT_BY_ONE_REQUEST.values():
        file, _, test = place.partition("::")
        assert f"def {test}(" in (HERE.parents[1] / file).read_text()


def test_a_folder_of_cases_is_a_test_with_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["check", "--config", str(CONFIG), "--cases", str(HERE / "cases")]
    assert main(command) == 0
    assert f"{len(CASES)} passed, 0 failed" in capsys.readouterr().out


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
    with pytest.raises(Exception, match="cannot be read"):
        load_case(tmp_path / "none.json")


def test_a_decision_is_found_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = {
        "decision_id": "4f0c2a",
        "outcome": "deny",
        "reason": "token_expired",
        "warnings": ["w"],
    }
    path = tmp_path / "audit.jsonl"
    path.write_text('{"decision_id":"other"}\n')
    (tmp_path / "audit.jsonl.1").write_text("not json 4f0c2a\n" + json.dumps(line) + "\n")
    assert main(["explain", "urn:septem:decision:4f0c2a", "--audit", str(path)]) == 0
    out = capsys.readouterr().out
    assert "token_expired" in out
    assert "docs/reasons.md" in out
    assert main(["explain", "nope", "--audit", str(path)]) == 1
    assert main(["explain", "nope", "--audit", str(tmp_path / "none")]) == 1


NAMES = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "tenantId", "roles", "scope"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.text(max_size=4), max_size=3),
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1))
def test_no_mutation_of_claims_gets_past_with_an_exception(claims: dict[str, object]) -> None:
    result = EVALUATOR.evaluate(
        Case(request=RecordedRequest(path="/api"), token=Token(claims=claims)), NOW
    )
    assert result.status in {200, 401}
