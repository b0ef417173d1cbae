"""What Vault's metadata says of an entry's versions."""

from typing import Any

import pytest

from sidecar.vault.history import (
    NO_HISTORY,
    KvHistory,
    KvVersion,
    moment,
    read_histories,
    read_history,
)


def test_moments_are_read_to_the_microsecond() -> None:
    assert moment("1970-01-01T00:00:01.5Z") == 1.5
    assert moment("2026-11-25T10:00:00.123456789Z") == pytest.approx(1795600800.123456, abs=1e-6)
    assert moment("2026-11-25T12:00:00+02:00") == moment("2026-11-25T10:00:00Z")


def metadata(**more: Any) -> dict[str, Any]:
    return {
        "created_time": "1970-01-01T00:00:10Z", "deletion_time": "", "destroyed": False, **more
    }  # fmt: skip


def test_versions_are_in_the_order_of_their_numbers() -> None:
    """Vault's JSON has them by the text of the number: 10 before 9."""
    versions = {
        "10": metadata(destroyed=True), "9": metadata(deletion_time="1970-01-01T00:00:20Z")
    }  # fmt: skip
    history = read_history({"current_version": 10, "versions": versions})
    assert history == KvHistory(10, (KvVersion(9, 10.0, 20.0), KvVersion(10, 10.0, None, True)))
    assert history.latest == history.find(10)
    assert history.find(8) is None


@pytest.mark.parametrize("versions", [None, {}])
def test_an_entry_of_which_nothing_is_left(versions: object) -> None:
    history = read_history({"current_version": 0, "versions": versions})
    assert history == NO_HISTORY
    assert history.latest is None


GONE = [
    ("neither deleted nor destroyed", KvVersion(1, 0.0), False),
    ("deleted", KvVersion(1, 0.0, 99.9), True),
    ("deleted at this moment", KvVersion(1, 0.0, 100.0), True),
    ("to be deleted", KvVersion(1, 0.0, 100.1), False),
    ("destroyed", KvVersion(1, 0.0, None, is_destroyed=True), True),
    ("destroyed before its deletion is due", KvVersion(1, 0.0, 200.0, is_destroyed=True), True),
]


@pytest.mark.parametrize(("version", "gone"), [g[1:] for g in GONE], ids=[g[0] for g in GONE])
def test_what_must_not_be_used_any_more(version: KvVersion, gone: bool) -> None:
    assert version.is_gone(100.0) is gone


def test_a_list_of_histories_says_nothing_of_folders_nor_of_what_vault_leaves_out() -> None:
    details = {"a": {"current_version": 1, "versions": {"1": metadata()}}, "b": None}
    listed = read_histories({"keys": ["a", "b", "c", "f/"], "key_info": details})
    assert listed == {
        "a": KvHistory(1, (KvVersion(1, 10.0),)), "b": None, "c": None, "f/": None
    }  # fmt: skip
