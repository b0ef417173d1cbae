"""What the ACME library lacks, against the RFCs that say it."""

import json
from datetime import UTC, datetime

import pytest
from acme import challenges, messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC

from sidecar.certificates.challenges.challenge_list import HTTP, TLS_ALPN
from sidecar.certificates.issuers.acme.client import AccountKeyMaterial
from sidecar.certificates.issuers.acme.extensions import (
    OrderWithReplaces,
    TlsAlpn,
    certificate_id,
    challenge_of,
)
from tests.support.authorities import common_name, pem

TOKEN = "dG9rZW4tb2YtdGhlLWNhLXdoaWNoLWlzLWxvbmc"


def authorization(*kinds: str) -> messages.AuthorizationResource:
    offered = [
        {"type": kind, "url": f"https://ca.example/{kind}", "status": "pending", "token": TOKEN}
        for kind in kinds
    ]
    body = messages.Authorization.from_json(
        {
            "identifier": {"type": "dns", "value": "a.example"}, "status": "pending",
            "challenges": offered,
        }
    )  # fmt: skip
    return messages.AuthorizationResource(body=body, uri="https://ca.example/authz")


OFFERS = [
    ("both", ("http-01", "tls-alpn-01"), HTTP, challenges.HTTP01),
    ("both, the other one", ("http-01", "tls-alpn-01"), TLS_ALPN, TlsAlpn),
    ("beside one that nobody knows", ("new-01", "tls-alpn-01"), TLS_ALPN, TlsAlpn),
    ("only another", ("dns-01", "http-01"), TLS_ALPN, None),
    ("none", (), HTTP, None),
]


@pytest.mark.parametrize(
    ("kinds", "wanted", "found"), [o[1:] for o in OFFERS], ids=[o[0] for o in OFFERS]
)
def test_the_challenge_of_a_kind(kinds: tuple[str, ...], wanted: str, found: type | None) -> None:
    offered = challenge_of(authorization(*kinds), wanted)
    assert (offered and type(offered.chall)) is found
    assert offered is None or offered.uri == f"https://ca.example/{wanted}"


def test_tls_alpn_01_is_answered_with_the_key_authorization() -> None:
    """RFC 8737 §3, RFC 8555 §8.1: the token, a dot, and the thumbprint of the account's key."""
    key: JWKEC = AccountKeyMaterial(ec.generate_private_key(ec.SECP256R1())).jwk
    offered = challenge_of(authorization("tls-alpn-01"), TLS_ALPN)
    assert offered is not None
    token, _, thumbprint = offered.chall.validation(key).partition(".")
    assert token == TOKEN
    assert len(thumbprint) == 43
    assert json.loads(offered.chall.response(key).json_dumps()) == {}


def test_an_order_says_what_it_replaces_only_if_it_does() -> None:
    """RFC 9773 §5."""
    names = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value="a.example")]
    renewal = OrderWithReplaces(identifiers=names, replaces="a.b")
    assert renewal.to_partial_json()["replaces"] == "a.b"
    assert "replaces" not in OrderWithReplaces(identifiers=names).to_partial_json()


AKI = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")


def with_serial(serial: int, authority: x509.AuthorityKeyIdentifier | None) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .issuer_name(common_name("a CA"))
        .subject_name(common_name("a.example"))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    )
    if authority is not None:
        builder = builder.add_extension(authority, critical=False)
    return pem(builder.sign(key, hashes.SHA256())).encode()


IDS = [
    ("the RFC's own example", 0x87654321, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"),
    ("a sign bit that is free", 0x7F, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.fw"),
    ("a sign bit that is taken", 0x80, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIA"),
]


@pytest.mark.parametrize(("serial", "found"), [i[1:] for i in IDS], ids=[i[0] for i in IDS])
def test_the_id_is_the_issuers_key_and_the_serial(serial: int, found: str) -> None:
    """RFC 9773 §4.1: both as base64url; the serial with the octets of its DER encoding."""
    authority = x509.AuthorityKeyIdentifier(AKI, None, None)
    assert certificate_id(with_serial(serial, authority)) == found


NO_ID = [
    None,
    x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(common_name("a CA"))], 7),
]


@pytest.mark.parametrize("authority", NO_ID)
def test_without_the_issuers_key_there_is_no_id(
    authority: x509.AuthorityKeyIdentifier | None,
) -> None:
    assert certificate_id(with_serial(7, authority)) is None
