"""Who a certificate identifies: the rows are those of the standards (SPIFFE-ID, X509-SVID)."""

import re
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.authorities import Ca
from tests.support.odd_certificates import X400_ADDRESS, Extension, self_signed, usage, with_san
from workload.x509.identities import (
    NoIdentity,
    PeerNames,
    id_regex,
    is_id_pattern,
    is_spiffe_id,
    matches_id,
    read_peer,
)

KEY = ec.generate_private_key(ec.SECP256R1())
ID = "spiffe://septemcore/ns/edge/sa/api"


def peer(
    *uris: str, dns: Sequence[str] = (), extensions: Sequence[Extension] = ()
) -> x509.Certificate:
    names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
    return self_signed(KEY, names, extensions)


IDS = [
    ("as usual", ID, True),
    ("all that a trust domain may have", "spiffe://a-z_0.9/x", True),
    ("all that a segment may have", "spiffe://d/A-Z_a.z/0..9/...", True),
    ("255 bytes of trust domain", f"spiffe://{'a' * 255}/x", True),
    ("256 bytes of trust domain", f"spiffe://{'a' * 256}/x", False),
    ("2048 bytes", f"spiffe://d/{'a' * 2037}", True),
    ("2049 bytes", f"spiffe://d/{'a' * 2038}", False),
    ("no path: a trust domain, no workload", "spiffe://septemcore", False),
    ("a slash at the end", "spiffe://septemcore/ns/", False),
    ("a slash alone", "spiffe://septemcore/", False),
    ("an empty segment", "spiffe://septemcore//ns", False),
    ("one dot", "spiffe://septemcore/ns/./x", False),
    ("two dots", "spiffe://septemcore/ns/..", False),
    ("two dots inside", "spiffe://td/ns/../x", False),
    ("percent", "spiffe://septemcore/ns/%2e", False),
    ("fragment", "spiffe://septemcore/ns/a#x", False),
    ("query", "spiffe://septemcore/ns/a?x", False),
    ("umlaut", "spiffe://septemcore/ns/ä", False),
    ("a line's end", f"{ID}\n", False),
    ("space", "spiffe://septemcore/ns/a b", False),
    ("a comma", f"{ID},spiffe://d/x", False),
    ("a star", "spiffe://septemcore/ns/*", False),
    ("a user", "spiffe://me@septemcore/ns", False),
    ("a port", "spiffe://septemcore:443/ns", False),
    ("capital letters in the trust domain", "spiffe://Septemcore/ns", False),
    ("no trust domain", "spiffe:///ns", False),
    ("another scheme", "https://septemcore/ns", False),
    ("the scheme in capital letters", "SPIFFE://septemcore/ns", False),
    ("nothing", "", False),
]


@pytest.mark.parametrize(("text", "valid"), [i[1:] for i in IDS], ids=[i[0] for i in IDS])
def test_what_is_a_spiffe_id(text: str, valid: bool) -> None:
    assert is_spiffe_id(text) is valid
    if valid:
        assert read_peer(peer(text)).spiffe_id == text
    elif text.isascii() and text.lower().startswith("spiffe"):
        with pytest.raises(NoIdentity, match="no SPIFFE ID"):
            read_peer(peer(text))


PATTERNS = [
    (ID, True), ("spiffe://d/*", True), ("spiffe://d/ns/*", True), ("spiffe://d*", False),
    ("spiffe://d/n*", False), ("spiffe://d/*/x", False), ("spiffe://d/../*", False), ("*", False),
    ("spiffe://d//*", False), ("spiffe://d", False), (f"spiffe://d/{'a' * 2040}/*", False),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "valid"), PATTERNS)
def test_what_is_a_pattern(pattern: str, valid: bool) -> None:
    assert is_id_pattern(pattern) is valid


MATCHES = [
    (ID, True), ("spiffe://septemcore/ns/edge/*", True), ("spiffe://septemcore/*", True),
    ("spiffe://septemcore/ns/edge/sa", False), ("spiffe://septemcore/ns/ed/*", False),
    (f"{ID}/*", False), ("spiffe://septemcor/*", False), ("spiffe://SEPTEMCORE/*", False),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "found"), MATCHES)
def test_matches(pattern: str, found: bool) -> None:
    assert matches_id(ID, pattern) is found
    assert (PeerNames(ID, ()).admitted_by([pattern]) == ID) is found


@pytest.mark.parametrize(("text", "valid"), [i[1:] for i in IDS], ids=[i[0] for i in IDS])
def test_envoy_s_regex_says_the_same_of_what_stands_below(text: str, valid: bool) -> None:
    domain, slash, path = text.removeprefix("spiffe://").partition("/")
    if not text.startswith("spiffe://") or not is_spiffe_id(f"spiffe://{domain}/x"):
        return
    if len(text) <= 2048:  # its length Envoy does not look at
        found = re.fullmatch(id_regex(f"spiffe://{domain}/*"), text)
        assert bool(found) is valid, (domain, slash, path)


CONSTRAINT = x509.BasicConstraints
NOBODY = [
    ("a CA", peer(ID, extensions=[(CONSTRAINT(True, None), True)]), "a CA's"),
    ("keyCertSign", peer(ID, extensions=[(usage("digital_signature", "key_cert_sign"), True)]),
     "may sign"),
    ("cRLSign", peer(ID, extensions=[(usage("digital_signature", "crl_sign"), True)]), "may sign"),
    ("two IDs", peer(ID, "spiffe://septemcore/b"), "several URI SANs"),
    ("an ID twice", peer(ID, ID), "several URI SANs"),
    ("an ID and a URL", peer(ID, "https://a.example"), "several URI SANs"),
    ("a URL and an ID", peer("https://a.example", ID), "several URI SANs"),
    ("two URLs and a DNS name", peer("https://a", "https://b", dns=["db"]), "several URI SANs"),
    ("no name", peer(), "no names"),
    ("an x400Address", x509.load_der_x509_certificate(
        with_san(peer(ID), X400_ADDRESS, KEY)), "x400Address"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("certificate", "said"), [n[1:] for n in NOBODY], ids=[n[0] for n in NOBODY]
)
def test_who_is_nobody(certificate: x509.Certificate, said: str) -> None:
    with pytest.raises(NoIdentity, match=said):
        read_peer(certificate)


ADMITTED = [
    ("its ID", peer(ID), [ID], ID),
    ("a leaf that says so", peer(ID, extensions=[(CONSTRAINT(False, None), True)]), [ID], ID),
    ("a leaf's usage", peer(ID, extensions=[(usage("digital_signature"), True)]), [ID], ID),
    ("its DNS name", peer(dns=["db.internal"]), ["db.internal"], "db.internal"),
    ("capital letters", peer(dns=["DB.Internal"]), ["db.internal"], "db.internal"),
    ("a DNS name beside an ID is the ID's", peer(ID, dns=["db"]), ["db"], ID),
    ("a DNS name beside a URL", peer("https://a", dns=["db"]), ["db"], "db"),
    ("an ID as a DNS name", peer(dns=[ID]), [ID], None),
    ("an ID as a DNS name beside another's", peer("spiffe://d/b", dns=[ID]), [ID], None),
    ("an ID as a DNS name, by a prefix", peer(dns=[ID]), ["spiffe://septemcore/*"], None),
    ("a DNS name as an ID", peer(ID), ["septemcore"], None),
    ("a wildcard of its own", peer(dns=["*.internal"]), ["db.internal"], None),
    ("nobody listed", peer(ID), [], None),
]


@pytest.mark.parametrize(
    ("certificate", "patterns", "who"), [a[1:] for a in ADMITTED], ids=[a[0] for a in ADMITTED]
)
def test_who_is_admitted(
    certificate: x509.Certificate, patterns: list[str], who: str | None
) -> None:
    assert read_peer(certificate).admitted_by(patterns) == who


def test_the_names_are_shown_bounded() -> None:
    assert str(PeerNames(ID, ("db",))) == f"{ID}, db"
    assert str(PeerNames(None, ())) == "nobody"
    assert len(str(PeerNames(None, ("a" * 300,)))) == 200


ADDRESSED: list[tuple[str, tuple[str, ...], tuple[str, ...], str, str | None]] = [
    ("an address", ("10.0.0.7",), (), "10.0.0.7", "10.0.0.7"),
    ("another", ("10.0.0.8",), (), "10.0.0.7", None),
    ("IPv6 in any spelling", ("2001:db8::7",), (), "2001:0db8:0:0::7", "2001:db8::7"),
    ("a DNS name that is spelt like it", (), ("10.0.0.7",), "10.0.0.7", None),
    ("an address for a DNS name", ("10.0.0.7",), (), "db.internal", None),
    ("one of both", ("10.0.0.7",), ("db.internal",), "10.0.0.7", "10.0.0.7"),
]


@pytest.mark.parametrize("row", ADDRESSED, ids=[row[0] for row in ADDRESSED])
def test_an_address_is_told_from_a_name(
    row: tuple[str, tuple[str, ...], tuple[str, ...], str, str | None],
) -> None:
    _, addresses, names, pattern, who = row
    certificate, _ = Ca("platform").leaf(dns_names=names, addresses=addresses)
    assert read_peer(certificate).admitted_by([pattern]) == who


def test_who_has_an_id_is_known_by_it_however_it_is_admitted() -> None:
    certificate, _ = Ca("platform").leaf(ID, addresses=("10.0.0.7",))
    assert read_peer(certificate).admitted_by(["10.0.0.7"]) == ID
    assert str(read_peer(certificate)) == f"{ID}, 10.0.0.7"
