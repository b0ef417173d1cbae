"""Personal data in a token's claims (SECURITY-MODEL §3: prohibited).

A JWT is readable by everyone who holds it, and it is logged, cached and stored in many places.
So an e-mail address, a telephone number or an IP address must not be in it. They are found by
the claim's name, which is certain, and by the form of its value, which is a heuristic: the two
can be treated differently.

A finding names the claim and never its value.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason

_NAMES = {
    "email": {"email", "emailaddress", "mail", "useremail", "preferredemail"},
    "phone": {
        "phone", "phonenumber", "mobile", "mobilephone", "msisdn", "telephone",
        "telephonenumber", "cellphone",
    },
    "ip": {"ip", "ipaddr", "ipaddress", "clientip", "remoteip", "remoteaddr", "sourceip"},
}  # fmt: skip
_KIND_OF_NAME = {name: kind for kind, names in _NAMES.items() for name in names}
_SETTLED = frozenset({"iss", "aud", "exp", "nbf", "iat", "tenantId"})
_SEPARATORS = re.compile(r"[^a-z0-9]")
_EMAIL = re.compile(r"[^\s@,;<>]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_PHONE = re.compile(r"(?:tel:)?\+[1-9](?:[ ().-]?[0-9]){6,14}")
_LIKE_AN_ADDRESS = re.compile(r"\[?[0-9A-Fa-f:.]*[.:][0-9A-Fa-f:.]*(?:%\w+)?\]?(?:/[0-9.]+)?")
_MAX_NUMBER_LENGTH = 64


class PiiAction(StrEnum):
    """What happens when personal data is found."""

    DENY = "deny"
    WARN = "warn"
    OFF = "off"


class PiiFinding(NamedTuple):
    """Personal data in a claim: ``address.email``, ``email``, found by its ``name``."""

    claim: str
    kind: str
    by: str

    def __str__(self) -> str:
        """Describe the finding without the value."""
        return f"claim {self.claim!r} holds {self.kind} (by its {self.by})"


def find_pii(payload: Mapping[str, Any], allowed: frozenset[str] = frozenset()) -> list[PiiFinding]:
    """Return the personal data in all claims, nested ones too, but those ``allowed`` by path.

    Depth and size were bounded when the payload was parsed. The claims whose form the verifier
    has checked (times, issuer, audience, tenant) are skipped.
    """
    found: list[PiiFinding] = []
    for name, value in payload.items():
        if name not in _SETTLED:
            _inspect_claim(name, value, name, found)
    if allowed and found:
        return [finding for finding in found if finding.claim not in allowed]
    return found


def check_pii(
    payload: Mapping[str, Any],
    by_name: PiiAction,
    by_value: PiiAction,
    allowed: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """Return a warning for each finding that is allowed; raise ``Denied`` for one that is not."""
    if by_name is PiiAction.OFF and by_value is PiiAction.OFF:
        return ()
    warnings = []
    for finding in find_pii(payload, allowed):
        match by_name if finding.by == "name" else by_value:
            case PiiAction.DENY:
                raise Denied(Reason.PII_IN_TOKEN, str(finding))
            case PiiAction.WARN:
                warnings.append(str(finding))
    return tuple(warnings)


def _inspect_claim(name: str, value: Any, path: str, found: list[PiiFinding]) -> None:
    kind = _kind_of_name(name)
    # `email_verified: true` and an empty value are not personal data.
    if kind is not None and isinstance(value, str | int | list) and _says_something(value):
        found.append(PiiFinding(path, kind, "name"))
    else:
        _inspect_value(value, path, found)


def _inspect_value(value: Any, path: str, found: list[PiiFinding]) -> None:
    if isinstance(value, str):
        kind = _kind_of_value(value)
        if kind is not None:
            found.append(PiiFinding(path, kind, "value"))
    elif isinstance(value, list):
        for inner in value:
            _inspect_value(inner, path, found)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _inspect_claim(name, inner, f"{path}.{name}", found)


@lru_cache(maxsize=1024)
def _kind_of_name(name: str) -> str | None:
    """Return the kind of data in a claim of this name; cached, as issuers use few names."""
    return _KIND_OF_NAME.get(_SEPARATORS.sub("", name.lower()))


def _says_something(value: str | int | list[Any]) -> bool:
    return bool(value) and not isinstance(value, bool)


def _kind_of_value(value: str) -> str | None:
    """Return the kind of personal data that a text looks like, or ``None``."""
    stripped = value.strip()
    if "@" in stripped:
        return "email" if _EMAIL.fullmatch(stripped.removeprefix("mailto:")) else None
    if len(stripped) > _MAX_NUMBER_LENGTH:
        return None
    if stripped.startswith(("+", "tel:")):
        return "phone" if _PHONE.fullmatch(stripped) else None
    if not _LIKE_AN_ADDRESS.fullmatch(stripped):
        return None
    try:
        ip_address(stripped.partition("/")[0].strip("[]"))
    except ValueError:
        return None
    return "ip"
