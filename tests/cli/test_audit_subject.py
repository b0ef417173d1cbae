"""``sidecar audit subject`` and ``forget``: what they ask first. The rest: tests/audit_trail."""

import io
import json
from pathlib import Path

import pytest

from sidecar.cli.main import main
from tests.config.documents import MINIMAL

ARGUMENTS = ["7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11", "user\x1b[0m"]


class Terminal(io.StringIO):
    """Somebody who types one line."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    config, token = tmp_path / "sidecar.yaml", tmp_path / "token"
    nowhere = MINIMAL.replace("https://vault.internal:8200", "http://127.0.0.1:1")
    config.write_text(f"{nowhere}audit: {{pseudonyms: {{path: audit/pseudonyms}}}}\n")
    token.write_text("t")
    token.chmod(0o600)
    return ["--config", str(config), "--token-file", str(token)]


@pytest.mark.parametrize("answer", ["", "no\n", "y\n", "YES\n"])
def test_nothing_is_deleted_unless_somebody_says_yes(
    answer: str,
    given: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(["audit", "forget", *ARGUMENTS, *given]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "will be anonymous for good" in said.err
    assert "\x1b" not in said.err
    assert "nothing was deleted" in said.err


def test_a_program_is_told_that_nothing_was_deleted(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    assert main(["audit", "forget", *ARGUMENTS, *given, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found == {"entry": "secret/audit/pseudonyms", "deleted": False, "read": {}}


def test_with_a_yes_vault_is_asked(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert main(["audit", "forget", *ARGUMENTS, *given]) == 1
    assert "Vault at http://127.0.0.1:1" in capsys.readouterr().err


def test_without_a_token_of_the_operator_nothing_is_asked(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "subject", *ARGUMENTS, *given[:3], str(tmp_path / "absent")]) == 1
    assert "does not exist: log in with `vault login`" in capsys.readouterr().err
