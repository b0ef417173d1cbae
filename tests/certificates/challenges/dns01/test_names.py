"""Names and values of dns-01, and which names may be written."""

import dns.name
import pytest
from dns.name import Name

from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import (
    TxtRecord,
    challenge_name,
    check_place,
    show,
    txt_value,
)


def name(text: str) -> Name:
    return dns.name.from_text(text, dns.name.root)


def test_the_value_is_the_digest_of_the_key_authorization() -> None:
    """RFC 8555 §8.4, with SHA-256 of ``token.thumbprint`` as coreutils has it."""
    assert txt_value("token.thumbprint") == b"61rBZ_4knHblO0MNoxFsXZ_eTFUHum0B6IVRbhvUn5I"


HOSTS = [
    ("a host", "a.example", "_acme-challenge.a.example"),
    ("an A-label", "xn--bcher-kva.example", "_acme-challenge.xn--bcher-kva.example"),
    ("a label of 63", f"{'l' * 63}.example", f"_acme-challenge.{'l' * 63}.example"),
    ("the longest", ".".join(["l" * 58] * 4) + ".m", None),
]


@pytest.mark.parametrize(("host", "found"), [h[1:] for h in HOSTS], ids=[h[0] for h in HOSTS])
def test_the_name_of_a_challenge(host: str, found: str | None) -> None:
    if found is None:
        assert len(f"_acme-challenge.{host}") == 253
    assert show(challenge_name(host)) == (found or f"_acme-challenge.{host}")


NO_NAMES = [
    ("254 octets", ".".join(["l" * 58] * 4) + ".mm"),
    ("a label of 64", f"{'l' * 64}.example"),
    ("an empty label", "a..example"),
    ("Unicode", "bücher.example"),
    ("a broken escape", "a\\2.example"),
]


@pytest.mark.parametrize("host", [n[1] for n in NO_NAMES], ids=[n[0] for n in NO_NAMES])
def test_what_is_no_name(host: str) -> None:
    with pytest.raises(Dns01Fault, match="is no name of DNS") as raised:
        challenge_name(host)
    assert raised.value.reason == "name"


ZONES = {name("acme.platform.test"), name("_acme-challenge.own.test")}
START = "_acme-challenge.a.customer.test"
PLACES = [
    ("directly", "_acme-challenge.b.acme.platform.test", None, ""),
    ("by a CNAME", "a.acme.platform.test", START, ""),
    ("by a CNAME, in capitals", "A.ACME.Platform.test", START, ""),
    ("to the name of a challenge", "_acme-challenge.a.acme.platform.test", START, ""),
    ("to the zone itself", "_acme-challenge.own.test", START, ""),
    ("to a policy of mail", "_dmarc.acme.platform.test", START, "cname"),
    ("to a key of mail", "k1._domainkey.acme.platform.test", START, "cname"),
    ("to what is below a challenge", "_x._acme-challenge.acme.platform.test", START, "cname"),
    ("to a challenge's name below", "x._acme-challenge.acme.platform.test", START, "cname"),
]


@pytest.mark.parametrize(
    ("where", "start", "reason"), [p[1:] for p in PLACES], ids=[p[0] for p in PLACES]
)
def test_which_names_may_be_written(where: str, start: str | None, reason: str) -> None:
    zone = next(each for each in ZONES if name(where).is_subdomain(each))
    record = TxtRecord("a.customer.test", name(start or where), name(where), zone, b"v")
    if not reason:
        return check_place(record, ZONES)
    with pytest.raises(Dns01Fault, match="a meaning of its own") as raised:
        check_place(record, ZONES)
    assert raised.value.reason == reason
    return None


ELSEWHERE = [
    ("a zone above", "a.platform.test", "platform.test"),
    ("a zone below", "a.b.acme.platform.test", "b.acme.platform.test"),
    ("a zone that ends alike", "a.evil-acme.platform.test", "evil-acme.platform.test"),
]


@pytest.mark.parametrize(
    ("where", "zone"), [e[1:] for e in ELSEWHERE], ids=[e[0] for e in ELSEWHERE]
)
def test_another_zone_is_not_written(where: str, zone: str) -> None:
    record = TxtRecord("a.customer.test", name(START), name(where), name(zone), b"v")
    with pytest.raises(Dns01Fault, match=f"in the zone {zone}, and only") as raised:
        check_place(record, ZONES)
    assert raised.value.reason == "zone"


def test_an_escaped_dot_is_no_label() -> None:
    """A label may hold a dot: the name is not in the zone that its text ends with."""
    odd = name("a\\.acme.platform.test")
    assert not odd.is_subdomain(name("acme.platform.test"))
    assert show(odd) == "a\\.acme.platform.test"
