"""Development tokens: signed with what can sign ES256 and with nothing else."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from sidecar.common.errors import Fault
from sidecar.tokens.algorithms import ALGORITHMS, ES256
from sidecar.tokens.jwk import thumbprint
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.mint import (
    mint_token,
    model_claims,
    read_private_key,
    read_signing_key,
    sign_token,
)
from sidecar.tokens.verifier import verify_token
from tests.support.algorithms import private_key
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, policy

KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = BestAvailableEncryption(b"a passphrase")


def pem(key: PrivateKeyTypes, how: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption()).decode()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "secp256k1", "RSA", "Ed25519"],
)
def test_a_key_that_cannot_sign_es256(key: PrivateKeyTypes) -> None:
    with pytest.raises(Fault, match=r"key\.pem is not an EC key on P-256"):
        read_private_key(pem(key), "key.pem")


def test_a_key_is_read_with_and_without_a_passphrase() -> None:
    asked: list[str] = []

    def ask(source: str) -> str:
        asked.append(source)
        return "a passphrase"

    assert read_private_key(pem(KEY), "key.pem", ask).private_numbers() == KEY.private_numbers()
    assert asked == [], "only of a key that has one"
    read = read_private_key(pem(KEY, SECRET), "key.pem", ask)
    assert read.private_numbers() == KEY.private_numbers()
    assert asked == ["key.pem"]


def test_without_the_passphrase_it_is_said_and_nothing_of_the_key() -> None:
    encrypted = pem(KEY, SECRET)
    with pytest.raises(Fault, match=r"key\.pem has no unencrypted PEM private key") as refused:
        read_private_key(encrypted, "key.pem")
    assert encrypted[40:80] not in str(refused.value)
    for text in (encrypted, "hello"):
        with pytest.raises(Fault, match=r"key\.pem has no PEM private key"):
            read_private_key(text, "key.pem", lambda _: "another")


def minted(**changes: object) -> str:
    wanted = {
        "now": NOW + 0.75, "kid": None, "issuer": ISSUER, "audiences": ("first", AUDIENCE),
        "tenant_id": TENANT, "subject": "me", **changes,
    }  # fmt: skip
    return mint_token(KEY, **wanted)  # type: ignore[arg-type]


def test_the_verifier_accepts_it_for_as_long_as_was_said() -> None:
    kid = thumbprint(KEY.public_key())
    ring = KeyRing([VerificationKey(kid, KEY.public_key(), ISSUER, ES256)])
    read = verify_token(minted(roles=("admin", "x")).encode(), ring, policy(), NOW + 1).claims
    assert (read.issued_at, read.not_before, read.expires_at) == (NOW, NOW, NOW + 900)
    assert (read.subject, read.tenant_id) == ("me", TENANT)
    assert (read.audience, read.roles) == (("first", AUDIENCE), ("admin", "x"))
    other = verify_token(minted(ttl_seconds=60).encode(), ring, policy(), NOW).claims
    assert other.expires_at == NOW + 60
    assert other.token_id != read.token_id
    assert other.roles == ()


def test_its_header_says_what_it_is() -> None:
    named = jwt.get_unverified_header(minted(kid="mine"))
    assert named == {"alg": "ES256", "typ": "at+jwt", "kid": "mine"}
    assert "roles" not in jwt.decode(minted(), options={"verify_signature": False})


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_token_of_each_algorithm_is_accepted(name: str) -> None:
    key, algorithm = read_signing_key(pem(private_key(name)), "key.pem", [ALGORITHMS[name]])
    assert algorithm.name == name
    claims = model_claims(
        now=NOW, issuer=ISSUER, audiences=[AUDIENCE], tenant_id=TENANT, subject="me"
    )
    token = sign_token(key, claims, kid=None, algorithm=algorithm).encode()
    known = VerificationKey(thumbprint(key.public_key()), key.public_key(), ISSUER, algorithm)
    assert verify_token(token, KeyRing([known]), policy(), NOW).claims.subject == "me"


def test_a_key_that_none_of_the_algorithms_takes() -> None:
    with pytest.raises(Fault, match=r"key\.pem can't sign: .* not for RS256"):
        read_signing_key(pem(KEY), "key.pem", [ALGORITHMS["RS256"]])
    with pytest.raises(Fault, match=r"key\.pem can't sign: .* RS256 and PS256 are allowed"):
        read_signing_key(
            pem(private_key("RS256")), "key.pem", [ALGORITHMS["RS256"], ALGORITHMS["PS256"]]
        )
