"""Peppers by version, and how they are read from a real OpenBao."""

import hashlib
import hmac
from base64 import b64encode

import pytest

from demo.openbao import OpenBao
from tests.support.real import TokenFile
from workload.clock import monotonic_seconds
from workload.passwords.pepper import Peppers, peppers_of, read_peppers
from workload.settings import KvEntry, SettingsFault, TokenFileLogin, VaultServer
from workload.vault.client import VaultApi
from workload.vault.errors import VaultCallFault

ONE, TWO = b"1" * 32, b"2" * 64
FIELDS = {"1": b64encode(ONE).decode(), "2": b64encode(TWO).decode(), "current": "2"}


def test_a_pepper_is_an_hmac_key() -> None:
    peppers = Peppers({1: ONE, 2: TWO}, current=2)
    assert peppers.apply(1, b"password") == hmac.digest(ONE, b"password", hashlib.sha256)
    assert peppers.apply(2, b"password") == hmac.digest(TWO, b"password", hashlib.sha256)
    assert (1 in peppers, 2 in peppers, 3 in peppers, peppers.current) == (True, True, False, 2)
    assert repr(peppers) == "Peppers(versions=[1, 2], current=2)"


@pytest.mark.parametrize(
    ("what", "fields", "message"),
    [
        ("no pepper", {"current": "1"}, "there must be 1 to 32 peppers"),
        ("an empty entry", {}, "field 'current'"),
        ("no current", {"1": FIELDS["1"]}, "field 'current'"),
        ("a current that is not there", {**FIELDS, "current": "3"}, "is version 3"),
        ("a current that is no number", {**FIELDS, "current": "two"}, "field 'current'"),
        ("a current of another kind", {**FIELDS, "current": None}, "field 'current'"),
        ("a boolean", {**FIELDS, "current": True}, "field 'current'"),
        ("another field", {**FIELDS, "note": FIELDS["1"]}, "field 'note'"),
        ("version 0", {**FIELDS, "0": FIELDS["1"]}, "field '0'"),
        ("version 01", {**FIELDS, "01": FIELDS["1"]}, "field '01'"),
        ("no base64", {**FIELDS, "1": "c2VjcmV0!"}, "field '1'"),
        ("no text", {**FIELDS, "1": 1}, "field '1'"),
        ("a short key", {**FIELDS, "1": "c2VjcmV0"}, "pepper 1 must have 32 to 64 bytes"),
        ("a long key", {**FIELDS, "1": b64encode(b"x" * 65).decode()}, "32 to 64 bytes"),
        ("the same key again", {**FIELDS, "1": FIELDS["2"]}, "two versions"),
        ("too many", {**{str(n): b64encode(b"%032d" % n).decode() for n in range(1, 34)},
                      "current": "1"}, "1 to 32"),
    ],
)  # fmt: skip
def test_an_entry_that_is_wrong_is_refused_without_its_values(
    what: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsFault, match=message) as fault:
        peppers_of(fields, "secret/pepper")
    assert "secret/pepper" in str(fault.value), what
    assert not any(
        str(value) in str(fault.value) for value in fields.values() if len(str(value)) > 8
    )


@pytest.mark.real
async def test_they_are_read_from_vault(openbao: OpenBao, token_file: TokenFile) -> None:
    policy = 'path "secret/data/passwords/pepper" { capabilities = ["read"] }'
    token_file.write(openbao.token_for(policy))
    server = VaultServer(openbao.address, TokenFileLogin(str(token_file.path)))
    vault, entry = VaultApi(server, monotonic_seconds), KvEntry("passwords/pepper")
    with pytest.raises(VaultCallFault, match="nothing is there"):
        await read_peppers(vault, entry)
    openbao.client.secrets.kv.v2.create_or_update_secret("passwords/pepper", FIELDS)
    peppers = await read_peppers(vault, entry)
    assert peppers.apply(peppers.current, b"x") == hmac.digest(TWO, b"x", hashlib.sha256)
    openbao.client.secrets.kv.v2.delete_latest_version_of_secret("passwords/pepper")
    with pytest.raises(VaultCallFault):
        await read_peppers(vault, entry)
    with pytest.raises(VaultCallFault, match="permission denied"):
        await read_peppers(vault, KvEntry("passwords/other"))
