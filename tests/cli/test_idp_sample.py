"""A sample token is read strictly, and what is no token is named without repeating it."""

import pytest

from sidecar.cli.idp_proposal import EntrySetting
from sidecar.cli.idp_sample import Explained, Sample, explain, read_sample
from sidecar.common.errors import Fault
from tests.support.shaped_issuer import ShapedIssuer, shape_named

TOKEN = ShapedIssuer(shape_named("Hydra")).token()


@pytest.mark.parametrize("text", [TOKEN, f" {TOKEN}\n", f"Bearer {TOKEN}", f"bearer  {TOKEN}"])
def test_a_token_is_read(text: str) -> None:
    sample = read_sample(text)
    assert sample.token == TOKEN.encode()
    assert sample.header == {"alg": "ES256", "typ": "JWT", "kid": "key-1"}
    assert sample.payload["ext"] == {"tenant": "acme"}


BAD = [
    ("nothing", " \n", "there is no token"),
    ("a scheme alone", "Bearer ", "there is no token"),
    ("opaque", "gho_secretsecret", "1 part"),
    ("a token endpoint's answer", '{"access_token": "secret"}', "take what stands in access_token"),
    ("encrypted", "secret.a.b.c.d", "encrypted"),
    ("four parts", "secret.a.b.c", "4 part"),
    ("no base64url", "secret=.e30.e30", "the header is not base64url"),
    ("no JSON", "c2VjcmV0.e30.e30", "the header is not strict JSON"),
    ("a payload that is a list", "e30.W10.e30", "the payload is not a JSON object"),
    ("not ASCII", "sécret.e30.e30", "the header is not base64url"),
]


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_is_no_token_is_named_and_not_repeated(text: str, said: str) -> None:
    with pytest.raises(Fault, match=said) as fault:
        read_sample(text)
    assert "secret" not in str(fault.value)


TIMES = [
    ({"iat": 100, "exp": 200}, 150.0, 150.0),
    ({"iat": 100, "exp": 200}, 200.0, 100.0),
    ({"iat": 100, "exp": 200}, 50.0, 100.0),
    ({"iat": 100, "exp": 200, "nbf": 120}, 110.0, 120.0),
    ({"iat": 100, "exp": 200, "nbf": 20}, 300.0, 100.0),
    ({"exp": 200}, 300.0, 300.0),
    ({"iat": "100", "exp": 200}, 300.0, 300.0),
    ({"iat": 100, "exp": 10**400}, 300.0, 300.0),
    ({"iat": 100, "exp": float("inf")}, 50.0, 50.0),
    ({"iat": True, "exp": 200}, 300.0, 300.0),
    ({"iat": 100, "exp": 200, "nbf": 10**400}, 300.0, 100.0),
]


@pytest.mark.parametrize(("payload", "now", "at"), TIMES)
def test_a_token_that_is_over_is_judged_as_of_its_beginning(
    payload: dict[str, object], now: float, at: float
) -> None:
    assert Sample(b"", {}, payload).judged_at(now) == at


def test_what_is_made_of_each_claim() -> None:
    header = {"alg": "RS256", "kid": "k", "x5t": "t"}
    payload = {
        "iss": "i", "aud": ["a", "b"], "roles": ["r"], "jti": "j", "token_use": "access",
        "email_verified": True, "a": {"b": "t"}, "n": None,
    }  # fmt: skip
    settings = (
        EntrySetting("claims.tenant", {}, use={"a.b": "the tenant"}),
        EntrySetting("claims.jti", "uti", use={"uti": "the token's id"}),
    )
    assert list(explain(Sample(b"", header, payload), settings)) == [
        Explained("header alg", "text", "must be one of algorithms"),
        Explained("header kid", "text", "names the key"),
        Explained("header x5t", "text", "not looked at: tolerate_headers"),
        Explained("iss", "text", "must be the issuer"),
        Explained("aud", "list of 2", "must name one of audiences"),
        Explained("roles", "list of 1", "roles"),
        Explained("jti", "text", "not read"),
        Explained("token_use", "text", "names the kind: an access token"),
        Explained("email_verified", "true or false", "not read"),
        Explained("a", "object of 1", "not read"),
        Explained("a.b", "", "the tenant"),
        Explained("n", "null", "not read"),
    ]
