"""Which bundles may be installed: the rules in their order, each at its edge."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.install import (
    CHANGE_READING,
    ModuleMode,
    ModulePolicy,
    Provenance,
    check_bundle,
    unseen,
)
from sidecar.module_signing.publishers import PublisherKey, Publishers
from sidecar.module_signing.signature import HEADER_NAME, sign_digest

BUNDLE = b"export default 1;"
DIGEST = hashlib.sha256(BUNDLE)
SHA256 = DIGEST.hexdigest()
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
PUBLISHERS = Publishers([PublisherKey("acme", KEY.public_key())])
WITHDRAWN = Publishers([PublisherKey("acme", KEY.public_key())], withdrawn=[SHA256])
POLICY = ModulePolicy(len(BUNDLE), owner_roles=frozenset({"owner"}))
SIGNED = {HEADER_NAME: sign_digest(DIGEST.digest(), KEY).encode()}
FOREIGN = {HEADER_NAME: sign_digest(DIGEST.digest(), OTHER).encode()}
OWNER = ("member", "owner")


def install(
    headers: dict[str, bytes],
    roles: tuple[str, ...] = (),
    mode: ModuleMode = "signed",
    body: bytes = BUNDLE,
    publishers: Publishers = PUBLISHERS,
) -> Provenance:
    return check_bundle(body, headers, roles, mode=mode, policy=POLICY, publishers=publishers)


@pytest.mark.parametrize(
    "headers",
    [
        SIGNED,
        {**SIGNED, "content-type": b"text/javascript"},
        {**SIGNED, "content-type": b" Application/JavaScript ; charset=UTF-8"},
        {**SIGNED, "content-type": b'text/javascript;charset="utf-8"'},
        {**SIGNED, "content-encoding": b" Identity "},
        {**SIGNED, "content-range": b""},
        {**SIGNED, "x-envoy-auth-partial-body": b"false"},
    ],
)
@pytest.mark.parametrize("mode", ["signed", "unsigned_by_owner"])
def test_a_signed_bundle_is_its_publishers(headers: dict[str, bytes], mode: ModuleMode) -> None:
    assert install(headers, mode=mode) == Provenance(SHA256, "acme")


REFUSED = [
    ("no body", SIGNED, b"", Reason.MODULE_MISSING),
    (
        "half a body",
        {**SIGNED, "x-envoy-auth-partial-body": b"true"},
        BUNDLE,
        Reason.MODULE_MISSING,
    ),
    ("one byte too many", SIGNED, BUNDLE + b"\n", Reason.MODULE_TOO_LARGE),
    ("compressed", {**SIGNED, "content-encoding": b"gzip"}, BUNDLE, Reason.MODULE_ENCODED),
    (
        "encoded for mail",
        {**SIGNED, "content-transfer-encoding": b"base64"},
        BUNDLE,
        Reason.MODULE_ENCODED,
    ),
    ("a range", {**SIGNED, "content-range": b"bytes 0-1/2"}, BUNDLE, Reason.MODULE_ENCODED),
    (
        "a form",
        {**SIGNED, "content-type": b"multipart/form-data; boundary=x"},
        BUNDLE,
        Reason.MODULE_ENCODED,
    ),
    (
        "another charset",
        {**SIGNED, "content-type": b"text/javascript; charset=utf-16"},
        BUNDLE,
        Reason.MODULE_ENCODED,
    ),
    (
        "a parameter of nothing",
        {**SIGNED, "content-type": b"; charset=utf-8"},
        BUNDLE,
        Reason.MODULE_ENCODED,
    ),
    ("unsigned", {}, BUNDLE, Reason.MODULE_UNSIGNED),
    ("signed by nobody known", FOREIGN, BUNDLE, None),
    ("an empty signature", {HEADER_NAME: b""}, BUNDLE, None),
]


@pytest.mark.parametrize(
    ("headers", "body", "reason"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_a_refused_bundle(headers: dict[str, bytes], body: bytes, reason: Reason | None) -> None:
    """A Platform Owner gets no other answer where the route wants a signature."""
    with pytest.raises(Denied) as denied:
        install(headers, OWNER, body=body)
    assert reason is None or denied.value.reason is reason
    if reason is None:
        assert denied.value.detail.endswith(f"; sha256:{SHA256}")


def test_a_withdrawn_bundle_is_refused_before_its_signature_is_read() -> None:
    for headers in (SIGNED, FOREIGN):
        with pytest.raises(Denied) as denied:
            install(headers, publishers=WITHDRAWN)
        assert denied.value.reason is Reason.MODULE_WITHDRAWN


@pytest.mark.parametrize(
    ("roles", "allowed"), [((), False), (("member",), False), (("Owner",), False), (OWNER, True)]
)
def test_an_unsigned_bundle_needs_a_platform_owner(roles: tuple[str, ...], allowed: bool) -> None:
    if allowed:
        assert install({}, roles, "unsigned_by_owner") == Provenance(SHA256, None)
    else:
        with pytest.raises(Denied, match="only a Platform Owner") as denied:
            install({}, roles, "unsigned_by_owner")
        assert denied.value.reason is Reason.MODULE_UNSIGNED


def test_an_owner_installs_no_bundle_with_a_bad_signature() -> None:
    with pytest.raises(Denied):
        install(FOREIGN, OWNER, "unsigned_by_owner")


@pytest.mark.parametrize(
    ("publisher", "text"), [("acme", "bundle sha256:ab acme"), (None, "bundle sha256:ab unsigned")]
)
def test_the_text_for_the_audit_log(publisher: str | None, text: str) -> None:
    assert str(Provenance("ab", publisher)) == text


def test_headers_that_did_not_come_are_removed() -> None:
    assert unseen({}) == CHANGE_READING
    assert "content-type" not in unseen({"content-type": b"", "accept": b"*/*"})
