"""Of what is written to Vault no older version can be read: with a real OpenBao, as its root."""

import asyncio
import random
from typing import Any

import pytest
from hvac.exceptions import InvalidPath

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.challenges.challenge_list import Challenge
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.acme.account import load_account
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.lease import FleetFault, Leases
from sidecar.certificates.issuers.shared import SharedIssuer
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.vault import VaultEntry
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from sidecar.vault.versions import CappedEntries
from tests.support.fleet_kv import take_lease
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
POLICY_BEFORE = """
path "secret/data/septem/certificates/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/certificates/*" { capabilities = ["read"] }
"""
ROOT = "septem/certificates"


def readable(openbao: OpenBao, path: str) -> dict[int, Any]:
    """Every version that root can read, deleted ones brought back first."""
    kv = openbao.client.secrets.kv.v2
    known = kv.read_secret_metadata(path)["data"]["versions"]
    versions = range(1, max(map(int, known), default=0) + 1)
    kv.undelete_secret_versions(path, list(versions))
    found: dict[int, Any] = {}
    for version in versions:
        try:
            entry = kv.read_secret_version(path, version=version, raise_on_deleted_version=True)
            found[version] = entry["data"]["data"]
        except InvalidPath:
            continue
    return found


def entries(openbao: OpenBao, path: str) -> list[str]:
    """Every entry at or below a path."""
    try:
        names = openbao.client.secrets.kv.v2.list_secrets(path)["data"]["keys"]
    except InvalidPath:
        return []
    found: list[str] = []
    for name in names:
        below = f"{path}/{name}"
        found += entries(openbao, below.rstrip("/")) if name.endswith("/") else [below]
    return found


@pytest.fixture
def vault(openbao: OpenBao, token_file: TokenFile) -> VaultClient:
    token_file.write(openbao.token_for(SIDECAR_POLICY + FLEET_POLICY))
    return VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)


def shared_issuer(vault: VaultClient, prefix: str) -> SharedIssuer:
    pki = model.VaultPkiIssuer(name="internal", role="edge", share=True, ttl_seconds=3600)
    return SharedIssuer(
        PkiIssuer(pki, vault, wall_seconds), model.CertificateStoreSettings(prefix=prefix), vault,
        holder="one", now=wall_seconds, clock=monotonic_seconds,
        sleep=asyncio.sleep, jitter=random.random,
    )  # fmt: skip


async def test_no_private_key_that_was_replaced_can_be_read(
    openbao: OpenBao, vault: VaultClient
) -> None:
    """Two renewals; before them, five keys that a former release left under the same path."""
    prefix = f"{ROOT}/renewed"
    order = Order("edge", ("renewed.septemcore.com",))
    path = f"{prefix}/certificates/internal/renewed.septemcore.com"
    for number in range(5):
        openbao.client.secrets.kv.v2.create_or_update_secret(path, {"private_key": f"old {number}"})
    issuer = shared_issuer(vault, prefix)
    held = await issuer.issue(order)
    for _ in range(2):
        held = await issuer.issue(order._replace(replaces=held))
    written = entries(openbao, prefix)
    assert len(written) == 2, "the certificate and its lease"
    for each in written:
        assert len(readable(openbao, each)) == 1, each
    (latest,) = readable(openbao, path).values()
    assert latest["private_key"].encode() == held.key_pem
    await vault.close()


async def test_neither_leases_nor_challenges_nor_an_accounts_key_pile_up(
    openbao: OpenBao, vault: VaultClient
) -> None:
    prefix = f"{ROOT}/others"
    leases = Leases(vault, "secret", holder="one", seconds=20)
    for _ in range(3):
        lease = await take_lease(leases, f"{prefix}/leases/a")
        assert lease is not None
        await leases.give_back(lease, None, 0.0)
    solver = DistributedSolver(
        vault, "secret", f"{prefix}/challenges",
        now=wall_seconds, sleep=asyncio.sleep, jitter=random.random,
    )  # fmt: skip
    for number in range(3):
        until = wall_seconds() + 60
        await solver.publish([Challenge(f"token-{number}" * 4, "a.example", "x", until)])
    account = VaultEntry(path="septem/acme/versions")
    settings = model.AcmeIssuerSettings(
        name="acme", directory="https://ca.example", account=account, agree_to_terms=True
    )
    kv = openbao.client.secrets.kv.v2
    kv.create_or_update_secret(account.path, {"private_key": "one before"})
    kv.delete_latest_version_of_secret(account.path)
    await load_account(settings, vault)
    for path in (*entries(openbao, prefix), account.path):
        assert len(readable(openbao, path)) == 1, path
    await vault.close()


async def test_what_a_ca_said_of_days_is_kept_for_days(vault: VaultClient) -> None:
    leases = Leases(vault, "secret", holder="one", seconds=20)
    lease = await take_lease(leases, f"{ROOT}/days")
    assert lease is not None
    fault = FleetFault("rateLimited", 3 * 86_400.0)
    await leases.give_back(lease, fault, 0.0)
    with pytest.raises(FleetFault) as told:
        await take_lease(leases, f"{ROOT}/days")
    assert told.value.retry_after_seconds is not None
    assert 2.9 * 86_400 < told.value.retry_after_seconds < 3.1 * 86_400
    await vault.close()


async def test_where_older_versions_would_stay_nothing_is_written(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    token_file.write(openbao.token_for(POLICY_BEFORE))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    with pytest.raises(VaultForbidden, match="metadata/septem/certificates/x: permission denied"):
        await vault.write_kv("secret", f"{ROOT}/x", {"private_key": "x"}, 0)
    with pytest.raises(InvalidPath):
        openbao.client.secrets.kv.v2.read_secret_version(f"{ROOT}/x", raise_on_deleted_version=True)
    await vault.close()


async def test_what_else_an_operator_set_stays(openbao: OpenBao, vault: VaultClient) -> None:
    kv = openbao.client.secrets.kv.v2
    path = f"{ROOT}/set"
    kv.update_metadata(path, delete_version_after="3h", custom_metadata={"owner": "edge"})
    await vault.write_kv("secret", path, {"a": 1}, 0)
    data = kv.read_secret_metadata(path)["data"]
    assert data["max_versions"] == 1
    assert data["delete_version_after"] == "3h0m0s"
    assert data["custom_metadata"] == {"owner": "edge"}
    await vault.close()


def test_each_is_seen_to_once_and_the_table_is_bounded() -> None:
    capped = CappedEntries()
    assert capped.lacks("secret", "a", 3)
    capped.add("secret", "a")
    assert not capped.lacks("secret", "a", 3)
    assert capped.lacks("secret", "a", 0), "made anew, it knows nothing of it"
    assert capped.lacks("other", "a", 3)
    for number in range(5000):
        capped.add("secret", f"b{number}")
    assert len(capped._known) == 4096
    assert capped.lacks("secret", "a", 3)
