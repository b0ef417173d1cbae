"""The TSIG key, as it stands in Vault."""

import base64
from typing import Any

import dns.name
import dns.tsig
import pytest

from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.tsig import read_tsig_key

SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
GOOD: dict[str, Any] = {"name": "sidecar", "secret": SECRET}
READ = [
    ("without an algorithm", {}, dns.tsig.HMAC_SHA256),
    ("as tsig-keygen writes it", {"algorithm": "hmac-sha256"}, dns.tsig.HMAC_SHA256),
    ("in capitals, with a dot", {"algorithm": "HMAC-SHA512."}, dns.tsig.HMAC_SHA512),
    ("hmac-sha384", {"algorithm": "hmac-sha384"}, dns.tsig.HMAC_SHA384),
    ("with a line end", {"secret": SECRET[:20] + "\n" + SECRET[20:] + "\n"}, dns.tsig.HMAC_SHA256),
]


@pytest.mark.parametrize(("more", "algorithm"), [r[1:] for r in READ], ids=[r[0] for r in READ])
def test_read(more: dict[str, Any], algorithm: dns.name.Name) -> None:
    key = read_tsig_key({**GOOD, **more}, "secret/tsig")
    assert (key.name, key.algorithm) == (dns.name.from_text("sidecar"), algorithm)
    assert key.secret == b"0123456789abcdef0123456789abcdef"


WRONG = [
    ("MD5", {"algorithm": "hmac-md5"}, "must be one of hmac-sha256, hmac-sha384, hmac-sha512"),
    ("SHA-1", {"algorithm": "hmac-sha1"}, "must be one of"),
    ("SHA-224", {"algorithm": "hmac-sha224"}, "must be one of"),
    ("truncated", {"algorithm": "hmac-sha256-128"}, "must be one of"),
    ("Kerberos", {"algorithm": "gss-tsig"}, "must be one of"),
    ("no text", {"algorithm": 256}, "must be one of"),
    ("no name", {"name": ""}, "the field name"),
    ("the root", {"name": "."}, "the field name"),
    ("Unicode", {"name": "schlüssel"}, "the field name"),
    ("a long name", {"name": "l" * 64}, "is no name of DNS"),
    ("no secret", {"secret": None}, "the field secret must be"),
    ("no base64", {"secret": "it is no base64!"}, "is not base64"),
    ("a short secret", {"secret": base64.b64encode(b"x" * 15).decode()}, "fewer than 16 bytes"),
    ("an endless secret", {"secret": "A" * 1025}, "the field secret must be"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_wrong(more: dict[str, Any], said: str) -> None:
    entry = {**GOOD, **more}
    with pytest.raises(Dns01Fault) as raised:
        read_tsig_key(entry, "secret/tsig")
    assert said in str(raised.value)
    assert "secret/tsig" in str(raised.value)
    assert raised.value.reason == "key"
    assert SECRET not in str(raised.value)
    assert str(entry["secret"]) not in str(raised.value)
