"""``sidecar explain``: a decision's line is found in the log and its rotated files."""

import json
from pathlib import Path

import pytest

from sidecar.cli.main import main
from sidecar.common.reason_texts import reasons
from sidecar.common.reasons import Grant, Reason


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
    assert "  what it means  `exp` plus the leeway has passed.\n" in out
    assert "  what to do     The client must fetch a new token before `exp`." in out
    assert main(["explain", "nope", "--audit", str(path)]) == 1
    assert main(["explain", "nope", "--audit", str(tmp_path / "none")]) == 1


def test_a_shadowed_denial_is_explained_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.jsonl"
    line = {"decision_id": "a1", "reason": "shadow", "shadow_reason": "role_missing"}
    path.write_text(json.dumps(line) + "\n")
    assert main(["explain", "a1", "--audit", str(path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    texts = [each["text"] for each in found["meaning"]]
    assert texts[0].startswith("the route is in shadow mode")
    assert texts[1] == "None of the route's roles is in the token."


@pytest.mark.parametrize("reason", [None, 5, ["x"], "unheard_of", ""])
def test_a_reason_that_is_none_is_not_explained(
    reason: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text(json.dumps({"decision_id": "a1", "reason": reason}) + "\n")
    assert main(["explain", "a1", "--audit", str(path)]) == 0
    assert "what it means" not in capsys.readouterr().out


def test_every_reason_and_ground_is_explained() -> None:
    assert reasons().keys() == {*map(str, Reason), *map(str, Grant)}
    assert all(reasons()[reason]["do"] for reason in Reason)


def test_the_lines_of_one_token_are_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("".join(f'{{"decision_id":"d{n}","token_id":"t1"}}\n' for n in range(5)))
    command = ["explain", "t1", "--audit", str(path)]
    assert main([*command, "--limit", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("decision d") == 3
    assert captured.err == "more lines name it: --limit 30\n"
    assert main([*command, "--limit", "5"]) == 0
    assert capsys.readouterr().err == ""
    for wrong in ("0", "-1", "x", "9" * 5000):
        assert main([*command, "--limit", wrong]) == 2
