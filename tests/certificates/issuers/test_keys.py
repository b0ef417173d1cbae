"""Which keys certificates are for: what is configured, or what a role demands."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar.certificates.issuers.keys import (
    P256,
    KeyKind,
    configured_kind,
    demanded_kind,
    make_key,
)
from sidecar.config.certificates import CertificateKey
from workload.x509.servable import is_servable_key

RSA = KeyKind("rsa", 2048)
DEMANDS: list[tuple[str, str, KeyKind, KeyKind | None]] = [
    ("another type", "role requires keys of type rsa", P256, RSA),
    ("and back", "role requires keys of type ec", RSA, P256),
    ("a type that Envoy does not serve", "role requires keys of type ed25519", P256, None),
    ("a longer one", "role requires a minimum of a 384-bit key, but CSR's key is 256 bits", P256,
     KeyKind("ec", 384)),
    ("an RSA key between sizes", "role requires a minimum of a 3000-bit key, but ...", RSA,
     KeyKind("rsa", 3072)),
    ("too long", "role requires a minimum of a 8192-bit key, but ...", RSA, None),
    ("P-521", "role requires a minimum of a 521-bit key, but ...", P256, None),
    ("nothing of keys", "common name x not allowed by this role", P256, None),
    ("nothing", "", P256, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sent", "demanded"), [d[1:] for d in DEMANDS], ids=[d[0] for d in DEMANDS]
)
def test_what_a_role_demands(words: str, sent: KeyKind, demanded: KeyKind | None) -> None:
    assert demanded_kind(words, sent) == demanded


def test_what_is_configured() -> None:
    assert configured_kind(None) is None
    assert configured_kind(CertificateKey()) == P256
    assert configured_kind(CertificateKey("rsa")) == RSA
    assert configured_kind(CertificateKey("ec", 384)) == KeyKind("ec", 384)


async def test_each_kind_is_made_and_served() -> None:
    for kind in (P256, KeyKind("ec", 384), RSA):
        key = await make_key(kind)
        assert is_servable_key(key)
        assert key.key_size == kind.bits
    assert isinstance(await make_key(RSA), rsa.RSAPrivateKey)
    assert isinstance(await make_key(P256), ec.EllipticCurvePrivateKey)
