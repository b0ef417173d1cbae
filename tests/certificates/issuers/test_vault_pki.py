"""What is asked of the CA, and a real OpenBao's answer to it."""

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_kv import read_material
from sidecar.certificates.issuers.vault_pki import PkiIssuer
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultFault
from tests.support.real import TokenFile
from workload.x509.addresses import check_addresses
from workload.x509.material import MaterialFault

PKI = model.VaultPkiIssuer(name="internal", role="edge", ttl_seconds=3600)
LONG = "a" * 60 + ".septemcore.com"


class Signer:
    """A CA that answers what it is told to."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    async def sign_csr(
        self, _mount: str, _role: str, csr_pem: str, *,
        common_name: str, alt_names: Sequence[str], uri_sans: Sequence[str],
        ip_sans: Sequence[str], ttl_seconds: int,
    ) -> str:  # fmt: skip
        assert "PRIVATE" not in csr_pem, (
            f"{common_name} {alt_names} {uri_sans} {ip_sans} {ttl_seconds}"
        )
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


ROLES: list[tuple[str, dict[str, object], model.CertificateKey | None, str | int]] = [
    ("Vault's default", {}, None, 2048),
    ("a longer one", {"key_type": "rsa", "key_bits": 3072}, None, 3072),
    ("P-384", {"key_type": "ec", "key_bits": 384}, None, 384),
    ("what is configured", {"key_type": "any"}, model.CertificateKey("rsa", 3072), 3072),
    ("what is configured is not what the role wants", {}, model.CertificateKey("ec"),
     "role requires keys of type rsa"),
    ("what no Envoy serves", {"key_type": "ed25519"}, None, "role requires keys of type ed25519"),
    ("a name that the role does not allow", {"key_type": "ec", "allowed_domains": ["b.example"]},
     None, "not allowed by this role"),
]  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize(
    ("role", "key", "outcome"), [r[1:] for r in ROLES], ids=[r[0] for r in ROLES]
)
async def test_a_role_has_its_kind_of_key_and_vaults_words_say_why_not(
    openbao: OpenBao,
    token_file: TokenFile,
    role: dict[str, object],
    key: model.CertificateKey | None,
    outcome: str | int,
) -> None:
    given = {"allowed_domains": ["septemcore.com"], "allow_subdomains": True, **role}
    openbao.client.secrets.pki.create_or_update_role("kinds", extra_params=given)
    policy = 'path "pki/sign/kinds" { capabilities = ["update"] }'
    token_file.write(openbao.token_for(policy, name="kinds"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    settings = model.VaultPkiIssuer(name="internal", role="kinds", ttl_seconds=3600, key=key)
    issuer = PkiIssuer(settings, vault, wall_seconds)
    order = Order("edge", ("kinds.septemcore.com",))
    if isinstance(outcome, str):
        with pytest.raises(VaultFault, match=outcome):
            await issuer.issue(order)
        return
    for _ in range(2):  # the second knows what the role demands
        made = load_pem_private_key((await issuer.issue(order)).key_pem, None)
        assert isinstance(made, ec.EllipticCurvePrivateKey | RSAPrivateKey)
        assert made.key_size == outcome


@pytest.mark.real
async def test_addresses_are_certified_and_what_is_missing_is_refused(
    openbao: OpenBao, token_file: TokenFile
) -> None:
    role = {"allow_ip_sans": True, "require_cn": False, "key_type": "ec"}
    openbao.client.secrets.pki.create_or_update_role("addresses", extra_params=role)
    policy = 'path "pki/sign/addresses" { capabilities = ["update"] }'
    token_file.write(openbao.token_for(policy, name="addresses"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    settings = model.VaultPkiIssuer(name="internal", role="addresses", ttl_seconds=3600)
    wanted = Order("edge", (), ip_sans=("10.0.0.1", "2001:db8::1"))
    made = await PkiIssuer(settings, vault, wall_seconds).issue(wanted)
    assert check_addresses(made, ["2001:DB8::1", "10.0.0.1"]) is made
    stored = read_material(made.chain_pem.decode(), made.key_pem.decode(), wanted, wall_seconds())
    assert stored.version == made.version
    with pytest.raises(MaterialFault, match=r"does not cover 10\.0\.0\.2"):
        read_material(
            made.chain_pem.decode(), made.key_pem.decode(),
            wanted._replace(ip_sans=("10.0.0.2",)), wall_seconds(),
        )  # fmt: skip
