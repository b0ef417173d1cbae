"""What a wheel records of its build, and what is said without a record."""

from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

from sidecar.common.build import RECORD, Build, installed_build, running_build

COMMIT = "1a2b3c4d5e6f" * 3 + "1a2b"
SAID = {
    "a release": (Build("0.1.0", COMMIT, modified=False), f"0.1.0 (commit {COMMIT})"),
    "with changes": (Build("0.1.0", COMMIT, modified=True), f"0.1.0 (commit {COMMIT}, modified)"),
    "unknown": (Build("0.1.0.dev0", "", modified=False), "0.1.0.dev0 (commit unknown)"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_of_a_build(case: str) -> None:
    build, said = SAID[case]
    assert str(build) == said


def test_a_record_is_read_and_none_is_no_failure(tmp_path: Path) -> None:
    record = tmp_path / "build.json"
    assert installed_build(record) is None
    record.write_text(f'{{"version": "0.1.0", "commit": "{COMMIT}", "modified": false}}\n')
    assert installed_build(record) == Build("0.1.0", COMMIT, modified=False)
    record.write_text('{"version": "0.1.0", "modified": false}')
    with pytest.raises(msgspec.ValidationError):
        installed_build(record)


@pytest.mark.skipif(RECORD.exists(), reason="this is an sdist, and has a record")
def test_metrics_have_the_installations_version_where_there_is_no_record() -> None:
    assert running_build() == Build(version("septem-sidecar"), "", modified=False)
