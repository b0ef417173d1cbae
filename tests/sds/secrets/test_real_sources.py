"""Trust, ticket keys and generic secrets out of a real OpenBao."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography import x509

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.config.secrets import (
    GenericSecret,
    KvTrust,
    PkiTrust,
    SessionTicketKeys,
    TrustBundle,
)
from sidecar.sds.secrets.generic import GenericSource
from sidecar.sds.secrets.session_ticket_source import TicketSource
from sidecar.sds.secrets.source import SecretFault
from sidecar.sds.secrets.trust_bundle_source import BundleSource, VaultAnchors
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from tests.support.authorities import Ca, pem
from tests.support.real import TokenFile
from workload.x509.anchors import BundleFault

pytestmark = pytest.mark.real
POLICY = """\
path "trust/issuers"               { capabilities = ["list"] }
path "secret/data/trust/roots"     { capabilities = ["read"] }
path "secret/data/tls/tickets"     { capabilities = ["create", "update", "read"] }
path "secret/metadata/tls/tickets" { capabilities = ["create", "update"] }
path "secret/data/edge/oauth"      { capabilities = ["read"] }
"""


@pytest.fixture
async def vault(own_openbao: OpenBao, token_file: TokenFile) -> AsyncIterator[VaultClient]:
    token_file.write(own_openbao.token_for(POLICY))
    client = VaultClient(token_file.settings(own_openbao.address), clock=monotonic_seconds)
    yield client
    await client.close()


def root(openbao: OpenBao, way: str = "generate") -> str:
    """Make a root in the mount ``trust``, beside those that are there."""
    answer = openbao.client.write(
        f"trust/root/{way}/internal", common_name="a root", ttl="1000h", key_type="ec", key_bits=256
    )
    return str(answer["data"]["certificate"]).strip()


def roots_of(text: bytes) -> set[str]:
    return {pem(each).strip() for each in x509.load_pem_x509_certificates(text)}


async def test_a_mount_s_roots_old_and_new_with_their_crls(
    own_openbao: OpenBao, vault: VaultClient
) -> None:
    own_openbao.client.sys.enable_secrets_engine("pki", path="trust")
    own_openbao.client.sys.tune_mount_configuration("trust", max_lease_ttl="1000h")
    old = root(own_openbao)
    settings = TrustBundle(name="a", roots=PkiTrust(mounts=("trust",), crl=True))
    source = BundleSource(settings, VaultAnchors(vault), wall_seconds)
    first = await source.fetch()
    assert roots_of(first.value.roots_pem) == {old}
    assert (await source.fetch()).version == first.version, "nothing changed"
    new = root(own_openbao, "rotate")
    second = await source.fetch()
    assert roots_of(second.value.roots_pem) == {old, new}
    assert second.version != first.version
    crls = second.value.crl_pem
    assert crls is not None
    assert crls.count(b"BEGIN X509 CRL") == 2
    assert not second.value.only_leaf_crl
    assert second.ends_at is not None
    assert 60 < second.ends_at - wall_seconds() < 100 * 3600
    (going,) = [
        reference
        for reference, info in own_openbao.client.list("trust/issuers")["data"]["key_info"].items()
        if info["is_default"]
    ]
    own_openbao.client.write("trust/config/issuers", default="next")
    own_openbao.client.delete(f"trust/issuer/{going}")
    assert roots_of((await source.fetch()).value.roots_pem) == {new}


async def test_a_revocation_changes_the_crl_and_so_the_version(
    own_openbao: OpenBao, vault: VaultClient
) -> None:
    own_openbao.client.sys.enable_secrets_engine("pki", path="trust")
    root(own_openbao)
    own_openbao.client.write("trust/roles/any", allow_any_name=True, key_type="ec", key_bits=256)
    issued = own_openbao.client.write("trust/issue/any", common_name="a.example", ttl="1h")
    settings = TrustBundle(name="a", roots=PkiTrust(mounts=("trust",), crl=True))
    source = BundleSource(settings, VaultAnchors(vault), wall_seconds)
    before = await source.fetch()
    own_openbao.client.write("trust/revoke", serial_number=issued["data"]["serial_number"])
    after = await source.fetch()
    assert after.version != before.version
    assert after.value.crl_pem is not None
    crl = x509.load_pem_x509_crl(after.value.crl_pem)
    assert len(list(crl)) == 1


async def test_roots_out_of_kv(own_openbao: OpenBao, vault: VaultClient) -> None:
    one, two = Ca("one"), Ca("two")
    kv = own_openbao.client.secrets.kv.v2
    settings = TrustBundle(name="a", roots=KvTrust(path="trust/roots", crl_field="crl"))
    source = BundleSource(settings, VaultAnchors(vault), wall_seconds)
    kv.create_or_update_secret(
        "trust/roots",
        {"value": pem(one.certificate, two.certificate), "crl": pem(one.crl(), two.crl())},
    )
    fetched = await source.fetch()
    assert fetched.value.roots_pem.count(b"BEGIN CERT") == 2
    assert not fetched.value.only_leaf_crl
    kv.create_or_update_secret("trust/roots", {"value": pem(one.certificate)})
    with pytest.raises(BundleFault, match="has no text 'crl'"):
        await source.fetch()
    kv.create_or_update_secret("trust/roots", {"value": "hello", "crl": ""})
    with pytest.raises(BundleFault, match="'a': it does not hold PEM"):
        await source.fetch()


async def test_a_mount_we_may_not_list(vault: VaultClient) -> None:
    settings = TrustBundle(name="a", roots=PkiTrust(mounts=("pki",)))
    with pytest.raises(VaultForbidden, match="pki/issuers"):
        await BundleSource(settings, VaultAnchors(vault), wall_seconds).fetch()


def tickets(vault: VaultClient, now: Any = wall_seconds) -> TicketSource:
    settings = SessionTicketKeys(
        name="t", path="tls/tickets", rotate_seconds=1000, poll_seconds=100
    )
    return TicketSource(settings, vault, now)


async def test_ten_sidecars_at_once_make_one_key(
    own_openbao: OpenBao, token_file: TokenFile
) -> None:
    token_file.write(own_openbao.token_for(POLICY))
    settings = token_file.settings(own_openbao.address)
    fleet = [VaultClient(settings, clock=monotonic_seconds) for _ in range(10)]
    try:
        got = await asyncio.gather(*(tickets(vault).fetch() for vault in fleet))
        assert len({each.value for each in got}) == 1
        assert len({each.version for each in got}) == 1
        assert len(got[0].value[0]) == 80
        later = time.time() + 800
        got = await asyncio.gather(*(tickets(vault, lambda: later).fetch() for vault in fleet))
        assert len({each.value for each in got}) == 1
        assert {each.version[:4] for each in got} == {"2.1."}, "the next is there and waits"
        assert len(got[0].value) == 2
        assert got[0].again_seconds <= 100
        much_later = time.time() + 1050
        then = await tickets(fleet[0], lambda: much_later).fetch()
        assert then.value == got[0].value[::-1]
    finally:
        for vault in fleet:
            await vault.close()
    kv = own_openbao.client.secrets.kv.v2
    assert list(kv.read_secret_metadata("tls/tickets")["data"]["versions"]) == ["2"], (
        "a key that was rotated away is not in an older version either"
    )


async def test_an_entry_that_is_something_else_is_not_overwritten(
    own_openbao: OpenBao, vault: VaultClient
) -> None:
    kv = own_openbao.client.secrets.kv.v2
    kv.create_or_update_secret("tls/tickets", {"password": "hunter2"})
    with pytest.raises(SecretFault) as fault:
        await tickets(vault).fetch()
    assert "hunter2" not in str(fault.value)
    assert kv.read_secret_version("tls/tickets", raise_on_deleted_version=True)["data"]["data"] == {
        "password": "hunter2"
    }


async def test_a_generic_secret(own_openbao: OpenBao, vault: VaultClient) -> None:
    kv = own_openbao.client.secrets.kv.v2
    kv.create_or_update_secret("edge/oauth", {"value": "s3cret", "number": 7})
    source = GenericSource(GenericSecret(name="g", path="edge/oauth"), vault)
    fetched = await source.fetch()
    assert (fetched.value, fetched.version) == (b"s3cret", "1")
    assert "s3cret" not in repr(fetched)
    for bad in ({"value": 7}, {}, {"value": ""}, {"value": "x" * 70_000}):
        kv.create_or_update_secret("edge/oauth", bad)
        with pytest.raises(SecretFault, match="secret/edge/oauth, field 'value'") as fault:
            await source.fetch()
        assert "xxx" not in str(fault.value)


async def test_vault_away_is_a_fault(own_openbao: OpenBao, vault: VaultClient) -> None:
    own_openbao.stop()
    source = GenericSource(GenericSecret(name="g", path="edge/oauth"), vault)
    with pytest.raises(Fault):
        await source.fetch()
