"""Where an issuer's metadata are, and which of them are believed."""

import json
from typing import Any

import pytest

from sidecar.keys.discovery import (
    DiscoveryFault,
    freshness_seconds,
    metadata_urls,
    read_jwks_uri,
)

ISSUER = "https://idp.example/realms/shop"
PLACES = [
    (
        "https://idp.example",
        "https://idp.example/.well-known/openid-configuration",
        "https://idp.example/.well-known/oauth-authorization-server",
    ),
    (
        "https://idp.example/",
        "https://idp.example/.well-known/openid-configuration",
        "https://idp.example/.well-known/oauth-authorization-server",
    ),
    (
        ISSUER,
        f"{ISSUER}/.well-known/openid-configuration",
        "https://idp.example/.well-known/oauth-authorization-server/realms/shop",
    ),
    (
        "https://sts.example:8443/tid/",
        "https://sts.example:8443/tid/.well-known/openid-configuration",
        "https://sts.example:8443/.well-known/oauth-authorization-server/tid",
    ),
]


@pytest.mark.parametrize(("issuer", "openid", "oauth"), PLACES, ids=[each[0] for each in PLACES])
def test_where_the_metadata_are(issuer: str, openid: str, oauth: str) -> None:
    assert metadata_urls(issuer) == (openid, oauth)


def document(**changes: Any) -> bytes:
    members = {"issuer": ISSUER, "jwks_uri": "https://idp.example/certs", **changes}
    return json.dumps({k: v for k, v in members.items() if v is not None}).encode()


TAKEN = [
    ("of the issuer's host", "https://idp.example/certs", ISSUER),
    ("of another host", "https://www.googleapis.example/oauth2/v3/certs", ISSUER),
    ("of an address of a private network", "https://10.0.0.1:6443/openid/v1/jwks", ISSUER),
    ("with a query", "https://idp.example/keys?p=b2c_1", ISSUER),
    ("of loopback's issuer", "http://127.0.0.1:8080/jwks", "http://127.0.0.1:8080"),
    ("of loopback's issuer, by name", "http://localhost:8080/jwks", "http://127.0.0.1:8080"),
    ("of loopback's issuer, by TLS", "https://idp.example/jwks", "http://127.0.0.1:8080"),
    ("on loopback, both by TLS", "https://localhost:1/jwks", "https://localhost:2/x"),
]


@pytest.mark.parametrize(("uri", "issuer"), [row[1:] for row in TAKEN], ids=[r[0] for r in TAKEN])
def test_a_jwks_uri_that_is_taken(uri: str, issuer: str) -> None:
    assert read_jwks_uri(document(jwks_uri=uri, issuer=issuer), issuer) == uri


REFUSED: list[tuple[str, bytes, str]] = [
    ("another issuer", document(issuer="https://other.example"), "its issuer is 'https://other"),
    ("a slash more", document(issuer=f"{ISSUER}/"), "its issuer is"),
    ("another case", document(issuer=ISSUER.upper()), "its issuer is"),
    ("another port", document(issuer="https://idp.example:443/realms/shop"), "its issuer is"),
    ("a template", document(issuer="https://idp.example/{tenantid}"), "its issuer is"),
    ("no issuer", document(issuer=None), "its issuer is missing"),
    ("a list of issuers", document(issuer=[ISSUER]), "its issuer is missing"),
    ("two issuers", b'{"issuer":"%s","issuer":"%s"}' % ((ISSUER.encode(),) * 2), "strict JSON"),
    ("no jwks_uri", document(jwks_uri=None), "it has no jwks_uri"),
    ("a list of URIs", document(jwks_uri=["https://idp.example"]), "it has no jwks_uri"),
    ("http", document(jwks_uri="http://idp.example/certs"), "must be https"),
    ("http on loopback", document(jwks_uri="http://127.0.0.1/certs"), "must be https"),
    ("a file", document(jwks_uri="file:///etc/passwd"), "must be http"),
    ("nothing but a path", document(jwks_uri="/certs"), "must be http"),
    ("a user name", document(jwks_uri="https://a@idp.example/certs"), "no user name"),
    ("a metadata service", document(jwks_uri="https://169.254.169.254/x"), "where no issuer"),
    ("our own machine", document(jwks_uri="https://127.0.0.1:9102/x"), "is on loopback"),
    ("our own machine by name", document(jwks_uri="https://localhost/x"), "is on loopback"),
    ("one number as a host", document(jwks_uri="https://2130706433/x"), "ends in a number"),
    ("not an object", b"[]", "is not a JSON object"),
    ("a page", b"<html>", "is not strict JSON"),
    ("not UTF-8", b"\xff\xfe{}", "is not UTF-8"),
    ("nested", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested deeper"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "said"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
def test_metadata_that_are_not_believed(raw: bytes, said: str) -> None:
    with pytest.raises(DiscoveryFault, match=said) as fault:
        read_jwks_uri(raw, ISSUER)
    assert len(str(fault.value)) < 800


def test_http_is_not_taken_off_loopback_by_an_issuer_there() -> None:
    issuer = "http://127.0.0.1:8080"
    with pytest.raises(DiscoveryFault, match="must be https"):
        read_jwks_uri(document(issuer=issuer, jwks_uri="http://idp.example/"), issuer)


FRESH: list[tuple[str | None, str | None, float]] = [
    (None, None, 60.0),
    ("", None, 60.0),
    ("public", None, 60.0),
    ("max-age=100", None, 100.0),
    ("public, max-age = 100 , must-revalidate", None, 100.0),
    ('Max-Age="100"', None, 100.0),
    ("max-age=100", "40", 60.0),
    ("max-age=100", "400", 10.0),
    ("max-age=100", "-400", 100.0),
    ("max-age=100", "soon", 100.0),
    ("max-age=999999", None, 3600.0),
    ("max-age=9999999999", None, 60.0),
    ("max-age=-1", None, 60.0),
    ("max-age=1", None, 10.0),
    ("s-maxage=100", None, 60.0),
    ("no-cache, max-age=100", None, 10.0),
    ("no-store", None, 10.0),
]


@pytest.mark.parametrize(("said", "age", "seconds"), FRESH, ids=[str(row[:2]) for row in FRESH])
def test_how_long_an_answer_is_fresh(said: str | None, age: str | None, seconds: float) -> None:
    found = freshness_seconds(said, age, otherwise=60.0, least=10.0, most=3600.0)
    assert found == seconds
