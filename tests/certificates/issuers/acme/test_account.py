"""The ACME account's key in Vault: made once by the fleet, and read with care."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from sidecar.certificates.issuers.acme.account import AccountFault, load_account
from sidecar.certificates.issuers.acme.client import AccountKeyMaterial
from sidecar.config import model
from sidecar.config.vault import VaultEntry
from sidecar.vault.errors import VaultNotFound, VaultUnreachable
from tests.support.fleet_kv import MemoryKv

PATH, BOUND = "septem/acme/public", "septem/acme/eab"


def settings(*, external: bool = False) -> model.AcmeIssuerSettings:
    return model.AcmeIssuerSettings(
        name="public", directory="https://ca.example/dir", agree_to_terms=True,
        account=VaultEntry(path=PATH),
        external_account=VaultEntry(path=BOUND) if external else None,
    )  # fmt: skip


def key_pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    ).decode()


def number(material: AccountKeyMaterial) -> int:
    """Return what tells one key from another."""
    private: int = material.jwk.key.private_numbers().private_value
    return private


KEY = ec.generate_private_key(ec.SECP256R1())


async def test_the_first_makes_it_and_the_others_use_it() -> None:
    kv = MemoryKv()
    made = await load_account(settings(), kv)
    assert number(await load_account(settings(), kv)) == number(made)
    assert kv.entries[PATH].version == 1
    assert made.external is None
    assert "private" not in repr(made).lower()


async def test_of_two_that_make_one_at_once_one_is_used() -> None:
    kv = MemoryKv()

    def another_writes() -> None:
        if PATH not in kv.entries:
            kv.put(PATH, {"private_key": key_pem(KEY)})

    kv.on_write = another_writes
    loaded = await load_account(settings(), kv)
    assert number(loaded) == KEY.private_numbers().private_value


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("no field", {}, "has no PEM in its field private_key"),
    ("no text", {"private_key": 7}, "has no PEM in its field private_key"),
    ("no PEM", {"private_key": "secret words"}, "has no PEM in its field private_key"),
    ("an encrypted key", {"private_key": key_pem(KEY, BestAvailableEncryption(b"x"))},
     "has no PEM"),
    ("RSA", {"private_key": key_pem(rsa.generate_private_key(65537, 2048))}, "not EC on P-256"),
    ("another curve", {"private_key": key_pem(ec.generate_private_key(ec.SECP384R1()))},
     "not EC on P-256"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
async def test_an_entry_that_can_not_be_used_is_not_overwritten(
    data: dict[str, Any], said: str
) -> None:
    kv = MemoryKv()
    kv.put(PATH, data)
    with pytest.raises(AccountFault, match=said) as fault:
        await load_account(settings(), kv)
    assert str(fault.value).startswith(f"Vault entry secret/{PATH}")
    assert "secret words" not in str(fault.value)
    assert kv.data(PATH) == data


async def test_the_external_account_is_read_with_it() -> None:
    kv = MemoryKv()
    kv.put(BOUND, {"kid": "kid-1", "hmac_key": "bWFj"})
    assert (await load_account(settings(external=True), kv)).external == ("kid-1", "bWFj")


@pytest.mark.parametrize(
    "data", [{}, {"kid": "x"}, {"hmac_key": "x"}, {"kid": "", "hmac_key": "x"},
             {"kid": "x", "hmac_key": ""}, {"kid": 1, "hmac_key": "x"}],
)  # fmt: skip
async def test_without_the_whole_external_account_no_key_is_made(data: dict[str, Any]) -> None:
    kv = MemoryKv()
    kv.put(BOUND, data)
    with pytest.raises(AccountFault, match="needs the fields kid and hmac_key"):
        await load_account(settings(external=True), kv)
    assert PATH not in kv.entries


async def test_what_vault_says_is_raised() -> None:
    kv = MemoryKv()
    with pytest.raises(VaultNotFound):
        await load_account(settings(external=True), kv)
    kv.away = True
    with pytest.raises(VaultUnreachable):
        await load_account(settings(), kv)
