"""``sidecar explain``: a decision's line is found in the log and its rotated files."""

import json
from pathlib import Path

import pytest

from sidecar.cli.main import main


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
