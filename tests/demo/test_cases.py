"""The demo's judge: a row that is wrong is seen."""

import json
from typing import Any

import pytest

from demo.cases import ALWAYS, TENANT, Case, judge
from demo.client import Reply
from demo.envoyproxy import EdgePorts, edge_config, shipped_config

SECURE = {name: value or "x" for name, value in ALWAYS.items()}
PASSED = Case("valid", "/", (), 200, "token_verified", TENANT)
DENIED = Case("denied", "/", (), 401, "token_expired")


def reply(status: int, document: dict[str, Any], **headers: str) -> Reply:
    changed = {**SECURE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Reply(status, changed, json.dumps(document).encode(), 1.0)


def saw(*tenants: str) -> dict[str, Any]:
    return {"application": "sample", "seen": {"x-tenant-id": list(tenants)}}


ROWS = [
    ("right", PASSED, reply(200, saw(TENANT)), "token_verified", ""),
    ("denied, and rightly", DENIED, reply(401, {"reason": "token_expired"}), "token_expired", ""),
    ("wrong status", PASSED, reply(403, {}), "token_verified", "status 403"),
    ("a forged tenant", PASSED, reply(200, saw("evil")), "token_verified", "saw ['evil']"),
    ("the tenant twice", PASSED, reply(200, saw(TENANT, "x")), "token_verified", "saw ["),
    ("passed though denied", DENIED, reply(401, saw()), "token_expired", "saw []"),
    ("another reason", DENIED, reply(401, {"reason": "x"}), "token_expired", "given x"),
    ("nothing audited", DENIED, reply(401, {"reason": "token_expired"}), "", "audit log says"),
    (
        "no HSTS",
        PASSED,
        Reply(200, {k: v for k, v in SECURE.items() if "strict" not in k}, b"{}", 1),
        "token_verified",
        "strict-transport-security is missing",
    ),
    (
        "a weak policy",
        PASSED,
        reply(200, saw(TENANT), content_security_policy="default-src *"),
        "token_verified",
        "weak policy",
    ),
    (
        "a chatty application",
        PASSED,
        reply(200, saw(TENANT), x_powered_by="x"),
        "token_verified",
        "came",
    ),
]


@pytest.mark.parametrize(
    ("case", "answer", "audited", "said"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_rows_are_judged(case: Case, answer: Reply, audited: str, said: str) -> None:
    problems = judge(case, answer, audited).problems
    assert any(said in problem for problem in problems) if said else problems == ()


def differences(ours: Any, shipped: Any, path: str = "") -> set[str]:
    """Paths at which two configurations differ."""
    if type(ours) is not type(shipped):
        return {path}
    if isinstance(ours, dict):
        keys = ours.keys() | shipped.keys()
        return set().union(*(differences(ours.get(k), shipped.get(k), f"{path}.{k}") for k in keys))
    if isinstance(ours, list) and len(ours) == len(shipped):
        return set().union(*(differences(a, b, path) for a, b in zip(ours, shipped, strict=True)))
    return set() if ours == shipped else {path}


def test_the_demo_runs_the_shipped_file_with_other_addresses_and_nothing_else() -> None:
    config = edge_config(EdgePorts(1, 2, 3, 4, 5, 6), tls_min="1.2")
    changed = {path.rpartition(".")[2] for path in differences(config, shipped_config())}
    assert changed == {"port_value", "address", "port_redirect", "tls_minimum_protocol_version"}
