"""The report of an issuer: the entry is what was judged, and it has the token accepted."""

import json
from typing import Any

import pytest

from sidecar.cli.idp_report import Found, IssuerReport, make_report, report_document, report_lines
from sidecar.cli.idp_sample import read_sample
from sidecar.config import parse_config
from sidecar.config.yamltree import parse_yaml
from tests.support.issuer_shapes import SHAPES
from tests.support.minting import NOW
from tests.support.shaped_issuer import ShapedIssuer, shape_named

REST = """\
vault: {address: "https://vault.internal", auth: {method: token_file, path: /x}}
routes: [{name: all, path_prefix: /}]
tokens:
  issuers:
"""
OIDC = {"source": "oidc"}


def report_of(name: str, now: float = NOW, *, kid: str = "key-1", **changes: Any) -> IssuerReport:
    issuer = ShapedIssuer(shape_named(name))
    keys = [issuer.jwk(kid), {"kty": "oct", "k": "AA", "kid": "secret"}]
    found = Found("https://i/m", "https://i/keys", json.dumps({"keys": keys}))
    sample = read_sample(issuer.token(**changes))
    return make_report(issuer.shape.issuer, found, OIDC, sample, now)


@pytest.mark.parametrize("name", [each.name for each in SHAPES])
def test_the_entry_of_every_issuer_has_its_token_accepted(name: str) -> None:
    report = report_of(name)
    assert report.trials is not None
    assert report.trials.accepted, report.trials.refusals
    text = "\n".join(report_lines(report, explained=True))
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    (issuer,) = parse_config(REST + lines, "test").tokens.issuers
    assert issuer.issuer == shape_named(name).issuer


def test_every_reason_is_named_with_what_ends_it() -> None:
    report = report_of("Entra, v1")
    assert report.trials is not None
    found = {each.mended_by: each.reason for each in report.trials.refusals}
    assert set(found) >= {("algorithms",), ("tolerate_headers",), ("claims.tenant",), ("pii",)}
    assert found["algorithms",] == "no_key"
    assert found["tolerate_headers",] == "header_parameter_not_allowed"
    assert found["max_lifetime_seconds",] == "token_lifetime_too_long"


HOPELESS: list[tuple[str, dict[str, Any], str]] = [
    ("of another issuer", {"iss": "https://other.example"}, "issuer_mismatch"),
    ("an ID token", {"at_hash": "x"}, "token_type_not_allowed"),
    ("a refresh token", {"typ": "Refresh"}, "refresh_token_presented"),
    ("without an end", {"exp": None}, "claim_missing"),
]


@pytest.mark.parametrize(
    ("changes", "reason"), [row[1:] for row in HOPELESS], ids=[row[0] for row in HOPELESS]
)
def test_what_no_setting_ends_is_said(changes: dict[str, Any], reason: str) -> None:
    report = report_of("Keycloak, a user", **changes)
    assert report.trials is not None
    assert not report.trials.accepted
    assert (report.trials.refusals[-1].reason, report.trials.refusals[-1].mended_by) == (reason, ())
    lines = [line.lstrip("# ") for line in report_lines(report, explained=False)]
    text = " ".join(lines)
    assert "no setting ends this" in text
    assert "also with this entry the token is denied" in text


def test_a_token_of_a_key_that_is_not_published_is_refused() -> None:
    report = report_of("oidc-provider", kid="another")
    assert report.trials is not None
    assert report.trials.refusals[-1].reason == "key_unknown"


def test_a_token_that_is_over_is_judged_as_of_its_beginning_and_that_is_said() -> None:
    report = report_of("oidc-provider", now=NOW + 86_400)
    assert report.trials is not None
    assert report.trials.accepted
    assert "it was judged as of its beginning" in "\n".join(report_lines(report, explained=False))
    assert report_document(report)["judged_as_of_its_beginning"] is True


def test_neither_token_nor_signature_is_in_the_report() -> None:
    report = report_of("Keycloak, a user")
    assert report.sample is not None
    shown = "\n".join(report_lines(report, explained=True)) + json.dumps(report_document(report))
    for part in report.sample.token.decode().split("."):
        assert part not in shown
    assert str(report.sample.payload["jti"]) not in shown
    assert str(report.sample.payload["sub"]) not in shown


def test_the_keys_are_shown_and_the_odd_ones_named() -> None:
    text = "\n".join(report_lines(report_of("oidc-provider"), explained=False))
    assert "#   key-1: OKP Ed25519 EdDSA sig" in text
    assert "#   secret: it is a secret (kty oct)" in text


def test_without_a_token_the_entry_is_a_beginning() -> None:
    issuer = ShapedIssuer(shape_named("Keycloak, a user"))
    found = Found("https://i/m", "https://i/keys", json.dumps({"keys": [issuer.jwk()]}))
    report = make_report(issuer.shape.issuer, found, OIDC, None, NOW)
    text = "\n".join(report_lines(report, explained=True))
    (entry,) = parse_yaml(text).value
    assert entry["algorithms"] == ["RS256"]
    assert text.count("# CHOOSE") == 2
    assert report_document(report)["accepted"] is None


@pytest.mark.parametrize("key_set", ["", "[]", "{}", '{"keys": 5}', "<html>", '{"keys": [5]}'])
def test_a_key_set_that_is_none_has_no_key(key_set: str) -> None:
    found = Found("https://i/m", "https://i/keys", key_set)
    sample = read_sample(ShapedIssuer(shape_named("oidc-provider")).token())
    report = make_report("https://op.example", found, OIDC, sample, NOW)
    assert report.trials is not None
    assert report.trials.refusals[-1].reason == "no_key"


def test_what_a_token_says_ends_no_comment_and_adds_no_setting() -> None:
    evil = "acme\n  algorithms: [none]\n#"
    report = report_of("oidc-provider", org=None, tenant=evil)
    text = "\n".join(report_lines(report, explained=True))
    (entry,) = parse_yaml(text).value
    assert entry["algorithms"] == ["EdDSA"]
