"""The issuers of a real PKI mount: while a CA is replaced there are two."""

import pytest
from cryptography import x509

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultNotFound, VaultRejected
from sidecar.vault.trust import read_ca_issuers, read_mount_crls
from tests.support.real import TokenFile
from workload.x509.crls import is_delta, revoked_serials
from workload.x509.reading import load_crl

pytestmark = pytest.mark.real
MOUNT = "trusted"


def client_of(openbao: OpenBao, token_file: TokenFile) -> VaultClient:
    """Return a client that may do nothing: Vault gives issuers and CRLs to anyone."""
    nothing = 'path "secret/none" { capabilities = ["read"] }'
    token_file.write(openbao.token_for(nothing, name="trust"))
    return VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)


def numbers(pems: tuple[str, ...]) -> list[int]:
    return [x509.load_pem_x509_certificate(pem.encode()).serial_number for pem in pems]


async def test_every_issuer_with_its_chain_and_its_crl(
    openbao: OpenBao, token_file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    openbao.client.sys.enable_secrets_engine("pki", path=MOUNT)
    client = client_of(openbao, token_file)
    made = [openbao.make_root(MOUNT)]
    made.append(openbao.make_root(MOUNT, beside=True))
    found = await read_ca_issuers(client, MOUNT, crl=True)
    assert {issuer.chain_pems[0].strip() for issuer in found} == {pem.strip() for pem in made}
    for issuer in found:
        (number,) = numbers(issuer.chain_pems)
        complete, delta = issuer.crl_pems
        assert is_delta(load_crl(delta))
        crl = x509.load_pem_x509_crl(complete.encode())
        ca = x509.load_pem_x509_certificate(issuer.chain_pems[0].encode())
        assert ca.serial_number == number
        assert crl.issuer == ca.subject
    without = await read_ca_issuers(client, MOUNT, crl=False)
    assert [issuer.crl_pems for issuer in without] == [(), ()]
    assert {issuer.chain_pems for issuer in without} == {issuer.chain_pems for issuer in found}
    monkeypatch.setattr("sidecar.vault.trust.MAX_ISSUERS", 1)
    with pytest.raises(VaultRejected, match="2 issuers, more than 1"):
        await read_ca_issuers(client, MOUNT, crl=False)
    await client.close()


async def test_a_mount_without_an_issuer_has_none(openbao: OpenBao, token_file: TokenFile) -> None:
    openbao.client.sys.enable_secrets_engine("pki", path="empty")
    client = client_of(openbao, token_file)
    assert await read_ca_issuers(client, "empty", crl=True) == ()
    await client.close()


def chained(openbao: OpenBao, mount: str) -> None:
    """A mount with an intermediate and, as ``set-signed`` leaves it, its root without a key."""
    write, root = openbao.client.write, f"{mount}-root"
    for each in (root, mount):
        openbao.client.sys.enable_secrets_engine("pki", path=each)
    made = write(f"{root}/root/generate/internal", common_name="root", ttl="100h")["data"]
    csr = write(f"{mount}/intermediate/generate/internal", common_name="lower")["data"]["csr"]
    signed = write(f"{root}/root/sign-intermediate", csr=csr, common_name="lower", ttl="90h")
    chain = f"{signed['data']['certificate']}\n{made['certificate']}"
    write(f"{mount}/intermediate/set-signed", certificate=chain)
    write(f"{mount}/roles/any", allow_any_name=True, key_type="ec", key_bits=256)


async def test_a_root_without_a_key_has_no_crl_and_that_is_said_or_allowed(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    chained(openbao, "keyless")
    client = client_of(openbao, token_file)
    with pytest.raises(VaultNotFound, match="no CRL of this issuer, whose key is not in the mount"):
        await read_ca_issuers(client, "keyless", crl=True)
    found = await read_ca_issuers(client, "keyless", crl="where_there")
    assert sorted(len(issuer.crl_pems) for issuer in found) == [0, 2]
    assert len(await read_mount_crls(client, "keyless")) == 2
    await client.close()


async def test_what_any_issuer_of_a_mount_has_revoked_is_listed_at_once(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    """With ``auto_rebuild``, and by an issuer that is the default no more."""
    mount, write = "moved", openbao.client.write
    chained(openbao, mount)
    write(f"{mount}/config/crl", auto_rebuild=True, enable_delta=True)
    made = write(f"{mount}/issue/any", common_name="a.example", ttl="1h")["data"]
    openbao.make_root(mount, beside=True)
    (newest,) = [
        reference
        for reference, info in openbao.client.list(f"{mount}/issuers")["data"]["key_info"].items()
        if not info["is_default"] and info["key_id"]
    ]
    write(f"{mount}/config/issuers", default=newest)
    write(f"{mount}/revoke", serial_number=made["serial_number"])
    openbao.client.read(f"{mount}/crl/rotate-delta")
    client = client_of(openbao, token_file)
    found = await read_mount_crls(client, mount)
    serial = int(made["serial_number"].replace(":", ""), 16)
    listing = [is_delta(crl) for crl in map(load_crl, found) if serial in revoked_serials(crl)]
    assert listing == [True], "the CRL itself does not list it for hours"
    await client.close()


async def test_where_no_issuer_makes_a_crl_that_is_no_empty_one(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    openbao.client.sys.enable_secrets_engine("pki", path="nobody")
    client = client_of(openbao, token_file)
    with pytest.raises(VaultNotFound, match="no issuer with a key"):
        await read_mount_crls(client, "nobody")
    await client.close()
