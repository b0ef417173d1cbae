"""Names as clients spell them, and their normal form. Pure.

A client's SNI arrives unchanged: in any case, with a dot at the end, in Unicode. Envoy asks
for each spelling separately; certificates, registries and budgets use the normal form. The
rules are stricter than DNS, as those of public CAs are: host names of letters, digits and
hyphens, no address, no single label (RFC 6066 §3, RFC 5890, UTS #46 without transitional
mappings, CA/B Baseline Requirements §3.2.2.4).
"""

import ipaddress
import re

import idna

from sidecar.common.errors import Fault

MAX_NAME_BYTES = 253
"""RFC 1035 §2.3.4, without the length octets and the root."""
MAX_ASKED_CHARACTERS = 255
MIN_LABELS = 2
"""A host, and the domain that it is in."""
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_RESERVED = re.compile(r"(?:^|\.)[a-z0-9]{2}--")
"""Labels with hyphens in third and fourth place: A-labels, or nothing (RFC 5891 §4.2.3.1)."""
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


class NameRefused(Fault):
    """No certificate is served for this name; ``reason`` is a label of the metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def canonical_name(asked: str, max_labels: int) -> str:
    """Return the normal form: lower case, A-labels, no dot at the end.

    Raises ``NameRefused``: ``name_malformed``, ``name_is_address``, ``name_too_deep`` (more
    than ``max_labels``), ``name_too_shallow`` (fewer than two).
    """
    if not 0 < len(asked) <= MAX_ASKED_CHARACTERS:
        raise NameRefused("name_malformed")
    if ":" in asked and _is_address(asked):
        raise NameRefused("name_is_address")
    name = asked.lower() if asked.isascii() else asked
    name = name.removesuffix(".")
    if not name.isascii() or _RESERVED.search(name):
        name = _to_ascii(name)
    if len(name) > MAX_NAME_BYTES or not _HOST_NAME.fullmatch(name):
        raise NameRefused("name_malformed")
    labels = name.split(".")
    if labels[-1][0].isdigit() and _NUMBER.fullmatch(labels[-1]):
        # Some resolvers and browsers read 127.1 or 0x7f000001 as addresses (WHATWG URL §3.5).
        raise NameRefused("name_is_address")
    if len(labels) > max_labels:
        raise NameRefused("name_too_deep")
    if len(labels) < MIN_LABELS:
        raise NameRefused("name_too_shallow")
    return name


def canonical_pattern(written: str, max_labels: int) -> str:
    """Return the normal form of a name or of ``*.`` and a name. Raises ``NameRefused``."""
    if written.startswith("*."):
        return f"*.{canonical_name(written[2:], max_labels)}"
    return canonical_name(written, max_labels)


def parents_of(name: str) -> list[str]:
    """Return the names above a name, nearest first, down to two labels."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(1, len(labels) - 1)]


def _to_ascii(name: str) -> str:
    try:
        mapped = idna.uts46_remap(name, std3_rules=True, transitional=False)
        return idna.encode(mapped).decode("ascii").removesuffix(".")
    except (idna.IDNAError, UnicodeError, ValueError):
        raise NameRefused("name_malformed") from None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]").removesuffix("."))
    except ValueError:
        return False
    return True
