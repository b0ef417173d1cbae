"""The report for people: its groups, and what is said below them."""

from typing import Any

import pytest

from sidecar.cli.replay_text import show
from tests.support.minting import TENANT

OUTCOME = {"access": "allow", "reason": "token_verified", "status": 200, "route": "api"}
GROUP: dict[str, Any] = {
    "verdict": "lost", "tenant": TENANT, "route": "api", "before": OUTCOME,
    "after": {**OUTCOME, "access": "deny", "reason": "role_missing", "status": 403},
    "cause": "routes[api].roles: owner", "requests": 1500, "of_requests": 2000, "subjects": 1,
    "subjects_are_more": False, "examples": ["abc"], "first": "", "last": "",
}  # fmt: skip
COUNTED = {"requests": 0, "subjects": 0}
REPORT: dict[str, Any] = {
    "config": "new.yaml", "against": "what was recorded", "from": "a", "until": "b",
    "requests": 2000, "skipped_lines": 0, "lost_lines": 0,
    "lines_without_inputs": 0, "sampled_share": None,
    "logins_not_counted": 0, "gained": COUNTED, "lost": {"requests": 1500, "subjects": 2},
    "changed": COUNTED, "unknown": COUNTED, "same": {"requests": 500, "subjects": 0},
    "groups": [GROUP], "unlike_recorded": [],
}  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], top: int = 10, **changes: Any) -> str:
    show({**REPORT, **changes}, top, "audit.jsonl")
    return capsys.readouterr().out


def test_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        shown(capsys)
        == f"""\
2,000 requests from a to b
decided by new.yaml, compared with what was recorded

  would gain access             0
  would lose access         1,500, 2 subjects
  changed                       0
  unknown                       0
  same                        500

WOULD LOSE ACCESS
  route api, tenant {TENANT}: 1,500 of 2,000 requests, 1 subject
    before  allow 200 token_verified (route api)
    after   deny 403 role_missing (route api)
    by      routes[api].roles: owner
    role_missing: None of the route's roles is in the token.
    see     sidecar explain abc --audit audit.jsonl

Keys, revocations, and what is read from Vault or a registry are taken as they were when the \
lines were written.
"""
    )


def test_groups_beyond_the_top_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, top=2, groups=[GROUP] * 5)
    assert out.count("see ") == 2
    assert "and 3 more groups with 4,500 requests (--top, --json)" in out


WORDS: dict[str, tuple[dict[str, Any], str]] = {
    "skipped": ({"skipped_lines": 3}, "3 lines are no decisions"),
    "lost": ({"lost_lines": 6}, "6 lines are missing"),
    "without inputs": ({"lines_without_inputs": 7}, "7 allowed requests have no inputs"),
    "a sample": ({"sampled_share": 0.1}, "about 10.0% of the allowed requests"),
    "logins": ({"logins_not_counted": 9}, "9 requests are on routes with limits of logins"),
    "another world": (
        {"unlike_recorded": [{"recorded": "a", "old": "b", "requests": 4}]},
        "recorded a, now b: 4",
    ),
    "more subjects": ({"groups": [{**GROUP, "subjects_are_more": True}]}, "1 subject or more"),
    "nobody's": ({"groups": [{**GROUP, "tenant": ""}]}, "tenant (no tenant known)"),
    "open": (
        {"groups": [{**GROUP, "verdict": "unknown", "cause": "who it was"}]}, "open    who it was",
    ),
    "an uncertain reason": (
        {"groups": [{**GROUP, "after": {**GROUP["after"], "reason_is_certain": False}}]},
        "after   deny 403 denied (route api)",
    ),
    "shadow": (
        {"groups": [{**GROUP, "before": {**OUTCOME, "reason": "shadow", "shadow_reason": "x"}}]},
        "before  allow 200 shadow, x (route api)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WORDS)
def test_what_else_is_said(capsys: pytest.CaptureFixture[str], what: str) -> None:
    changes, words = WORDS[what]
    assert words in shown(capsys, **changes)
    if "groups" not in changes:
        assert words not in shown(capsys)
