"""What makes a trust bundle, and what does not."""

from datetime import UTC, datetime

import pytest
from cryptography import x509

from tests.support.authorities import Ca, pem
from workload.x509.anchors import read_anchors, read_chain
from workload.x509.crls import BundleFault
from workload.x509.material import spki_pin

NOW = datetime(2026, 11, 24, tzinfo=UTC)
AT = NOW.timestamp()
ROOT, SECOND, OTHER = (Ca(name, now=NOW) for name in ("platform", "platform", "other"))
LOWER = Ca("lower", parent=ROOT, now=NOW)
ENDED = Ca("ended", now=NOW, hours=-1)
LEAF, _ = ROOT.leaf("spiffe://d/ns/a")


def roots(text: bytes) -> set[str]:
    return {pem(each) for each in x509.load_pem_x509_certificates(text)}


def test_two_roots_while_a_ca_is_replaced_in_whatever_order_they_come() -> None:
    one = read_anchors([ROOT.chain, SECOND.chain], [], AT)
    assert roots(one.roots_pem) == {pem(ROOT.certificate), pem(SECOND.certificate)}
    assert not one.partial_chain
    assert one.crl_pem is None
    assert one == read_anchors([SECOND.chain, ROOT.chain, ROOT.chain], [], AT), "one version"
    assert one.version != read_anchors([ROOT.chain], [], AT).version


def test_of_a_chain_the_root_is_the_anchor() -> None:
    assert roots(read_anchors([LOWER.chain], [], AT).roots_pem) == {pem(ROOT.certificate)}


def test_where_the_root_is_elsewhere_the_uppermost_is() -> None:
    anchors = read_anchors([[LOWER.certificate]], [], AT)
    assert roots(anchors.roots_pem) == {pem(LOWER.certificate)}
    assert anchors.partial_chain


def test_a_ca_that_has_expired_is_left_out() -> None:
    anchors = read_anchors([ROOT.chain, ENDED.chain], [], AT)
    assert roots(anchors.roots_pem) == {pem(ROOT.certificate)}


def test_an_ended_ca_leaves_with_its_ended_crl() -> None:
    """Vault makes no more CRLs for it; the bundle is not down for that."""
    going = Ca("going", now=NOW, hours=-1)
    crls = [pem(ROOT.crl()), pem(going.crl(hours=-1))]
    anchors = read_anchors([ROOT.chain, going.chain], crls, AT)
    assert roots(anchors.roots_pem) == {pem(ROOT.certificate)}
    assert anchors.crl_pem == crls[0].encode()
    assert not anchors.only_leaf_crl
    assert anchors.version == read_anchors([ROOT.chain], crls[:1], AT).version


def test_delta_crls_are_told_apart_and_change_the_version() -> None:
    leaf, _ = ROOT.leaf("spiffe://d/ns/a")
    crl = pem(ROOT.crl())
    plain = read_anchors([ROOT.chain], [crl], AT)
    empty = read_anchors([ROOT.chain], [crl, pem(ROOT.crl(delta=True))], AT)
    listed = read_anchors([ROOT.chain], [crl, pem(ROOT.crl([leaf.serial_number], delta=True))], AT)
    assert {each.crl_pem for each in (plain, empty, listed)} == {crl.encode()}
    assert listed.has_revoked_since(leaf)
    assert not empty.has_revoked_since(leaf)
    assert listed.version not in {plain.version, empty.version}


def test_crls_of_all_and_of_some() -> None:
    lower, root = pem(LOWER.crl([7])), pem(ROOT.crl(hours=5))
    whole = read_anchors([LOWER.chain], [lower, root], AT)
    assert not whole.only_leaf_crl
    assert whole.ends_at == AT + 5 * 3600, "the first to end"
    assert read_anchors([LOWER.chain], [root, lower], AT).version == whole.version
    some = read_anchors([LOWER.chain], [lower], AT)
    assert some.only_leaf_crl
    assert some.version != whole.version


def test_two_cas_of_one_name_each_need_their_crl() -> None:
    assert read_anchors([ROOT.chain, SECOND.chain], [pem(ROOT.crl())], AT).only_leaf_crl
    both = [pem(ROOT.crl()), pem(SECOND.crl())]
    assert not read_anchors([ROOT.chain, SECOND.chain], both, AT).only_leaf_crl


BAD = [
    ("nothing", [], [], "no CA certificate that is still valid"),
    ("all have expired", [ENDED.chain], [], "no CA certificate that is still valid"),
    ("a leaf", [[LEAF]], [], "is no CA"),
    ("a CRL of a stranger", [ROOT.chain], [pem(OTHER.crl())], "signed by no CA here"),
    ("a CRL of a namesake", [ROOT.chain], [pem(SECOND.crl())], "signed by no CA here"),
    ("a CRL that has ended", [ROOT.chain], [pem(ROOT.crl(hours=-1))], "has ended"),
    ("a CRL that is none", [ROOT.chain], ["hello"], "a CRL is not in PEM, or"),
    ("a CRL that is huge", [ROOT.chain], ["x" * 5_000_000], "more than"),
    ("too many", [[Ca("many", now=NOW).certificate] for _ in range(65)], [], "65 CAs"),
]  # fmt: skip


@pytest.mark.parametrize(("chains", "crls", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_not_taken(
    chains: list[list[x509.Certificate]], crls: list[str], said: str
) -> None:
    with pytest.raises(BundleFault, match=said):
        read_anchors(chains, crls, AT)


@pytest.mark.parametrize(
    ("text", "said"), [("hello", "not hold PEM"), ("x" * 5_000_000, "more than")]
)
def test_what_is_no_chain(text: str, said: str) -> None:
    with pytest.raises(BundleFault, match=said):
        read_chain(text)


def test_a_pin_is_of_the_key_and_not_of_the_certificate() -> None:
    certificate, _ = ROOT.leaf("spiffe://d/ns/a")
    assert spki_pin(certificate) != spki_pin(LEAF)
    assert len(spki_pin(certificate)) == 44
