"""The TSIG key of dynamic updates (RFC 8945), from Vault KV. It is in memory only."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import dns.exception
import dns.name
import dns.tsig

from sidecar.certificates.challenges.dns01.faults import Dns01Fault

ALGORITHMS = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}
"""What RFC 8945 §6 lists, without MD5, SHA-1, SHA-224 and truncated MACs."""
MIN_SECRET_BYTES = 16
_MAX_SECRET_CHARACTERS = 1024


def read_tsig_key(data: Mapping[str, Any], where: str) -> dns.tsig.Key:
    """Return the key of an entry with ``name``, ``secret`` (base64) and ``algorithm``.

    Without ``algorithm`` it is hmac-sha256. Raises ``Dns01Fault``, which never shows the secret.
    """
    algorithm = data.get("algorithm", "hmac-sha256")
    known = ALGORITHMS.get(algorithm.lower().rstrip(".")) if isinstance(algorithm, str) else None
    if known is None:
        raise _wrong(where, f"the field algorithm must be one of {', '.join(ALGORITHMS)}")
    name, secret = data.get("name"), data.get("secret")
    if not isinstance(name, str) or not name.isascii() or not name.rstrip("."):
        raise _wrong(where, "the field name must be the key's name, as the DNS server has it")
    if not isinstance(secret, str) or len(secret) > _MAX_SECRET_CHARACTERS:
        raise _wrong(where, "the field secret must be the key in base64")
    try:
        decoded = base64.b64decode("".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(where, "the field secret is not base64") from None
    if len(decoded) < MIN_SECRET_BYTES:
        raise _wrong(
            where,
            f"the secret has fewer than {MIN_SECRET_BYTES} bytes: make another with tsig-keygen",
        )
    try:
        return dns.tsig.Key(dns.name.from_text(name, dns.name.root), decoded, known)
    except dns.exception.DNSException:
        raise _wrong(where, "the field name is no name of DNS") from None


def _wrong(where: str, why: str) -> Dns01Fault:
    return Dns01Fault("key", f"the TSIG key in Vault's entry {where}: {why}")
