"""``sidecar csp check`` at the command line: tables, JSON, exit codes."""

import json
from pathlib import Path

import pytest

from sidecar.cli.main import main

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
CONFIG = """\
vault: {address: "https://vault.internal", auth: {method: token_file, path: /t}}
tokens:
  issuers:
    - {issuer: "https://iam", audiences: [a]}
routes:
  - {name: landing, path: /, auth: none}
"""
SHELL = """\
headers:
  csp:
    shell:
      allow_additions: [script-src]
      enforced:
        - default-src: ["'none'"]
          script-src: ["'self'"]
          base-uri: ["'none'"]
          form-action: ["'self'"]
          frame-ancestors: ["'none'"]
"""
TENANT = """\
tenants:
  - tenant_id: 7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11
    domain: shop.acme.example
    csp: {shell: {script-src: ["'self'", cdnjs.cloudflare.com]}}
"""


@pytest.mark.parametrize("arguments", [[], ["--config", str(EXAMPLE)]], ids=["built in", "example"])
def test_what_ships_is_good(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["csp", "check", *arguments]) == 0
    assert "0 high, 0 medium, 0 low" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("policy", "fail_on", "code"),
    [
        ("script-src 'unsafe-inline'", "high", 1),
        ("default-src 'self'; base-uri 'none'", "medium", 1),
        ("default-src 'self'; base-uri 'none'", "high", 0),
        ("default-src 'none'", "info", 1),
    ],
)
def test_the_exit_code_follows_the_severity(policy: str, fail_on: str, code: int) -> None:
    assert main(["csp", "check", "--policy", policy, "--fail-on", fail_on]) == code


def test_the_table_has_the_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    main(["csp", "check", "--policy", "script-src 'self' https://unpkg.com http://a.example"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["severity", "policy", "directive", "source", "rule", "message"]
    words = [line.split()[0] for line in lines[1:-1]]
    assert words == sorted(words, key=["high", "medium", "low", "info"].index)
    assert lines[-1].split()[1] == "high,"


def check_json(path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    main(["csp", "check", "--config", str(path), "--json"])
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return found


def test_json_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(
        CONFIG + SHELL.replace("[\"'self'\"]\n          base", '["https:"]\n          base')
    )
    (bad,) = [each for each in check_json(path, capsys) if each["severity"] == "high"]
    assert bad == {
        "severity": "high",
        "policy": "headers.csp.shell.enforced[0]",
        "directive": "script-src",
        "source": "https:",
        "rule": "scheme-source",
        "message": "whatever has the scheme https is allowed",
    }


def test_what_a_tenant_adds_is_linted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text(CONFIG + SHELL + TENANT)
    (bad,) = [each for each in check_json(path, capsys) if each["severity"] == "high"]
    assert bad["policy"] == "tenants[0].csp.shell.enforced[0]"
    assert (bad["rule"], bad["source"]) == ("bypass-host", "cdnjs.cloudflare.com")


def test_reporting_that_leads_nowhere_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sidecar.yaml"
    watched = "      report_only:\n        - {img-src: [\"'none'\"]}\n"
    path.write_text(CONFIG + SHELL + watched)
    assert "no-endpoint" in {
        e["rule"] for e in check_json(path, capsys) if e["severity"] == "medium"
    }
    path.write_text(CONFIG + SHELL + watched + "  reports: {}\nlisten: {reports: {}}\n")
    assert {each["severity"] for each in check_json(path, capsys)} <= {"info", "low"}
