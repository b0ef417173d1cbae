"""The two roots of errors: what they say, and that neither is the other."""

import pytest

from sidecar.common.errors import ConfigFault, Denied, Fault
from sidecar.common.reasons import Reason


@pytest.mark.parametrize(
    ("detail", "said"),
    [("", "token_expired"), ("expired 60 s ago", "token_expired: expired 60 s ago")],
)
def test_a_denial_says_its_reason_and_its_detail(detail: str, said: str) -> None:
    denied = Denied(Reason.TOKEN_EXPIRED, detail)
    assert str(denied) == said
    assert (denied.reason, denied.detail) == (Reason.TOKEN_EXPIRED, detail)


def test_a_denial_is_no_fault() -> None:
    """What catches faults must not take a denial for one, nor the other way round."""
    assert not issubclass(Denied, Fault)
    assert not issubclass(Fault, Denied)
    assert issubclass(ConfigFault, Fault)


def test_a_faulty_configuration_names_its_file_and_keeps_every_problem() -> None:
    fault = ConfigFault("sidecar.yaml", ("a: is missing", "b: is missing"))
    assert str(fault) == "sidecar.yaml: 2 problem(s)"
    assert fault.problems == ("a: is missing", "b: is missing")
