"""Several paths at once, and this repository itself."""

from pathlib import Path

import pytest

from tests.workload.secrets.scan import samples
from workload.secrets.scan.run import scan
from workload.secrets.scan.texts import MAX_FILE_BYTES
from workload.settings import SettingsFault

ROOT = Path(__file__).parents[4]


def test_files_are_counted_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f'k = "{samples.AWS}"')
    (tmp_path / "b.jks").write_bytes(b"\0")
    told: list[int] = []
    both = [tmp_path, tmp_path / "a.py"]
    result = scan(both, history=False, entropy=False, progress=told.append)
    assert told == [1, 2, 3]
    assert result.files == 3
    kinds = [each.kind for each in result.findings]
    assert kinds == ["aws-access-key", "key-store", "aws-access-key"]


def test_a_large_file_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (unread,) = scan([tmp_path / "large"], history=False, entropy=False).unread
    assert "more than 1048576 bytes" in unread.why


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsFault, match="nothing is not there"):
        scan([tmp_path / "nothing"], history=False, entropy=False)


@pytest.mark.parametrize("folder", ["deploy", "envoy", "demo", "docs"])
def test_this_repository_holds_none(folder: str) -> None:
    assert scan([ROOT / folder], history=False, entropy=False).findings == ()
