"""``sidecar --version`` says the version and the commit, in a checkout and in a wheel."""

import os
from pathlib import Path

import msgspec
import pytest

from sidecar.cli import show_version
from sidecar.cli.main import main
from sidecar.common.build import RECORD, Build, running_build
from workload.source_version import source_of

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(RECORD.exists(), reason="this is an sdist, and has a record")
def test_in_a_checkout_git_is_asked_now(capsys: pytest.CaptureFixture[str]) -> None:
    expected = Build(*source_of(ROOT, os.environ))
    assert main(["--version"]) == 0
    # Another test's file may come into the tree at any moment.
    said = capsys.readouterr().out.replace(".dirty", "").replace(", modified", "")
    assert said == f"sidecar {msgspec.structs.replace(expected, modified=False)}\n".replace(
        ".dirty", ""
    )


def test_what_the_wheel_records_goes_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build = Build("0.1.0", "ab" * 20, modified=False)
    monkeypatch.setattr(show_version, "installed_build", lambda: build)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sidecar 0.1.0 (commit {'ab' * 20})\n"


@pytest.mark.parametrize("error", [ImportError("no such module"), ValueError("v9 is released")])
def test_without_an_answer_the_installations_version_is_said(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_name: str) -> None:
        raise error

    monkeypatch.setattr(show_version, "import_module", fail)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sidecar {running_build()}\n"
