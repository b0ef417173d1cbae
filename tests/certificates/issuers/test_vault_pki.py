"""What is asked of the CA, and a real OpenBao's answer to it."""

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultFault
from tests.support.real import TokenFile
from workload.x509.material import MaterialFault

PKI = model.VaultPkiIssuer(name="internal", role="edge", ttl_seconds=3600)
LONG = "a" * 60 + ".septemcore.com"


class Signer:
    """A CA that answers what it is told to."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    async def sign_csr(
        self, _mount: str, _role: str, csr_pem: str, *,
        common_name: str, alt_names: Sequence[str], uri_sans: Sequence[str], ttl_seconds: int,
    ) -> str:  # fmt: skip
        assert "PRIVATE" not in csr_pem, f"{common_name} {alt_names} {uri_sans} {ttl_seconds}"
        return self.answer


async def test_an_answer_is_checked_before_use() -> None:
    with pytest.raises(MaterialFault):
        await PkiIssuer(PKI, Signer("nonsense"), wall_seconds).issue(Order("edge", ("a.example",)))


@pytest.fixture
def vault(openbao: OpenBao, token_file: TokenFile) -> VaultClient:
    token_file.write(openbao.token_for(SIDECAR_POLICY))
    return VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)


@pytest.fixture
def issuer(vault: VaultClient) -> PkiIssuer:
    return PkiIssuer(PKI, vault, wall_seconds)


@pytest.mark.real
async def test_a_real_ca_signs(issuer: PkiIssuer) -> None:
    wanted = Order("edge", ("app.septemcore.com", "api.septemcore.com"))
    material = await issuer.issue(wanted)
    assert set(material.names) == {"app.septemcore.com", "api.septemcore.com"}
    assert 3500 < material.not_after - wall_seconds() <= 3600
    key = load_pem_private_key(material.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert (await issuer.issue(wanted)).key_pem != material.key_pem, "each has a key of its own"


@pytest.mark.real
async def test_a_name_too_long_for_a_common_name_is_among_the_sans(issuer: PkiIssuer) -> None:
    assert (await issuer.issue(Order("edge", (LONG,)))).names == (LONG,)


SPIFFE_POLICY = 'path "pki/sign/edge-spiffe" { capabilities = ["update"] }'


@pytest.mark.real
async def test_a_spiffe_id_and_no_dns_name(
    openbao: OpenBao, vault: VaultClient, token_file: TokenFile
) -> None:
    openbao.client.secrets.pki.create_or_update_role(
        "edge-spiffe",
        extra_params={
            "allowed_uri_sans": "spiffe://septemcore/*", "key_type": "ec", "key_bits": 256,
            "require_cn": False,
        },
    )  # fmt: skip
    token_file.write(openbao.token_for(SPIFFE_POLICY, name="spiffe"))
    settings = model.VaultPkiIssuer(name="mesh", role="edge-spiffe", ttl_seconds=3600)
    issuer = PkiIssuer(settings, vault, wall_seconds)
    material = await issuer.issue(Order("me", (), ("spiffe://septemcore/ns/edge",)))
    assert material.uris == ("spiffe://septemcore/ns/edge",)
    assert material.names == ()
    with pytest.raises(VaultFault, match="refused the request as invalid"):
        await issuer.issue(Order("me", (), ("spiffe://elsewhere/ns/edge",)))


REFUSED = [
    ("another domain", "app.evil.test", "edge", "refused the request as invalid"),
    ("a role that is not ours", "app.septemcore.com", "nobody", "permission denied"),
]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "role", "said"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_a_real_ca_refuses(vault: VaultClient, name: str, role: str, said: str) -> None:
    settings = model.VaultPkiIssuer(name="internal", role=role)
    with pytest.raises(VaultFault, match=said):
        await PkiIssuer(settings, vault, wall_seconds).issue(Order("edge", (name,)))
