"""Trust bundles out of a real OpenBao: roots old and new, CRLs, and what is no bundle."""

from collections.abc import AsyncIterator

import pytest
from cryptography import x509

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config.secrets import KvTrust, PkiTrust, TrustBundle
from sidecar.sds.secrets.trust_bundle_source import BundleSource, VaultAnchors
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from tests.support.authorities import Ca, pem
from tests.support.real import TokenFile
from workload.x509.crls import BundleFault

POLICY = """\
path "secret/data/trust/roots" { capabilities = ["read"] }
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


@pytest.mark.real
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


@pytest.mark.real
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


@pytest.mark.real
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


@pytest.mark.real
async def test_a_mount_we_may_not_list(vault: VaultClient) -> None:
    settings = TrustBundle(name="a", roots=PkiTrust(mounts=("pki",)))
    with pytest.raises(VaultForbidden, match="pki/issuers"):
        await BundleSource(settings, VaultAnchors(vault), wall_seconds).fetch()


class Read:
    """Gives these chains and CRLs, whatever the settings."""

    def __init__(self, chains: list[str], crls: list[str]) -> None:
        self._given = chains, crls

    async def __call__(self, settings: PkiTrust | KvTrust) -> tuple[list[str], list[str]]:
        assert settings
        return self._given


ENDS = [
    ("roots alone are read at the interval", None, 24 * 3600.0, 60.0),
    ("a CRL that ends long after the next poll", 24.0, 24 * 3600.0, 60.0),
    ("a CRL that ends soon", 100 / 3600, 100.0, 50.0),
    ("a CRL that ends at once", 1 / 3600, 1.0, 1.0),
]


@pytest.mark.parametrize(
    ("hours", "ends_in", "pause"), [e[1:] for e in ENDS], ids=[e[0] for e in ENDS]
)
async def test_the_next_read_is_before_a_crl_ends(
    hours: float | None, ends_in: float, pause: float
) -> None:
    ca = Ca("a root")
    now = ca.now.timestamp()

    read = Read([pem(ca.certificate)], [] if hours is None else [pem(ca.crl(hours=hours))])
    fetched = await BundleSource(TrustBundle(name="a"), read, lambda: now).fetch()
    assert fetched.ends_at is not None
    assert fetched.ends_at - now == pytest.approx(ends_in, abs=1)
    assert fetched.again_seconds == pytest.approx(pause, abs=1)
    assert fetched.again_seconds >= 1.0


async def test_every_root_that_an_operator_wrote_is_an_anchor() -> None:
    """Of a mount's chain the root alone is; in KV, an intermediate stands for itself."""
    root = Ca("a root")
    intermediate = Ca("an intermediate", parent=root)
    read = Read([pem(intermediate.certificate, root.certificate)], [])
    for settings, count in ((PkiTrust(), 1), (KvTrust(path="trust/roots"), 2)):
        source = BundleSource(TrustBundle(name="a", roots=settings), read, root.now.timestamp)
        assert (await source.fetch()).value.roots_pem.count(b"BEGIN CERT") == count
