"""What a header says, to people and to programs."""

import io
import json

import pytest

from tests.workload.backups.archives_in_hand import content_of, seal
from workload.backups.archive import read_archive_header
from workload.backups.errors import ArchiveAltered
from workload.backups.inspection import inspect_as_json, inspect_as_text

ARCHIVE = seal(content_of(2500))
HEADER = read_archive_header(io.BytesIO(ARCHIVE))


def test_people_are_told_that_nothing_was_verified() -> None:
    lines = inspect_as_text(HEADER, len(ARCHIVE)).splitlines()
    assert "name     orders" in lines
    assert "tenant   (all)" in lines
    assert "key      transit/backups, version 3" in lines
    assert "content  2500 bytes in 3 chunks" in lines
    assert "not verified" in lines[-1]


def test_programs_get_the_same() -> None:
    found = json.loads(inspect_as_json(HEADER, len(ARCHIVE)))
    assert (found["content_bytes"], found["chunks"], found["verified"]) == (2500, 3, False)
    assert found["id"] == "01" * 16


def test_of_a_pipe_the_size_is_not_known() -> None:
    assert "content" not in inspect_as_text(HEADER, None)
    assert json.loads(inspect_as_json(HEADER, None))["chunks"] is None


def test_a_size_that_no_archive_has_is_said_at_once() -> None:
    with pytest.raises(ArchiveAltered):
        inspect_as_text(HEADER, 1024 + 1040 + 10)
