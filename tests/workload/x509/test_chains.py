"""Which certificates make a chain: one path is enough, and it ends with its first certificate.

The cases are of the kinds that x509-limbo tests for paths, in the direction that concerns a
server: what others stored beside a leaf, and whether a client finds a way up.
"""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.authorities import common_name
from tests.support.odd_certificates import UNKNOWN, Extension, usage
from workload.x509.chains import ChainFault, best_path

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAY = timedelta(days=1)
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("leaf", "a", "b", "r", "s", "x")}


def sign(
    subject: str,
    issuer: str,
    days: float = 90,
    *extensions: Extension,
    ca: bool | None = True,
    length: int | None = None,
    since: float = -100,
    key: str = "",
    by: str = "",
) -> x509.Certificate:
    """Return a certificate of one name by another; ``key`` and ``by`` are keys, if others."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name(subject))
        .issuer_name(common_name(issuer))
        .public_key(KEYS[key or subject].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + since * DAY)
        .not_valid_after(NOW + days * DAY)
    )
    if ca is not None:
        constraints = x509.BasicConstraints(ca=ca, path_length=length)
        builder = builder.add_extension(constraints, critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(KEYS[by or issuer], hashes.SHA256())


LEAF = sign("leaf", "a", 60, ca=False)
A_B, A_R, B_R, R, S = (
    sign(subject, issuer) for subject, issuer in ("ab", "ar", "br", "rr", "ss")
)  # a by b, a by r, b by r, and two roots
CONSTRAINT = (
    x509.NameConstraints(permitted_subtrees=[x509.DNSName("a.example")], excluded_subtrees=None),
    True,
)
GOOD: list[tuple[str, list[x509.Certificate], str, float]] = [
    ("the leaf alone", [LEAF], "leaf", 60),
    ("its issuer", [LEAF, A_R], "leaf a", 60),
    ("in order, with the root", [LEAF, A_B, B_R, R], "leaf a b r", 60),
    ("in another order", [LEAF, R, B_R, A_B], "leaf a b r", 60),
    ("everything twice", [LEAF, A_R, A_R, R, R], "leaf a r", 60),
    ("the root of somebody else beside it", [LEAF, A_R, S], "leaf a", 60),
    ("an intermediate that is not needed", [LEAF, A_R, R, B_R], "leaf a r", 60),
    ("cross-signed, both ways", [LEAF, A_R, A_B, B_R, R], "leaf a b r", 60),
    ("a namesake with another key first", [LEAF, sign("a", "s", key="x"), A_R], "leaf a", 60),
    ("one that ends earlier than the leaf", [LEAF, sign("a", "r", 3)], "leaf a", 3),
    ("one that ended", [LEAF, sign("a", "r", -1)], "leaf a", -1),
    ("above it one that ended", [LEAF, A_B, sign("b", "r", -1)], "leaf a b", -1),
    ("a root that ends earlier", [LEAF, A_R, sign("r", "r", 5)], "leaf a r", 5),
    ("cross-signed, one way ended", [LEAF, sign("a", "b", -1), A_R], "leaf a", 60),
    ("cross-signed, both end", [LEAF, sign("a", "b", 4), sign("a", "s", 9)], "leaf a", 9),
    ("cross-signed, the longer way ended", [LEAF, A_R, R, sign("r", "s", -1)], "leaf a r", 60),
    ("one way not begun", [LEAF, sign("a", "b", 80, since=1), sign("a", "r", 9)], "leaf a", 9),
    ("CAs that signed each other", [LEAF, A_B, sign("b", "a")], "leaf a b", 60),
    ("a CA that renewed its key", [LEAF, sign("a", "a", by="x"), sign("a", "r", key="x", length=0)],
     "leaf a a", 60),
    ("room for the CAs below", [LEAF, A_B, sign("b", "r", length=1)], "leaf a b", 60),
    ("too little room one way", [LEAF, A_B, sign("b", "r", length=0), A_R], "leaf a", 60),
    ("with keyCertSign", [LEAF, sign("a", "r", 90, (usage("key_cert_sign"), True))], "leaf a", 60),
    ("with name constraints", [LEAF, sign("a", "r", 90, CONSTRAINT)], "leaf a", 60),
]  # fmt: skip


@pytest.mark.parametrize(
    ("chain", "names", "days"), [g[1:] for g in GOOD], ids=[g[0] for g in GOOD]
)
def test_a_path_is_enough(chain: list[x509.Certificate], names: str, days: float) -> None:
    path = best_path(chain, NOW.timestamp())
    assert [each.subject for each in path.certificates] == [*map(common_name, names.split())]
    assert path.ends == (NOW + days * DAY).timestamp()
    assert path.first_to_end.not_valid_after_utc.timestamp() == path.ends


BAD: list[tuple[str, list[x509.Certificate], str]] = [
    ("somebody else's root alone", [LEAF, S], "no certificate in it signed CN=leaf"),
    ("the issuer is missing", [LEAF, B_R, R], "no certificate in it signed CN=leaf"),
    ("a namesake with another key", [LEAF, sign("a", "r", key="x")], "no certificate in it"),
    ("an issuer that is no CA", [LEAF, sign("a", "r", ca=False)], "is not a CA: CN=a"),
    ("an issuer that says nothing", [LEAF, sign("a", "r", ca=None)], "is not a CA: CN=a"),
    ("no keyCertSign", [LEAF, sign("a", "r", 90, (usage("crl_sign"), True))], "may sign it"),
    ("no room for a CA below", [LEAF, A_B, sign("b", "r", length=0)], "may sign it"),
    ("an extension nobody knows", [LEAF, sign("a", "r", 90, (UNKNOWN, True))], "may sign it"),
]


@pytest.mark.parametrize(("chain", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_builds_no_path(chain: list[x509.Certificate], said: str) -> None:
    with pytest.raises(ChainFault, match=said):
        best_path(chain, NOW.timestamp())


def test_a_chain_that_has_not_begun_says_so_by_its_beginning() -> None:
    path = best_path([LEAF, sign("a", "r", 90, since=2)], NOW.timestamp())
    assert path.begins == (NOW + 2 * DAY).timestamp()


def test_cas_that_all_signed_each_other_end_in_bounded_time() -> None:
    """Nine CAs, each signed by each: 100,000 ways, of which a part is looked at."""
    names = "abrsx"
    knot = [sign(one, other) for one in names for other in names if one != other]
    path = best_path([LEAF, *knot], NOW.timestamp())
    assert path.ends == (NOW + 60 * DAY).timestamp()
