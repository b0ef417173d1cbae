"""`sidecar envoy`: findings with their place, from files, standard input and a running Envoy."""

import io
import json
from pathlib import Path

import pytest

from sidecar.cli.main import main
from sidecar.envoy_lint.lint import RULES

ROOT = Path(__file__).parents[2]
EDGE = ROOT / "envoy" / "edge.yaml"
EXAMPLE = ROOT / "config.example.yaml"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    text = EDGE.read_text()
    path = tmp_path / "broken.yaml"
    path.write_text(
        text.replace("failure_mode_allow: false  #", "failure_mode_allow: true  #").replace(
            "stream_idle_timeout: 300s", "stream_idle_timeout: 0s"
        )
    )
    return path


def test_what_is_well_says_by_how_many_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envoy", "lint", str(EDGE), "--config", str(EXAMPLE)]) == 0
    assert capsys.readouterr().out == f"{EDGE}: nothing found by {len(RULES)} rules\n"


def test_a_finding_has_its_line_reason_and_mend(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = next(
        number
        for number, text in enumerate(broken.read_text().splitlines(), 1)
        if "failure_mode_allow: true" in text
    )
    assert main(["envoy", "lint", str(broken)]) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"{broken}:{line}: error fail-open: failure_mode_allow is true\n")
    assert "    why: A sidecar that is down, slow or overloaded lets every request" in said
    assert "    write: failure_mode_allow: false" in said
    assert ": warning slow-clients: edge: stream_idle_timeout is 0s\n" in said
    assert said.endswith("1 error, 1 warning\n")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--ignore", "fail-open"], 0),
        (["--ignore", "fail-open", "--strict"], 1),
        (["--ignore", "fail-open", "--ignore", "slow-clients", "--strict"], 0),
    ],
)
def test_the_exit_code_is_by_severity(broken: Path, options: list[str], code: int) -> None:
    assert main(["envoy", "lint", str(broken), *options]) == code


def test_findings_as_json(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envoy", "lint", "--json", str(broken), str(EDGE)]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["file"], row["rule"], row["severity"]) for row in rows] == [
        (str(broken), "fail-open", "error"),
        (str(broken), "slow-clients", "warning"),
    ]
    assert all(row["line"] and row["path"] and row["reason"] and row["mend"] for row in rows)


def test_a_misspelt_field_is_found_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(EDGE.read_text().replace("status_on_error:", "status_on_eror:"))
    assert main(["envoy", "lint", str(path)]) == 1
    assert "status_on_eror is no field of ExtAuthz; status_on_error is" in capsys.readouterr().out


def test_standard_input_takes_a_dump(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 1}}}
    kind = "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"
    dump = {"configs": [{"@type": kind, "bootstrap": {"admin": admin}}]}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(dump).encode())))
    assert main(["envoy", "lint", "-"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("-: error admin-open: Envoy's admin port listens on 10.0.0.1:1 (configs")


UNREADABLE: list[tuple[str, bytes, int, str]] = [
    ("not YAML", b"a: [", 2, "is not YAML"),
    ("empty", b"", 2, "is empty"),
    ("no text", b"\xff\xfe", 1, "is not UTF-8 text"),
    ("no configuration", b"{}", 1, "there are no listeners"),
    ("a list", b"[1]", 1, "there are no listeners"),
    ("JSON that is none", b"{a: b", 2, "is not YAML"),
]


@pytest.mark.parametrize(
    ("raw", "code", "said"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE]
)
def test_what_is_no_configuration(
    raw: bytes, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "e.yaml"
    path.write_bytes(raw)
    assert main(["envoy", "lint", str(path)]) == code
    assert said in "".join(capsys.readouterr())


def test_a_rule_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envoy", "lint", str(EDGE), "--ignore", "fail_open"]) == 1
    assert "--ignore fail_open: there is no such rule" in capsys.readouterr().err


def test_the_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envoy", "rules"]) == 0
    said = capsys.readouterr().out
    assert all(f"{rule.identifier} ({rule.severity})\n" in said for rule in RULES)
    assert main(["envoy", "rules", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(RULES)
