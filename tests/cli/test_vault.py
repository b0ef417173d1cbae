"""``sidecar vault policy``: what is printed, for people and for programs."""

import json
from pathlib import Path

import pytest

from sidecar.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
KEY = "secret/data/iam/jwt-signing-key"


def test_the_policy_names_each_path_and_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vault", "policy", "--config", str(EXAMPLE)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("# ")
    first = next(line for line in lines if KEY in line)
    assert first.endswith('{ capabilities = ["read"] }  # tokens.issuers[0].keys')
    assert all("  # " in line for line in lines)
    assert not any("revoke" in line or "capabilities-self" in line for line in lines)


def test_an_operators_commands_are_added_once(capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--with", "certs-revoke", "--with", "doctor", "--with", "doctor"]
    assert main(["vault", "policy", "--config", str(EXAMPLE), *more]) == 0
    text = capsys.readouterr().out
    assert text.count('path "pki/revoke"') == text.count('"sys/capabilities-self"') == 1


def test_programs_get_what_vault_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vault", "policy", "--config", str(EXAMPLE), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["policy"]["path"][KEY] == {"capabilities": ["read"]}
    assert {each["path"] for each in document["lines"]} == set(document["policy"]["path"])
    assert document["namespace"] is None


def test_two_commands_have_policies_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for whom in ("backup", "restore"):
        assert main(["vault", "policy", "--config", str(EXAMPLE), "--for", whom]) == 0
        said[whom] = capsys.readouterr().out
    assert f'path "{KEY}"' in said["backup"]
    assert "pki/sign" not in said["backup"] + said["restore"]
    assert '"create"' not in said["backup"]
    assert '"create", "read", "update"' in said["restore"]


def test_a_configuration_with_a_fault_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("vault: 1\n")
    assert main(["vault", "policy", "--config", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
