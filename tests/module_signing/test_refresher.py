"""Publishers are kept fresh from a real OpenBao, and survive its absence."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import Publishers
from sidecar.module_signing.refresher import PublisherRefresher
from sidecar.vault.client import VaultClient
from tests.module_signing.stored_entry import make_refresher
from tests.module_signing.test_publisher_entry import kid, pem
from tests.support.real import LaggingVault, TokenFile

pytestmark = pytest.mark.real
KEY = ec.generate_private_key(ec.SECP256R1())
POLICY = 'path "secret/data/modules/publishers" { capabilities = ["read"] }'


def state_of(refresher: PublisherRefresher) -> KeyState:
    """The state now: a type checker would remember the one before the refresh."""
    return refresher.lifecycle.state


async def test_registered_withdrawn_and_kept_while_vault_is_away(
    own_openbao: OpenBao, token_file: TokenFile
) -> None:
    token_file.write(own_openbao.token_for(POLICY))
    vault = VaultClient(
        token_file.settings(own_openbao.address, timeout_seconds=1), clock=monotonic_seconds
    )
    seen: list[Publishers] = []
    refresher = make_refresher(vault, seen.append)
    await refresher.load()
    assert seen == [], "no entry: nobody has registered, as before"

    own_openbao.put_publishers({"acme": pem(KEY)})
    await refresher.refresh()
    await refresher.refresh()
    assert len(seen) == 1, "nothing new, nothing published"
    assert seen[-1].find(kid(KEY)) is not None

    digest = hashlib.sha256(b"x").hexdigest()
    own_openbao.put_publishers({"acme": pem(KEY), "withdrawn_bundles": [digest]})
    await refresher.refresh()
    assert digest in seen[-1].withdrawn

    own_openbao.put_publishers({"withdrawn_bundles": ["rubbish"]})
    await refresher.refresh()
    assert seen[-1].find(kid(KEY)) is not None, "an entry that can't be read changes nothing"
    assert state_of(refresher) is KeyState.OUTAGE

    own_openbao.put_publishers({"globex": pem(KEY)})
    await refresher.refresh()
    found = seen[-1].find(kid(KEY))
    assert found is not None
    assert found.publisher == "globex"
    assert state_of(refresher) is KeyState.ACTIVE

    own_openbao.stop()
    before = len(seen)
    await refresher.refresh()
    assert len(seen) == before
    assert refresher.outcomes == {"ok": 5, "PublisherFault": 1, "VaultUnreachable": 1}
    await vault.close()


async def test_a_start_without_the_right_to_read_fails(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    token_file.write(openbao.token_for('path "x" { capabilities = ["read"] }', name="none"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    refresher = make_refresher(vault)
    with pytest.raises(Fault, match="modules/publishers"):
        await refresher.load()
    await vault.close()


async def test_a_standby_that_lags_brings_no_withdrawn_bundle_back(
    own_openbao: OpenBao, token_file: TokenFile
) -> None:
    token_file.write(own_openbao.token_for(POLICY))
    vault = VaultClient(token_file.settings(own_openbao.address), clock=monotonic_seconds)
    standby, fails = LaggingVault(vault), [ValueError("a defect")]
    seen: list[Publishers] = []

    def publish(publishers: Publishers) -> None:
        if publishers.withdrawn and fails:
            raise fails.pop()
        seen.append(publishers)

    refresher = make_refresher(standby, publish)
    own_openbao.put_publishers({"acme": pem(KEY)})
    await refresher.load()
    standby.remember()
    digest = hashlib.sha256(b"x").hexdigest()
    own_openbao.put_publishers({"acme": pem(KEY), "withdrawn_bundles": [digest]})
    await refresher.refresh()
    assert str(refresher.lifecycle.state) == "outage", "it could not be published"
    await refresher.refresh()
    assert str(refresher.lifecycle.state) == "active"
    assert digest in seen[-1].withdrawn
    standby.lags = True
    await refresher.refresh()
    assert str(refresher.lifecycle.state) == "outage"
    assert digest in seen[-1].withdrawn
    assert digest in refresher.publishers.withdrawn
