"""Personal data in a token's claims (SECURITY-MODEL §3: prohibited).

A JWT is readable by everyone who holds it, and it is logged, cached and stored in many places.
So an e-mail address, a telephone number or an IP address must not be in it. They are found by
the claim's name, which is certain, and by the form of its value, which is a heuristic: the two
can be treated differently.

A finding names the claim and never its value.
"""

import re
from collections.abc import Iterable, Mapping
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
_SETTLED = frozenset({"iss", "aud", "exp", "nbf", "iat"})
_SEPARATORS = re.compile(r"[^a-z0-9]")
_EMAIL = re.compile(r"[^\s@,;<>]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_PHONE = re.compile(r"(?:tel:)?\+[1-9](?:[ ().-]?[0-9]){6,14}")
_LIKE_AN_ADDRESS = re.compile(r"\[?[0-9A-Fa-f:.]*[.:][0-9A-Fa-f:.]*(?:%\w+)?\]?(?:/[0-9.]+)?")
_DESCRIPTION = re.compile(
    r"claim (?:'([^'\\]+)'|\"([^\"\\]+)\") holds ([a-z]+) \(by its (name|value)\)"
)
_MAX_NUMBER_LENGTH = 64
_DOTS, _COLONS = 3, 2
"""An IPv4 address has three dots, an IPv6 address two colons at least."""


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

    @classmethod
    def parse(cls, text: str) -> "PiiFinding | None":
        """Return the finding of a description; ``None`` for another text, or one cut."""
        found = _DESCRIPTION.fullmatch(text)
        return None if found is None else cls(found[1] or found[2], found[3], found[4])


def find_pii(payload: Mapping[str, Any], allowed: frozenset[str] = frozenset()) -> list[PiiFinding]:
    """Return the personal data in all claims, nested ones too, but those ``allowed`` by path.

    Depth and size were bounded when the payload was parsed. The claims whose form the verifier
    has checked (times, issuer, audience) are skipped.
    """
    found: list[PiiFinding] = []
    _inspect_members(payload, "", found)
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
    return judge_findings(find_pii(payload, allowed), by_name, by_value)


def judge_findings(
    findings: Iterable[PiiFinding], by_name: PiiAction, by_value: PiiAction
) -> tuple[str, ...]:
    """Return a warning for each finding that is allowed; raise ``Denied`` for one that is not."""
    warnings = []
    for finding in findings:
        match by_name if finding.by == "name" else by_value:
            case PiiAction.DENY:
                raise Denied(Reason.PII_IN_TOKEN, str(finding))
            case PiiAction.WARN:
                warnings.append(str(finding))
    return tuple(warnings)


def _inspect_members(members: Mapping[str, Any], above: str, found: list[PiiFinding]) -> None:
    """Look at the members of an object; ``above`` is the path to it, with a dot at its end."""
    watched = _watched(tuple(members), not above)
    for name, value in members.items():
        kind = watched.get(name)
        # `email_verified: true` and an empty value are not personal data.
        if kind is None:
            _inspect_value(value, above, name, found)
        elif kind and isinstance(value, str | int | list) and _says_something(value):
            found.append(PiiFinding(above + name, kind, "name"))
        elif kind:
            _inspect_value(value, above, name, found)


def _inspect_value(value: Any, above: str, name: str, found: list[PiiFinding]) -> None:
    if type(value) is str:
        if "." in value or ":" in value or "@" in value or "+" in value:
            kind = _kind_of_value(value)
            if kind is not None:
                found.append(PiiFinding(above + name, kind, "value"))
    elif type(value) is list:
        for inner in value:
            _inspect_value(inner, above, name, found)
    elif type(value) is dict:
        _inspect_members(value, f"{above}{name}.", found)


@lru_cache(maxsize=1024)
def _watched(names: tuple[str, ...], is_top: bool) -> Mapping[str, str]:
    """Return the kinds of data by names; the empty one for a claim that is not looked at.

    An issuer's tokens have the same claims, so few tuples of names are asked for.
    """
    kinds = {name: kind for name in names if (kind := _kind_of_name(name)) is not None}
    settled = dict.fromkeys(_SETTLED.intersection(names), "") if is_top else {}
    return kinds | settled


@lru_cache(maxsize=1024)
def _kind_of_name(name: str) -> str | None:
    """Return the kind of data in a claim of this name; cached, as issuers use few names."""
    return _KIND_OF_NAME.get(_SEPARATORS.sub("", name.lower()))


def _says_something(value: str | int | list[Any]) -> bool:
    return bool(value) and not isinstance(value, bool)


def _kind_of_value(value: str) -> str | None:
    """Return the kind of personal data that a text looks like, or ``None``.

    Nothing looks like it without a dot, a colon, ``@`` or ``+``; the caller has looked for them.
    """
    stripped = value.strip()
    if "@" in stripped:
        return "email" if _EMAIL.fullmatch(stripped.removeprefix("mailto:")) else None
    if len(stripped) > _MAX_NUMBER_LENGTH:
        return None
    if stripped.startswith(("+", "tel:")):
        return "phone" if _PHONE.fullmatch(stripped) else None
    return "ip" if _is_address(stripped) else None


def _is_address(text: str) -> bool:
    """Return whether this is an IP address; "2.0", a version, is seen to be none at once."""
    may_be = text.count(".") >= _DOTS or text.count(":") >= _COLONS
    if not may_be or not _LIKE_AN_ADDRESS.fullmatch(text):
        return False
    try:
        ip_address(text.partition("/")[0].strip("[]"))
    except ValueError:
        return False
    return True
