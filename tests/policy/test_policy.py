"""The policy's cases, run as a user would, and the command around them."""

from pathlib import Path

import pytest

from sidecar.cli.cases import (
    Case,
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
    Reason.TENANT_UNKNOWN: "tests/tokens/test_issuer_shapes.py::test_changed_it_is_refused",
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
    Reason.DPOP_PROOF_MISSING: "tests/authz/test_token_binding.py::test_what_passes_where",
    Reason.DPOP_PROOF_INVALID: "tests/authz/test_token_binding.py::test_what_passes_where",
    Reason.DPOP_PROOF_MISMATCH: "tests/authz/test_token_binding.py::test_what_passes_where",
    Reason.DPOP_PROOF_EXPIRED: "tests/tokens/test_dpop.py::test_claims",
    Reason.DPOP_PROOF_REPLAYED: "tests/authz/test_token_binding.py::test_a_proof_is_used_once",
    Reason.DPOP_NONCE_REQUIRED: (
        "tests/authz/test_token_binding.py::test_a_nonce_is_offered_asked_for_and_renewed"
    ),
    Reason.DPOP_BUSY: (
        "tests/authz/test_token_binding.py::test_without_room_for_another_proof_it_is_503"
    ),
    Reason.RATE_LIMITED: (
        "tests/authz/test_limiting.py::test_a_tenant_over_its_limit_is_told_when_to_come_back"
    ),
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
