"""An explanation has the decision's own steps, up to the one that denied."""

import pytest

from sidecar.authz.decision import RequestView
from sidecar.authz.evaluate import decide
from sidecar.authz.explain import StepResult, explain
from sidecar.authz.snapshot import build_snapshot
from sidecar.config import parse_config
from tests.authz.conftest import CONFIG
from tests.support.minting import NOW, Issuer

FORM = ["+method", "+host", "+path", "+route"]
TOKEN = [*FORM, "+credential", "+token", "+personal data", "+revocation", "+tenant"]
ROWS: list[tuple[str, str, str | None, list[str]]] = [
    ("every step", "/api/x", "good", [*TOKEN, "+roles and scopes"]),
    ("a public route reads no token", "/public/x", None, FORM),
    ("no token on an optional route", "/either", None, [*FORM, "+credential"]),
    ("no token on a required one", "/api/x", None, [*FORM, "-credential"]),
    ("a forged token", "/api/x", "forged", [*FORM, "+credential", "-token"]),
    ("no route", "/nowhere", "good", ["+method", "+host", "+path", "-route"]),
    ("no path", "", "good", ["+method", "+host", "-path"]),
    ("personal data", "/api/x", "pii", [*FORM, "+credential", "+token", "-personal data"]),
]


@pytest.mark.parametrize(
    ("path", "token", "steps"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_rows(issuer: Issuer, path: str, token: str | None, steps: list[str]) -> None:
    minted = {
        "good": issuer.mint(),
        "forged": Issuer.generate().mint(),
        "pii": issuer.mint(email="a@b.example"),
    }
    headers = {} if token is None else {"authorization": b"Bearer " + minted[token]}
    view = RequestView(b"GET", b"App.Example", path.encode(), headers)
    snapshot = build_snapshot(parse_config(CONFIG, "test"), issuer.ring)
    decision, results = explain(view, snapshot, NOW)
    assert decision == decide(view, snapshot, NOW)
    assert [("+" if held else "-") + step for step, held, _ in results] == steps
    failed = [result for result in results if not result.held]
    assert [decision.detail in result.detail for result in failed] == [True] * len(failed)


def test_what_a_step_found_is_shown_but_no_credential(issuer: Issuer) -> None:
    view = RequestView(
        b"GET", b"App.Example", b"/api/%7Ex", {"authorization": b"Bearer " + issuer.mint()}
    )
    snapshot = build_snapshot(parse_config(CONFIG, "test"), issuer.ring)
    results = explain(view, snapshot, NOW)[1]
    assert results[:5] == (
        StepResult("method", True, "GET"),
        StepResult("host", True, "app.example"),
        StepResult("path", True, "/api/~x"),
        StepResult("route", True, "api"),
        StepResult("credential", True, ""),
    )
    assert {result.detail for result in results[5:]} == {""}
