"""One line under one configuration: what is certain, what is open, and for how long."""

from typing import Any

import msgspec
import pytest

from sidecar.config import parse_config
from sidecar.observability.audit.inputs import CUT, NO_INPUTS, RecordedInputs
from sidecar.replay import decider as module
from sidecar.replay.decider import Decider, Prediction
from tests.replay.lines import INPUTS, line
from tests.replay.traffic import POLICY, configured
from tests.support.minting import NOW


def predicted(decider: Decider | None = None, **changes: Any) -> Prediction:
    return (decider or Decider(configured())).predict(line(**changes))


AS_RECORDED: dict[str, dict[str, Any]] = {
    "an answered challenge": {"reason": "challenge_answered", "route": "unmatched"},
    "a host that was none": {"reason": "host_malformed", "host": "", "path": "", "outcome": "deny"},
    "a path that was none": {"reason": "path_ambiguous", "path": "", "outcome": "deny"},
    "a method that was none": {
        "reason": "request_malformed", "method": "", "host": "", "path": "", "outcome": "deny",
    },
}  # fmt: skip


@pytest.mark.parametrize("what", AS_RECORDED)
def test_what_no_configuration_changes_is_as_recorded(what: str) -> None:
    changes = AS_RECORDED[what]
    found = predicted(**changes, tenant="", inputs=NO_INPUTS)
    assert (found.access, found.reason) == (changes.get("outcome", "allow"), changes["reason"])


OPEN: dict[str, tuple[dict[str, Any], str]] = {
    "a masked path": ({"path": "/api/eyJhbGciOiJFUzI1NiJ9"}, "masked or cut"),
    "a path that was cut": ({"path": "/api/" + "a" * 2000}, "masked or cut"),
    "a fault of ours": ({"reason": "internal_fault", "outcome": "deny"}, "internal_fault"),
    "a reason of later versions": ({"reason": "moon_phase"}, "moon_phase"),
    "an allowed request without a path": ({"path": ""}, "no path"),
    "limited before it had a path": ({"path": "", "reason": "rate_limited"}, "limited before"),
    "inputs that were cut": ({"inputs": CUT}, "cut"),
    "no inputs": ({"inputs": NO_INPUTS}, "record_inputs"),
    "an unknown token of a public route": (
        {"reason": "public", "route": "public", "inputs": NO_INPUTS, "tenant": ""},
        "a token",
    ),
    "the sidecar's state": (
        {"reason": "keys_unavailable", "outcome": "deny", "inputs": NO_INPUTS, "tenant": ""},
        "state",
    ),
    "a route that reads another cookie": (
        {"path": "/page/x", "reason": "anonymous", "inputs": NO_INPUTS, "tenant": ""},
        "cookie:session",
    ),
    "a preflight without its origin": (
        {"method": "OPTIONS", "reason": "preflight", "inputs": NO_INPUTS, "path": "/page/x"},
        "record_inputs",
    ),
}


@pytest.mark.parametrize("what", OPEN)
def test_what_a_line_does_not_tell_is_unknown_and_said(what: str) -> None:
    changes, why = OPEN[what]
    found = predicted(**changes)
    assert found.access == "unknown"
    assert why in "; ".join(found.open)


def test_a_later_step_that_denies_is_certain_whatever_is_open() -> None:
    found = predicted(
        inputs=NO_INPUTS, path="/acme/x", tenant="0f0f0f0f-0000-4000-8000-000000000000"
    )
    assert (found.access, found.reason) == ("deny", "tenant_mismatch")
    assert found.open, "another reason may come first"


def test_in_shadow_mode_a_request_passes_whatever_is_open() -> None:
    found = predicted(inputs=NO_INPUTS, path="/tried/x")
    assert found.access == "allow"
    assert found.open


def test_a_bundle_of_a_module_is_not_recorded() -> None:
    text = POLICY.replace("csp: api}", "csp: api, module: signed}", 1)
    text = text.replace("headers:\n", "modules: {owner_roles: [owner]}\nheaders:\n")
    text = text.replace("path_prefix: /api, ", "path_prefix: /api, methods: [POST], ")
    found = predicted(Decider(parse_config(text, "test")), method="POST")
    assert (found.access, found.open) == ("unknown", ("a module's bundle is not recorded",))


def test_a_decision_is_kept_as_long_as_the_token_allows_and_no_longer() -> None:
    decider = Decider(configured())
    ends = INPUTS.exp + 30
    found = [
        predicted(decider, at=at).reason
        for at in (NOW, ends - 0.002, ends + 0.002, NOW, NOW - 39.9, NOW - 40.1, NOW)
    ]
    verified = "token_verified"
    assert found == [
        verified, verified, "token_expired", verified, verified, "token_not_yet_valid", verified,
    ]  # fmt: skip


def test_what_is_kept_is_what_would_be_decided_anew() -> None:
    kept = Decider(configured())
    for changes in (
        {}, {"tenant": ""}, {"path": "/api/admin/y"}, {"path": "/nowhere"}, {"method": "POST"},
        {"kid": "other"}, {"inputs": RecordedInputs(iss="x")}, {"principal": "spiffe://a/b"},
        {"path": "/both/x"}, {"reason": "token_revoked"}, {"host": "shop.acme.example"},
    ) * 2:  # fmt: skip
        assert kept.predict(line(**changes))[:7] == predicted(**changes)[:7]


def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 4)
    decider = Decider(configured())
    for number in range(20):
        inputs = msgspec.structs.replace(INPUTS, size=number)
        assert predicted(decider, path=f"/api/{number}", inputs=inputs).access == "allow"
        assert len(decider._kept) <= 4
        assert len(decider._targets) <= 4
