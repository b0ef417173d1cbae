"""What a CA returned is checked before anyone uses it."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.authorities import CA_USAGE
from tests.support.odd_certificates import X400_ADDRESS, as_pem, with_san
from workload.x509.material import MaterialFault, check_material

NOW = datetime(2026, 11, 24, tzinfo=UTC)
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


class Authority:
    """A CA that signs whatever it is asked to."""

    def __init__(self, name: str, *, ca: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self.sign(self.key, self.name, [], ca=ca)

    def sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        names: list[str],
        *,
        days: int = 90,
        since: int = -100,
        ca: bool = False,
        client: bool = False,
        serial: int | None = None,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .issuer_name(self.name)
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=since))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(  # Python 3.13 takes no certificate without these (RFC 5280 §4.2.1.1)
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if ca:
            builder = builder.add_extension(CA_USAGE, critical=True)
        if names:
            sans = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(sans, critical=False)
        if client:
            usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
            builder = builder.add_extension(usage, critical=False)
        return builder.sign(self.key, hashes.SHA256())


CA, EVIL = Authority("root"), Authority("evil")
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example")])


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)


LEAF = CA.sign(KEY, SUBJECT, ["a.example", "*.a.example"])


def test_a_good_answer() -> None:
    material = check_material(pem(LEAF, CA.root), KEY, ["a.example"], NOW.timestamp())
    assert material.names == ("a.example", "*.a.example")
    assert material.not_after == (NOW + timedelta(days=90)).timestamp()
    assert material.chain_pem.count(b"BEGIN CERTIFICATE") == 1, "the root stays out"
    assert b"PRIVATE KEY" in material.key_pem
    assert "PRIVATE" not in repr(material)
    assert "PRIVATE" not in str({"x": material})


LOWER = Authority("a server that signs", ca=False)
MIDDLE_KEY = ec.generate_private_key(ec.SECP256R1())
MIDDLE_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "middle")])


def below(days: int, since: int = -100) -> tuple[x509.Certificate, x509.Certificate]:
    """A leaf of 90 days below an intermediate of so many."""
    middle = Authority("middle")
    return (
        middle.sign(KEY, SUBJECT, ["a.example"]),
        CA.sign(middle.key, middle.name, [], ca=True, days=days, since=since),
    )


def odd_san(general_names: bytes) -> str:
    return as_pem("CERTIFICATE", with_san(LEAF, general_names, CA.key)).decode()


def test_a_chain_ends_with_its_first_certificate() -> None:
    chain = below(3)
    material = check_material(pem(*chain, CA.root), KEY, ["a.example"], NOW.timestamp())
    assert material.not_after == (NOW + timedelta(days=3)).timestamp()
    assert material.not_before == (NOW - timedelta(days=100)).timestamp()


def test_spare_certificates_are_sent_as_they_came_and_roots_are_not() -> None:
    leaf, middle = below(60)
    spare = EVIL.sign(MIDDLE_KEY, MIDDLE_NAME, [], ca=True)
    came = pem(leaf, EVIL.root, spare, CA.root, middle)
    material = check_material(came, KEY, ["a.example"], NOW.timestamp())
    assert material.chain_pem.decode() == pem(leaf, spare, middle)


NAMES = [
    ("capital letters", ["A.Example", "*.B.EXAMPLE"], ["a.example", "x.b.example"]),
    ("as they are", ["a.example", "*.b.example"], ["a.example", "*.b.example"]),
]


@pytest.mark.parametrize(("sans", "required"), [n[1:] for n in NAMES], ids=[n[0] for n in NAMES])
def test_the_case_of_a_name_is_not_significant(sans: list[str], required: list[str]) -> None:
    answer = pem(CA.sign(KEY, SUBJECT, sans), CA.root)
    material = check_material(answer, KEY, required, NOW.timestamp())
    assert material.names == ("a.example", "*.b.example")


BAD = [
    ("nothing", "", "not a chain"),
    ("text", "hello", "not a chain"),
    ("half", pem(LEAF)[:100], "not a chain"),
    ("another key", pem(CA.sign(OTHER, SUBJECT, ["a.example"]), CA.root), "another key"),
    ("the wrong issuer", pem(LEAF, EVIL.root), "chain is not valid: no certificate in it signed"),
    ("the wrong order", pem(CA.root, LEAF), "another key"),
    ("expired", pem(CA.sign(KEY, SUBJECT, ["a.example"], days=-1), CA.root), "has expired"),
    ("a name missing", pem(CA.sign(KEY, SUBJECT, ["b.example"]), CA.root), "cover a.example"),
    ("no names", pem(CA.sign(KEY, SUBJECT, []), CA.root), "cover a.example"),
    ("not yet valid", pem(CA.sign(KEY, SUBJECT, ["a.example"], since=1), CA.root), "not valid yet"),
    ("a CA's own", pem(CA.sign(KEY, SUBJECT, ["a.example"], ca=True), CA.root), "a CA certificate"),
    (
        "an issuer that is no CA",
        pem(LOWER.sign(KEY, SUBJECT, ["a.example"]), LOWER.root),
        "not a CA",
    ),
    ("an intermediate that has expired", pem(*below(-1)), "CA certificate of CN=middle has exp"),
    ("an intermediate of tomorrow", pem(*below(90, since=1)), "its chain is not valid yet"),
    ("an x400Address", odd_san(X400_ADDRESS), "x400Address"),
    ("a SAN that is none", odd_san(b"\x05\x00\xff"), "a part that can't be read"),
    ("for clients alone", pem(CA.sign(KEY, SUBJECT, ["a.example"], client=True)), "clientAuth"),
    ("a chain too long", pem(LEAF, *[CA.root] * 10), "11 certificates"),
]


@pytest.mark.parametrize(("answer", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_is_not_served(answer: str, said: str) -> None:
    with pytest.raises(MaterialFault, match=said):
        check_material(answer, KEY, ["a.example"], NOW.timestamp())


INTERMEDIATE = Authority("intermediate")
SIGNED_BELOW = INTERMEDIATE.sign(KEY, SUBJECT, ["a.example"], serial=1)
CROSS = CA.sign(INTERMEDIATE.key, INTERMEDIATE.name, [], ca=True)
VERSIONS = [
    ("the leaf alone", SIGNED_BELOW, KEY, ()),
    ("the intermediate that was forgotten", SIGNED_BELOW, KEY, (CROSS,)),
    ("another key, and the serial of before", CA.sign(OTHER, SUBJECT, ["a.example"], serial=1),
     OTHER, ()),
    ("another end", CA.sign(KEY, SUBJECT, ["a.example"], serial=1, days=80), KEY, ()),
]  # fmt: skip


def test_any_changed_byte_is_another_version() -> None:
    made = [
        check_material(pem(leaf, *chain), key, ["a.example"], NOW.timestamp())
        for _, leaf, key, chain in VERSIONS
    ]
    assert {each.serial for each in made} == {"1"}
    assert len({each.version for each in made}) == len(VERSIONS)


def test_what_did_not_change_is_the_same_version() -> None:
    """White space and text around PEM blocks are not served."""
    once, again = (
        check_material(text, KEY, ["a.example"], NOW.timestamp())
        for text in (pem(LEAF, CA.root), "subject: a\n" + pem(LEAF) + "\n\n" + pem(CA.root))
    )
    assert once.version == again.version
