"""The issuers of a real PKI mount: while a CA is replaced there are two."""

import pytest
from cryptography import x509

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultRejected
from sidecar.vault.trust import read_ca_issuers
from tests.support.real import TokenFile

pytestmark = pytest.mark.real
MOUNT = "trusted"


def client_of(openbao: OpenBao, token_file: TokenFile, rights: str) -> VaultClient:
    token_file.write(openbao.token_for(rights, name="trust"))
    return VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)


def numbers(pems: tuple[str, ...]) -> list[int]:
    return [x509.load_pem_x509_certificate(pem.encode()).serial_number for pem in pems]


async def test_every_issuer_with_its_chain_and_its_crl(
    openbao: OpenBao, token_file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    openbao.client.sys.enable_secrets_engine("pki", path=MOUNT)
    listing = f'path "{MOUNT}/issuers" {{ capabilities = ["list"] }}'
    client = client_of(openbao, token_file, listing)
    made = [openbao.make_root(MOUNT)]
    made.append(openbao.make_root(MOUNT, beside=True))
    found = await read_ca_issuers(client, MOUNT, crl=True)
    assert {issuer.chain_pems[0].strip() for issuer in found} == {pem.strip() for pem in made}
    for issuer in found:
        (number,) = numbers(issuer.chain_pems)
        assert issuer.crl_pem is not None
        crl = x509.load_pem_x509_crl(issuer.crl_pem.encode())
        ca = x509.load_pem_x509_certificate(issuer.chain_pems[0].encode())
        assert ca.serial_number == number
        assert crl.issuer == ca.subject
    without = await read_ca_issuers(client, MOUNT, crl=False)
    assert [issuer.crl_pem for issuer in without] == [None, None]
    assert {issuer.chain_pems for issuer in without} == {issuer.chain_pems for issuer in found}
    monkeypatch.setattr("sidecar.vault.trust.MAX_ISSUERS", 1)
    with pytest.raises(VaultRejected, match="2 issuers, more than 1"):
        await read_ca_issuers(client, MOUNT, crl=False)
    await client.close()


async def test_a_mount_without_an_issuer_has_none(openbao: OpenBao, token_file: TokenFile) -> None:
    openbao.client.sys.enable_secrets_engine("pki", path="empty")
    listing = 'path "empty/issuers" { capabilities = ["list"] }'
    client = client_of(openbao, token_file, listing)
    assert await read_ca_issuers(client, "empty", crl=True) == ()
    await client.close()
