"""The rules of the addresses of issuers and of their keys."""

import pytest

from sidecar.config import parse_config
from sidecar.config.rules_keys import issuer_url_problem, key_url_problem
from tests.config.documents import MINIMAL, problems

ISSUER = "https://iam.example"
ISSUERS = [
    ("a host", "https://idp.example", ""),
    ("a slash at the end", "https://idp.example/", ""),
    ("a path", "https://idp.example/realms/r", ""),
    ("a path and a slash", "https://sts.example/tid/", ""),
    ("a port", "https://idp.example:8443/x", ""),
    ("http on loopback", "http://127.0.0.1:8080/realms/r", ""),
    ("http on loopback, by name", "http://localhost:8080", ""),
    ("http", "http://idp.example", "must be https"),
    ("http on something like loopback", "http://localhost.example", "must be https"),
    ("a query", "https://idp.example/?tenant=a", "must have no query"),
    ("an empty query", "https://idp.example/?", "must have no query"),
    ("a fragment", "https://idp.example/#a", "must be http"),
    ("a user name", "https://a:b@idp.example", "must be http"),
    ("an empty segment", "https://idp.example//", "must have no empty segment"),
    ("a name", "accounts.example.com", "must be http"),
]


@pytest.mark.parametrize(
    ("issuer", "said"), [row[1:] for row in ISSUERS], ids=[r[0] for r in ISSUERS]
)
def test_the_issuer_of_discovery(issuer: str, said: str) -> None:
    problem = issuer_url_problem(issuer)
    assert problem.startswith(said)
    assert bool(problem) is bool(said)


def test_only_discovery_needs_a_url_for_an_issuer() -> None:
    named = MINIMAL.replace(ISSUER, "accounts.example.com")
    assert parse_config(named, "test").tokens.issuers[0].issuer == "accounts.example.com"
    (problem,) = problems(named.replace("audiences:", "keys: {source: oidc}, audiences:"))
    assert "tokens.issuers[0].issuer: must be http" in problem
    assert "because keys.source is oidc" in problem


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://idp.example/keys?p=1", ""),
        ("https://127.0.0.1:8443/keys", ""),
        ("https://a:b@idp.example/keys", "must be http"),
        ("https://idp.example/keys#a", "must be http"),
        ("https://169.254.169.254/keys", "is an address where nobody"),
    ],
)
def test_the_url_of_keys(url: str, said: str) -> None:
    assert key_url_problem(url).startswith(said)
    keys = f"keys: {{source: jwks, url: '{url}'}}, audiences:"
    text = MINIMAL.replace("audiences:", keys)
    if not said:
        parse_config(text, "test")
        return
    said_of_file = "has a user or a password" if "@" in url else said
    (problem,) = problems(text)
    assert f"tokens.issuers[0].keys.url: {said_of_file}" in problem
