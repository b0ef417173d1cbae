"""``septem secrets scan``."""

import json
import sys
from pathlib import Path

import pytest

from tests.workload.secrets.scan import samples
from workload.cli import main
from workload.secrets import command


@pytest.fixture
def leak(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(f'key = "{samples.AWS}"\n')
    return tmp_path


def test_a_finding_is_shown_and_the_status_is_1(
    leak: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["secrets", "scan", str(leak)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("aws-access-key  app.py:1\n")
    assert samples.AWS not in out


def test_as_json(leak: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["secrets", "scan", "--json", str(leak)]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["path"] == "app.py"


def test_what_is_allowed_ends_with_0(
    leak: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text("app.py aws-access-key made for a test\n")
    assert main(["secrets", "scan", "--allow", str(allowed), str(leak)]) == 0
    assert "0 findings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere is not there"),
        (["--allow", "nowhere", "."], "nowhere can't be read"),
    ],
)
def test_what_can_t_be_scanned_ends_with_2(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["secrets", "scan", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_without_its_package_it_says_what_to_install(
    leak: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "detect_secrets", None)
    assert main(["secrets", "scan", str(leak)]) == 2
    assert "septem-workload[scan]" in capsys.readouterr().err


def test_a_long_scan_shows_that_it_goes_on(
    leak: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_FIRST_PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    main(["secrets", "scan", str(leak)])
    assert "1 files looked at" in capsys.readouterr().err
