"""What the texts say of a start without an entry, or with a wrong one, is what a start does."""

from pathlib import Path
from typing import NamedTuple

import pytest
from hvac.exceptions import InvalidPath

from demo.openbao import OpenBao
from sidecar.doctor.entry_texts.text import EntryText
from sidecar.doctor.needs import needs_of
from sidecar.doctor.policy import policy_hcl, policy_of
from sidecar.doctor.vault_paths import VaultEngine
from tests.doctor.conftest import Make
from tests.doctor.world import CONFIGURATIONS, configuration, running
from tests.support.waiting import until

MOUNT = "secret"
_START_SECONDS = 60.0
_FAILS, _AS_MISSING = "the start fails", "reated as missing"
ODD = {"odd field!": "x", "withdrawn_bundles": "y", "value": 5, "domains": 4, "keys": 3, "kids": 2}
"""What no entry may hold."""


class EntryRow(NamedTuple):
    """One entry of one of the configurations."""

    configuration: str
    path: str
    text: EntryText


def rows() -> list[EntryRow]:
    """Return every entry that is named by its own path; those below a folder have none."""
    nowhere = Path("/nowhere")
    found: dict[str, EntryRow] = {}
    for name in CONFIGURATIONS:
        for need in needs_of(configuration(name, nowhere, "http://127.0.0.1:1", nowhere)):
            path = need.path.removeprefix(f"{MOUNT}/data/")
            if need.engine is VaultEngine.KV and path != need.path and not path.endswith("*"):
                found.setdefault(path, EntryRow(name, path, need.text))
    return list(found.values())


def says_that_the_start_fails(text: EntryText, *, is_missing: bool) -> bool:
    said = text.missing if is_missing else text.malformed
    return _FAILS in said or (_AS_MISSING in said and _FAILS in text.missing)


def test_there_are_entries_of_either_kind() -> None:
    assert len(rows()) > 12
    for is_missing in (True, False):
        assert {says_that_the_start_fails(row.text, is_missing=is_missing) for row in rows()} == {
            True, False,
        }  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize("is_missing", [True, False], ids=["missing", "malformed"])
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.path)
async def test_a_start_does_what_the_text_says(
    row: EntryRow,
    *,
    is_missing: bool,
    make: Make,
    filled: OpenBao,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = make(row.configuration)
    token = filled.token_for(policy_hcl(policy_of(needs_of(config)), None), name="printed")
    Path(getattr(config.vault.auth, "path", "")).write_text(token)
    kv = filled.client.secrets.kv.v2
    try:
        before = kv.read_secret_version(row.path, raise_on_deleted_version=True)["data"]["data"]
    except InvalidPath:
        before = None  # a sidecar makes it
    kv.delete_metadata_and_all_versions(row.path)
    if not is_missing:
        kv.create_or_update_secret(row.path, ODD)
    try:
        async with running(config, caplog, start_seconds=_START_SECONDS) as sidecar:
            fails = says_that_the_start_fails(row.text, is_missing=is_missing)
            assert (row.path in sidecar.fault) if fails else sidecar.fault == ""
            if not fails:
                await until(lambda: sidecar.context.health.ready, 20, explain=lambda: sidecar.said)
    finally:
        kv.delete_metadata_and_all_versions(row.path)
        if before is not None:
            kv.create_or_update_secret(row.path, before)
