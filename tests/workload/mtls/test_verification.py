"""One verification for every way a peer comes in: a row is admitted by all of them, or by none.

The ways are a handshake by ``ssl``, and the gRPC guard with what gRPC says of a connection.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from sidecar.common.clock import wall_seconds
from tests.support.authorities import Ca, pem
from tests.workload.mtls.test_context import A, B, identity, outcome, plain
from workload.mtls import PeerRefused
from workload.mtls.rpc import GrpcPeerGuard
from workload.mtls.verification import ChainEnded, ChainVerifier, verify_chain
from workload.x509.anchors import TrustAnchors, read_anchors
from workload.x509.material import Material

ROOT, NAMESAKE, OTHER = Ca("platform"), Ca("platform"), Ca("other")
LOWER = Ca("lower", parent=ROOT)
LOWER_SERIAL = LOWER.certificate.serial_number
PAST = wall_seconds() - 3600


def trust(*cas: Ca, crls: tuple[Any, ...] = (), at: float | None = None) -> TrustAnchors:
    return read_anchors(
        [ca.chain for ca in cas], [pem(each) for each in crls], at or wall_seconds()
    )


class Row(NamedTuple):
    name: str
    shown: Material
    trust: TrustAnchors
    admitted: bool


def serial(material: Material) -> int:
    return int(material.serial, 16)


GOOD, BELOW, THEIRS = ROOT.material(A), LOWER.material(A), NAMESAKE.material(A)
ROWS = [
    Row("no CRLs", GOOD, trust(ROOT), True),
    Row("below an intermediate", BELOW, trust(ROOT), True),
    Row("with its CRL", GOOD, trust(ROOT, crls=(ROOT.crl(),)), True),
    Row("revoked", GOOD, trust(ROOT, crls=(ROOT.crl([serial(GOOD)]),)), False),
    Row("with all CRLs", BELOW, trust(LOWER, crls=(LOWER.crl(), ROOT.crl())), True),
    Row("an intermediate that is revoked", BELOW,
        trust(LOWER, crls=(LOWER.crl(), ROOT.crl([LOWER_SERIAL]))), False),
    Row("the issuer's CRL is missing", BELOW, trust(LOWER, crls=(ROOT.crl(),)), False),
    Row("a CRL past its end", GOOD, trust(ROOT, crls=(ROOT.crl(hours=-0.5),), at=PAST), False),
    Row("revoked since its CRL", GOOD,
        trust(ROOT, crls=(ROOT.crl(), ROOT.crl([serial(GOOD)], delta=True))), False),
    Row("another revoked since its CRL", GOOD,
        trust(ROOT, crls=(ROOT.crl(), ROOT.crl([7], delta=True))), True),
    Row("an intermediate revoked since", BELOW,
        trust(LOWER, crls=(LOWER.crl(), ROOT.crl(), ROOT.crl([LOWER_SERIAL], delta=True))), False),
    Row("revoked no more", GOOD,
        trust(ROOT, crls=(ROOT.crl(), ROOT.crl(delta=True, restored=[serial(GOOD)]))), True),
    Row("two CAs of one name", GOOD, trust(ROOT, NAMESAKE), True),
    Row("two CAs of one name, the other's CRL", GOOD,
        trust(ROOT, NAMESAKE, crls=(NAMESAKE.crl(),)), False),
    Row("two CAs of one name, both CRLs", GOOD,
        trust(ROOT, NAMESAKE, crls=(NAMESAKE.crl(), ROOT.crl())), True),
    Row("and the namesake's peer", THEIRS,
        trust(ROOT, NAMESAKE, crls=(NAMESAKE.crl(), ROOT.crl())), True),
    Row("two CAs of one name, revoked by its own", THEIRS,
        trust(ROOT, NAMESAKE, crls=(NAMESAKE.crl([serial(THEIRS)]), ROOT.crl())), False),
    Row("another's root", GOOD, trust(OTHER), False),
    Row("a namesake's root", GOOD, trust(NAMESAKE), False),
    Row("expired", ROOT.material(A, hours=-2), trust(ROOT), False),
]  # fmt: skip


def told(material: Material, **changes: list[bytes]) -> dict[str, list[bytes]]:
    """What gRPC says of a connection: the leaf, and what came with it apart from that."""
    end = b"-----END CERTIFICATE-----\n"
    leaf, *above = (each + end for each in material.chain_pem.split(end) if each.strip())
    return {
        "x509_pem_cert": [leaf],
        "x509_pem_cert_chain": [b"".join(above)] if above else [],
        "ssl_tls_version": [b"TLSv1.3"],
        "ssl_session_reused": [b"false"],
        **changes,
    }


def guards(guard: GrpcPeerGuard, shown: Material, **changes: list[bytes]) -> bool:
    try:
        return guard.admit(told(shown, **changes)) == A
    except PeerRefused:
        return False


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_all_ways_admit_the_same(row: Row) -> None:
    me = identity(ROOT.material(B), row.trust)
    found = await outcome(me.server_context([A]), plain(row.shown))
    assert (found == "ok") is row.admitted, found
    assert guards(me.grpc_guard([A]), row.shown) is row.admitted


NOW = datetime(2026, 11, 24, tzinfo=UTC)
AT = NOW.timestamp()
FIXED = Ca("platform", now=NOW)
SHOWN = FIXED.material(A, hours=5)
HOUR = 3600.0


def fixed(*cas: Ca, crls: tuple[Any, ...] = ()) -> TrustAnchors:
    return read_anchors([ca.chain for ca in cas], [pem(each) for each in crls], AT)


def admits(verifier: ChainVerifier, anchors: TrustAnchors, now: float, resumed: bool) -> bool:
    try:
        verifier.verify([SHOWN.chain_pem], anchors, now, resumed=resumed)
    except PeerRefused:
        return False
    return True


LIVES = [
    ("while it is valid", fixed(FIXED), AT + 4 * HOUR, False, True),
    ("and when it has ended", fixed(FIXED), AT + 6 * HOUR, False, True),
    ("but no session of it is resumed", fixed(FIXED), AT + 6 * HOUR, True, False),
    ("when its CA is believed no more", fixed(OTHER), AT + HOUR, False, True),
    ("not even then resumed", fixed(OTHER), AT + HOUR, True, False),
    ("until it is revoked", fixed(FIXED, crls=(FIXED.crl([serial(SHOWN)]),)), AT, False, False),
    ("ended, and revoked", fixed(FIXED, crls=(FIXED.crl([serial(SHOWN)]),)), AT + 6 * HOUR, False,
     False),
    ("ended, and revoked since", fixed(OTHER, FIXED, crls=(
        FIXED.crl(), OTHER.crl(), FIXED.crl([serial(SHOWN)], delta=True))), AT + 6 * HOUR, False,
     False),
    ("until a CRL has ended", fixed(FIXED, crls=(FIXED.crl(hours=1),)), AT + 2 * HOUR, False,
     False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("anchors", "now", "resumed", "good"), [row[1:] for row in LIVES], ids=[row[0] for row in LIVES]
)
def test_a_connection_lives_on(
    anchors: TrustAnchors, now: float, resumed: bool, good: bool
) -> None:
    verifier = ChainVerifier()
    assert admits(verifier, fixed(FIXED), AT, resumed=False)
    assert admits(verifier, anchors, now, resumed) is good
    assert admits(verifier, anchors, now, resumed) is good, "and so for the call after it"


def test_a_call_on_does_not_open_the_way_to_a_resumption() -> None:
    verifier, after = ChainVerifier(), AT + 6 * HOUR
    assert admits(verifier, fixed(FIXED), AT, resumed=False)
    assert admits(verifier, fixed(FIXED), after, resumed=False)
    assert not admits(verifier, fixed(FIXED), after, resumed=True)


def test_what_was_never_good_does_not_live_on() -> None:
    assert not admits(ChainVerifier(), fixed(FIXED), AT + 6 * HOUR, resumed=False)
    with pytest.raises(ChainEnded):
        verify_chain(SHOWN.chain_pem, fixed(OTHER), AT)


def test_the_clock_set_back_looks_again() -> None:
    verifier = ChainVerifier()
    assert admits(verifier, fixed(FIXED), AT, resumed=False)
    before = (NOW - timedelta(days=2)).timestamp()
    assert not admits(verifier, fixed(FIXED), before, resumed=False), "it was not valid yet"


def test_what_is_verified_once_is_known_until_its_first_end() -> None:
    whole = verify_chain(SHOWN.chain_pem, fixed(FIXED), AT)
    assert (whole.since, whole.until) == (AT, AT + 5 * HOUR)
    assert len(whole.certificates) == 2, "with its root"
    crl = fixed(FIXED, crls=(FIXED.crl(hours=2),))
    assert verify_chain(SHOWN.chain_pem, crl, AT).until == AT + 2 * HOUR


@pytest.mark.parametrize("text", [b"", b"hello", b"x" * 200_000], ids=["nothing", "text", "much"])
def test_what_is_no_chain(text: bytes) -> None:
    with pytest.raises(PeerRefused):
        ChainVerifier().verify([text], fixed(FIXED), AT, resumed=False)


def test_the_table_of_chains_is_bounded_and_keeps_the_newest() -> None:
    verifier, anchors = ChainVerifier(max_chains=2), fixed(FIXED)
    shown = [FIXED.material(A, hours=5).chain_pem for _ in range(3)]
    for each in (shown[0], shown[1], shown[0], shown[2]):
        verifier.verify([each], anchors, AT, resumed=False)
    after = AT + 6 * HOUR
    for each in (shown[0], shown[2]):
        verifier.verify([each], anchors, after, resumed=False)
    with pytest.raises(ChainEnded):
        verifier.verify([shown[1]], anchors, after, resumed=False)
