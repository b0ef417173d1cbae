"""A certificate that stands in Vault KV is served if it is good, and not otherwise."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import OpenBao
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.vault_kv import KvIssuer, NotChanged, kv_segment
from sidecar.common.clock import monotonic_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.vault.client import VaultClient
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile
from tests.workload.x509.test_material import CA, KEY, NOW, OTHER, SUBJECT, VERSIONS, pem
from workload.x509.material import MaterialFault

pytestmark = pytest.mark.real
POLICY = FLEET_POLICY
ORDER = Order("a.example", ("a.example",))


def key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def leaf(key: ec.EllipticCurvePrivateKey = KEY, *, days: int = 90) -> str:
    return pem(CA.sign(key, SUBJECT, ["a.example"], days=days), CA.root)


def stored(openbao: OpenBao, name: str, **fields: str) -> None:
    openbao.client.secrets.kv.v2.create_or_update_secret(f"septem/tls/{name}", fields)


@pytest.fixture
def issuer(openbao: OpenBao, token_file: TokenFile) -> KvIssuer:
    token_file.write(openbao.token_for(POLICY, name="kv-issuer"))
    vault = VaultClient(token_file.settings(openbao.address), clock=monotonic_seconds)
    settings = model.VaultKvIssuer(name="stored", prefix="septem/tls")
    return KvIssuer(settings, vault, NOW.timestamp)


async def test_what_is_stored_is_issued_and_its_change_is_seen(
    issuer: KvIssuer, openbao: OpenBao
) -> None:
    stored(openbao, "a.example", certificate=leaf(), private_key=key_pem(KEY))
    first = await issuer.issue(ORDER)
    assert first.not_after == (NOW + timedelta(days=90)).timestamp()
    before = await issuer.version(ORDER)
    with pytest.raises(Fault, match="is as it was"):
        await issuer.issue(ORDER._replace(replaces=first))
    stored(openbao, "a.example", certificate=leaf(OTHER), private_key=key_pem(OTHER))
    assert await issuer.version(ORDER) == before + 1
    second = await issuer.issue(ORDER._replace(replaces=first))
    assert second.serial != first.serial


async def test_a_forgotten_intermediate_and_a_serial_used_again_are_changes(
    issuer: KvIssuer, openbao: OpenBao
) -> None:
    """Judged by its serial each of these would be as it was."""
    held = None
    for _, certificate, key, chain in VERSIONS:
        text = pem(certificate, *chain)
        stored(openbao, "a.example", certificate=text, private_key=key_pem(key))
        held = await issuer.issue(ORDER._replace(replaces=held))
        assert held.chain_pem.count(b"BEGIN CERTIFICATE") == 1 + len(chain)
    with pytest.raises(NotChanged, match="is as it was"):
        await issuer.issue(ORDER._replace(replaces=held))


WEAK_BITS = 1024
WEAK = rsa.generate_private_key(65537, WEAK_BITS)
BAD = [
    ("another key", {"certificate": leaf(), "private_key": key_pem(OTHER)}, "another key"),
    ("expired", {"certificate": leaf(days=-1), "private_key": key_pem(KEY)}, "has expired"),
    ("no key", {"certificate": leaf()}, "no text in the field"),
    ("no PEM", {"certificate": leaf(), "private_key": "hello"}, "not an unencrypted private key"),
    ("a weak key", {"certificate": leaf(), "private_key": key_pem(WEAK)}, "must be EC"),
    ("too long", {"certificate": "x" * 70_000, "private_key": key_pem(KEY)}, "more than 65536"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_what_is_not_served(
    fields: dict[str, str], said: str, issuer: KvIssuer, openbao: OpenBao
) -> None:
    stored(openbao, "bad.example", **fields)
    with pytest.raises(MaterialFault, match=said) as fault:
        await issuer.issue(Order("bad.example", ("a.example",)))
    assert str(fault.value).startswith("Vault entry secret/septem/tls/bad.example: ")
    assert "PRIVATE KEY" not in str(fault.value)


async def test_nothing_is_there(issuer: KvIssuer) -> None:
    with pytest.raises(Fault, match="nothing exists there"):
        await issuer.issue(Order("nobody.example", ("nobody.example",)))
    assert await issuer.version(Order("nobody.example", ())) == 0


def test_names_in_paths() -> None:
    assert kv_segment("*.a.example") == "_wildcard.a.example"
    for name in ("../x", "a/b", "", ".", "..", "a b"):
        with pytest.raises(MaterialFault):
            kv_segment(name)
