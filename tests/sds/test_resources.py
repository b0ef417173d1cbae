"""Secrets as Envoy's protobuf, compared with envoy-data-plane's own reading of them."""

import pytest
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret

from sidecar.sds import resources
from sidecar.sds.resources import ResourceFault


def test_a_certificate() -> None:
    resource = resources.tls_certificate("edge", "7", b"chain", b"key")
    secret = Secret.parse(resource.body)
    assert secret.name == resource.name == "edge"
    certificate = secret.tls_certificate
    assert certificate is not None
    assert certificate.certificate_chain is not None
    assert certificate.private_key is not None
    assert certificate.certificate_chain.inline_bytes == b"chain"
    assert certificate.private_key.inline_bytes == b"key"
    assert repr(resource) == f"Resource('edge', '7', {len(resource.body)} bytes)"


def test_a_validation_context() -> None:
    resource = resources.validation_context(
        "mesh", "1", b"roots", uris=["spiffe://septem/a"], dns_names=["a.example"],
        spki_pins=["cGlu"], crl_pem=b"crl",
    )  # fmt: skip
    context = Secret.parse(resource.body).validation_context
    assert context is not None
    assert context.trusted_ca is not None
    assert context.crl is not None
    assert context.trusted_ca.inline_bytes == b"roots"
    assert context.crl.inline_bytes == b"crl"
    assert context.verify_certificate_spki == ["cGlu"]
    matchers = [
        (each.san_type.name, each.matcher.exact)
        for each in context.match_typed_subject_alt_names
        if each.matcher is not None and each.san_type.name is not None
    ]
    assert matchers == [("URI", "spiffe://septem/a"), ("DNS", "a.example")]


def test_a_validation_context_with_roots_only() -> None:
    context = Secret.parse(resources.validation_context("m", "1", b"r").body).validation_context
    assert context is not None
    assert context.crl is None
    assert not context.match_typed_subject_alt_names


def test_session_ticket_keys() -> None:
    keys = [b"a" * 80, b"b" * 80]
    secret = Secret.parse(resources.session_ticket_keys("t", "1", keys).body)
    assert secret.session_ticket_keys is not None
    assert [each.inline_bytes for each in secret.session_ticket_keys.keys] == keys


@pytest.mark.parametrize("keys", [[], [b"short"], [b"a" * 80, b"b" * 79]])
def test_session_ticket_keys_of_another_length(keys: list[bytes]) -> None:
    with pytest.raises(ResourceFault, match="80 bytes"):
        resources.session_ticket_keys("t", "1", keys)


def test_a_generic_secret() -> None:
    secret = Secret.parse(resources.generic_secret("g", "1", {"": b"one", "b": b"two"}).body)
    generic = secret.generic_secret
    assert generic is not None
    assert generic.secret is not None
    assert generic.secret.inline_bytes == b"one"
    assert {name: each.inline_bytes for name, each in generic.secrets.items()} == {"b": b"two"}


def test_a_validation_context_with_patterns_and_the_leafs_crl_alone() -> None:
    resource = resources.validation_context(
        "m", "1", b"r", uri_patterns=["spiffe://septem/ns/.+"], only_leaf_crl=True
    )
    context = Secret.parse(resource.body).validation_context
    assert context is not None
    assert context.only_verify_leaf_cert_crl
    (matcher,) = context.match_typed_subject_alt_names
    assert matcher.matcher is not None
    assert matcher.matcher.safe_regex is not None
    found = matcher.san_type.name, matcher.matcher.safe_regex.regex
    assert found == ("URI", "spiffe://septem/ns/.+")


def test_a_generic_secret_without_the_one() -> None:
    generic = Secret.parse(resources.generic_secret("g", "1", {"b": b"two"}).body).generic_secret
    assert generic is not None
    assert generic.secret is None
    assert list(generic.secrets) == ["b"]
