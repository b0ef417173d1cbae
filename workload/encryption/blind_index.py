"""Equality search over sealed values: HMAC-SHA-256 of the normalised value, cut to a length.

What it tells whoever reads the database: which rows of one tenant and column have equal values
(and, cut short, some that have not), and how often each occurs. Without the key nobody can
try values. Keys are apart from those that seal, by purpose, and differ by tenant and column.
"""

import hmac
import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from workload.encryption.errors import FieldInputFault
from workload.encryption.places import FieldColumn, KeyPurpose
from workload.encryption.scope_keys import ScopeKeys
from workload.encryption.sealed import MAX_VALUE_BYTES

MIN_TOKEN_BYTES, MAX_TOKEN_BYTES = 2, 32
_PHONE = re.compile(r"\+?[0-9]{3,32}", re.ASCII)
_PHONE_MARKS = str.maketrans("", "", " -./()\u00a0\u2010\u2011\u2012\u2013")
Normalise = Callable[[str], str]


def exact(text: str) -> str:
    """Return the text as it is."""
    return text


def caseless(text: str) -> str:
    """Return a text without case, compatibility forms and space at its ends, for names and e-mail.

    NFKC, case folding, NFKC again, as Unicode's section 3.13 has it for caseless matching.
    Dots and ``+tags`` in an e-mail address stay: what they mean is its server's affair.
    """
    folded = unicodedata.normalize("NFKC", text).strip().casefold()
    return unicodedata.normalize("NFKC", folded)


def phone(text: str) -> str:
    """Return a phone number without its marks; international, ``00`` is ``+`` (E.164)."""
    number = unicodedata.normalize("NFKC", text).strip().translate(_PHONE_MARKS)
    number = f"+{number[2:]}" if number.startswith("00") else number
    if not _PHONE.fullmatch(number):
        raise FieldInputFault("the value is no phone number")
    return number


def ip_address(text: str) -> str:
    """Return an IP address as it is written canonically; IPv4 in IPv6 as IPv4."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise FieldInputFault("the value is no IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


@dataclass(frozen=True, slots=True)
class BlindIndex:
    """The index of one column.

    ``token_bytes`` cuts the HMAC: fewer bytes make values share a token, which hides what is
    rare and gives each search rows that it has to open and drop. Changing the length or the
    normalisation needs the index written again.
    """

    column: FieldColumn
    normalise: Normalise = exact
    token_bytes: int = 16

    def __post_init__(self) -> None:
        if not MIN_TOKEN_BYTES <= self.token_bytes <= MAX_TOKEN_BYTES:
            raise FieldInputFault(
                f"token_bytes must be from {MIN_TOKEN_BYTES} to {MAX_TOKEN_BYTES}"
            )

    def token(self, keys: ScopeKeys, value: str) -> bytes:
        """Return what to store beside the sealed value, under the key that writes."""
        return self.tokens(keys, value)[0]

    def tokens(self, keys: ScopeKeys, value: str) -> list[bytes]:
        """Return what to search for, one for each live key: ``WHERE index IN (…)``.

        Open what was found and compare it: a short token, or a row that somebody wrote, may be
        another value's.
        """
        if keys.scope.purpose is not KeyPurpose.INDEX:
            raise FieldInputFault("a blind index takes keys of scope.for_index(), and no others")
        try:
            text = self.normalise(value).encode()
        except (AttributeError, TypeError, UnicodeEncodeError):
            raise FieldInputFault("the value is no text that UTF-8 can hold") from None
        if len(text) > MAX_VALUE_BYTES:
            raise FieldInputFault(f"a value has {MAX_VALUE_BYTES} bytes at most")
        place = self.column.encoded
        return [
            hmac.digest(key.index_key(place), text, "sha256")[: self.token_bytes]
            for key in keys.live_keys()
        ]
