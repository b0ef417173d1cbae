"""Personal data in a token's claims (SECURITY-MODEL §3: prohibited).

A JWT is readable by whoever holds it, and it is logged, cached and stored in places
nobody thinks of. So an e-mail address, a telephone number or an IP address does not
belong into one. They are found by the claim's name, which is sure, and by the look of
its value, which is a guess: the two can be treated differently.

A finding names the claim and never its value.
"""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, NamedTuple

_NAMES = {
    "email": {"email", "emailaddress", "mail", "useremail", "preferredemail"},
    "phone": {
        "phone", "phonenumber", "mobile", "mobilephone", "msisdn", "telephone",
        "telephonenumber", "cellphone",
    },
    "ip": {"ip", "ipaddr", "ipaddress", "clientip", "remoteip", "remoteaddr", "sourceip"},
}  # fmt: skip
_KIND_OF_NAME = {name: kind for kind, names in _NAMES.items() for name in names}
_SEPARATORS = re.compile(r"[^a-z0-9]")
_EMAIL = re.compile(r"[^\s@,;<>]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_PHONE = re.compile(r"(?:tel:)?\+[1-9](?:[ ().-]?[0-9]){6,14}")
_MAX_NUMBER_LENGTH = 64


class PiiAction(StrEnum):
    """What a finding does."""

    DENY = "deny"
    WARN = "warn"
    OFF = "off"


class Finding(NamedTuple):
    """A claim that holds what it must not: ``address.email``, ``email``, by ``name``."""

    claim: str
    kind: str
    by: str

    def __str__(self) -> str:
        """Say it without the value."""
        return f"claim {self.claim!r} holds {self.kind} (by its {self.by})"


def find_pii(payload: Mapping[str, Any]) -> Iterator[Finding]:
    """Walk all claims, nested ones too. Depth and size were bounded when they were parsed."""
    yield from _walk(payload, "")


def _walk(value: Any, path: str) -> Iterator[Finding]:
    if isinstance(value, dict):
        for name, inner in value.items():
            where = f"{path}.{name}" if path else name
            kind = _KIND_OF_NAME.get(_SEPARATORS.sub("", name.lower()))
            # `email_verified: true` and an empty value say nothing of anybody.
            if kind is not None and isinstance(inner, str | int | list) and _says_something(inner):
                yield Finding(where, kind, "name")
            else:
                yield from _walk(inner, where)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, path)
    elif isinstance(value, str) and (kind := _kind_of_value(value)) is not None:
        yield Finding(path, kind, "value")


def _says_something(value: str | int | list[Any]) -> bool:
    return bool(value) and not isinstance(value, bool)


def _kind_of_value(value: str) -> str | None:
    stripped = value.strip()
    if _EMAIL.fullmatch(stripped.removeprefix("mailto:")):
        return "email"
    if len(stripped) > _MAX_NUMBER_LENGTH:
        return None
    if _PHONE.fullmatch(stripped):
        return "phone"
    try:
        ip_address(stripped.partition("/")[0].strip("[]"))
    except ValueError:
        return None
    return "ip"
