"""Entries that are not there, or that the sidecar can't use, are named with what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from demo.openbao import OpenBao
from sidecar.doctor.diagnosis import CheckOutcome
from tests.doctor.conftest import Make
from tests.doctor.examined import all_lines, allow, examined, failed

pytestmark = pytest.mark.real
FIRST, SECOND = "all that is polled", "a list of domains"
ROWS: list[tuple[str, str, str, dict[str, Any] | None, str]] = [
    (FIRST, "tokens.issuers[0].keys", "iam/jwt-signing-key", None, "jwt-signing-key"),
    (FIRST, "tokens.issuers[0].keys", "iam/jwt-signing-key", {"value": "no PEM"}, "field 'value'"),
    (FIRST, "tokens.issuers[0].keys", "iam/jwt-signing-key", {"key": "x"}, "no text in its field"),
    (FIRST, "tokens.issuers[1].claims.tenant.tenants_from", "iam/tenants/two", {"a": "b"}, ""),
    (FIRST, "keys.revocations", "iam/revocations", {"kidz": ["a"]}, "kidz"),
    (FIRST, "modules", "modules/publishers", {"acme": "no key"}, "acme"),
    (FIRST, "limits.tenants_from", "limits/tenants", {"acme": "no rate"}, ""),
    (FIRST, "trust_bundles[0].roots", "trust/platform", {"other": "x"}, "'value'"),
    (FIRST, "generic_secrets[0]", "edge/oauth", {"value": ""}, "'value'"),
    (FIRST, "generic_secrets[0]", "edge/oauth", None, "edge/oauth"),
    (FIRST, "certificate kept.example", "septem/tls/kept.example", {"certificate": "x"},
     "'private_key'"),
    (FIRST, "audit.to clickhouse, password", "audit/clickhouse", None, "audit/clickhouse"),
    (SECOND, "audit.spool.key", "crypto/spool", {"value": "c2hvcnQ="}, "32 bytes"),
    (SECOND, "audit.spool.key", "crypto/spool", {"value": "%%%"}, "32 bytes"),
]  # fmt: skip


@contextmanager
def changed(openbao: OpenBao, path: str, data: dict[str, Any] | None) -> Iterator[None]:
    """Have another entry, or none, while the block runs."""
    kv = openbao.client.secrets.kv.v2
    before = kv.read_secret_version(path, raise_on_deleted_version=True)["data"]["data"]
    if data is None:
        kv.delete_latest_version_of_secret(path)
    else:
        kv.create_or_update_secret(path, data)
    try:
        yield
    finally:
        kv.create_or_update_secret(path, before)


@pytest.mark.parametrize(
    ("name", "check", "path", "data", "words"), ROWS, ids=[f"{row[1]}-{row[4]}" for row in ROWS]
)
async def test_an_entry_that_can_not_be_used(
    name: str, check: str, path: str, data: dict[str, Any] | None, words: str,
    *, make: Make, filled: OpenBao,
) -> None:  # fmt: skip
    config = make(name)
    allow(filled, config, all_lines(config))
    with changed(filled, path, data):
        found = await examined(config)
    assert [each for each in failed(found) if not each.endswith(("clickhouse", "otlp"))] == [check]
    assert words in found[check].detail
    assert found[check].next_step


async def test_nothing_revoked_yet_is_no_failure(make: Make, filled: OpenBao) -> None:
    config = make(FIRST)
    allow(filled, config, all_lines(config))
    with changed(filled, "iam/revocations", None):
        found = (await examined(config))["keys.revocations"]
    assert (found.outcome, "nothing is revoked" in found.detail) == (CheckOutcome.OK, True)


async def test_a_transit_key_of_another_type(make: Make, filled: OpenBao) -> None:
    config = make(FIRST)
    lines = all_lines(config)
    allow(filled, config, lines)
    transit = filled.client.secrets.transit
    transit.update_key_configuration("audit", deletion_allowed=True)
    transit.delete_key("audit")
    transit.create_key("audit", key_type="ecdsa-p256")
    found = (await examined(config))["audit.checkpoints"]
    assert (found.outcome, "type=ed25519" in found.detail) == (CheckOutcome.FAILED, True)
    transit.update_key_configuration("audit", deletion_allowed=True)
    transit.delete_key("audit")
    found = (await examined(config))["audit.checkpoints"]
    assert (found.outcome, bool(found.next_step)) == (CheckOutcome.FAILED, True)
    transit.create_key("audit", key_type="ed25519")
