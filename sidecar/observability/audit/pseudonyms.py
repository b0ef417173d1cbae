"""Replaces what is personal in audit lines, in the writing thread, before they are chained.

``subject`` becomes a pseudonym under the subject's own key, ``source`` one under the same key, or
under the day's where the line has no subject. As long as the key exists the same person has the
same pseudonym, in every sidecar, and who has the keys can find a person's lines. Once it is
deleted, the lines are anonymous, and the chain over them stays whole.

Without the keys (Vault was away since the start) a key of this process is used, which nobody else
ever has: those lines are anonymous at once.
"""

import base64
import hmac
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from sidecar.common.clock import Now
from sidecar.common.printable import escape_json
from sidecar.observability.audit.chain import ID_OFFSET
from sidecar.observability.audit.day_keys import DAY_SECONDS, DayKeys
from sidecar.observability.audit.key_forest import KeyForest

SUBJECT, ADDRESS = "psn_", "adr_"
"""How pseudonyms begin."""
_MAC_BYTES = 15
MAX_CACHED = 32_768
"""So many subjects and addresses are remembered at least, and twice so many at most."""
_TENANT, _SUBJECT, _SOURCE = b',"tenant":"', b',"subject":"', b',"source":"'


class PseudonymKeys(NamedTuple):
    """All keys."""

    forest: KeyForest
    days: DayKeys


def subject_pseudonym(keys: PseudonymKeys, tenant: str, subject: str) -> str:
    """Return the pseudonym of a subject."""
    key = keys.forest.key(keys.forest.position(tenant, subject))
    return SUBJECT + _mac(key, f"subject\0{tenant}\0{subject}")


def address_of_subject(keys: PseudonymKeys, tenant: str, subject: str, address: str) -> str:
    """Return the pseudonym of an address in lines of a subject."""
    return _address(keys.forest.key(keys.forest.position(tenant, subject)), address)


def address_of_day(keys: PseudonymKeys, day: int, address: str) -> str:
    """Return the pseudonym of an address in lines of a day that have no subject."""
    return _address(keys.days.key_of(day), address)


def _address(key: bytes, address: str) -> str:
    return ADDRESS + _mac(key, f"address\0{address}")


def _mac(key: bytes, message: str) -> str:
    digest = hmac.digest(key, message.encode(), "sha256")[:_MAC_BYTES]
    return base64.urlsafe_b64encode(digest).decode()


Shown = tuple[bytes, bytes]
"""What stands for a subject and for an address."""


class _Cache:
    """Pseudonyms by what they stand for, bounded: the older half is dropped at a time."""

    def __init__(self) -> None:
        self.young: dict[Shown, Shown] = {}
        self._old: dict[Shown, Shown] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def remember(self, named: Shown, make: Callable[[Shown], Shown]) -> Shown:
        """Return what stands for a subject and an address that are not among the young ones."""
        found = self._old.get(named) or make(named)
        if len(self.young) >= MAX_CACHED:
            self._old, self.young = self.young, {}
        self.young[named] = found
        return found


class _Current(NamedTuple):
    """Keys and what was computed with them; replaced whole."""

    keys: PseudonymKeys
    day: int
    cache: _Cache
    own: PseudonymKeys
    """Keys of this process alone."""

    def of(self, named: Shown) -> Shown:
        """Return the pseudonyms of the subject and the address of a line, as they stand there."""
        owner, address = named
        before, _, subject = owner.rpartition(_SUBJECT)
        tenant = before.removeprefix(_TENANT).removesuffix(b'"').decode()
        shown = self.of_subject(tenant, subject.decode()) if owner else ""
        hidden = self.of_address(tenant, subject.decode(), address.decode()) if address else ""
        return shown.encode(), hidden.encode()

    def of_subject(self, tenant: str, subject: str) -> str:
        """Return a subject's pseudonym."""
        try:
            return subject_pseudonym(self.keys, tenant, subject)
        except LookupError:  # while somebody deletes it
            return subject_pseudonym(self.own, tenant, subject)

    def of_address(self, tenant: str, subject: str, address: str) -> str:
        """Return an address's pseudonym, in a line with this subject or with none."""
        if not subject:
            return address_of_day(self.keys, self.day, address)
        try:
            return address_of_subject(self.keys, tenant, subject, address)
        except LookupError:
            return address_of_subject(self.own, tenant, subject, address)


class Pseudonymizer:
    """Rewrites lines. ``use`` may be called by another thread than ``rewrite``."""

    def __init__(self, now: Now) -> None:
        self._now = now
        day = self._day()
        own = PseudonymKeys(KeyForest.fresh(), DayKeys.fresh(day))
        self._current = _Current(own, day, _Cache(), own)
        self.has_keys = False
        """Whether the keys are those that are kept."""
        self.anonymous = 0
        """The lines that were written without them."""

    def use(self, keys: PseudonymKeys) -> None:
        """Use these keys from the next batch on, and forget what was computed with others."""
        self._current = _Current(keys, self._day(), _Cache(), self._current.own)
        self.has_keys = True

    def rewrite(self, lines: Sequence[bytes]) -> list[bytes]:
        """Return the lines with pseudonyms."""
        current = self._current
        if current.day != (day := self._day()):
            current = self._current = _Current(current.keys, day, _Cache(), current.own)
        if not self.has_keys:
            self.anonymous += len(lines)
        return [_rewrite(line, current) for line in lines]

    def _day(self) -> int:
        return int(self._now() // DAY_SECONDS)


def _rewrite(line: bytes, current: _Current) -> bytes:
    """Replace the two members where they stand. Lines of ours have each once, in this order."""
    tenant = line.find(_TENANT, ID_OFFSET)
    subject = line.find(_SUBJECT, max(tenant, 0))
    owner = b""
    start = end = 0
    if subject >= 0:
        start = subject + len(_SUBJECT)
        end = line.find(b'"', start)
        owner = line[subject if tenant < 0 else tenant : end]
    elif tenant >= 0 and _SUBJECT in line:
        return _rewrite_slowly(line, current)
    source = line.find(_SOURCE, end)
    address = b""
    begin = finish = end
    if source >= 0:
        begin = source + len(_SOURCE)
        finish = line.find(b'"', begin)
        address = line[begin:finish]
    elif not owner:
        return line
    named = owner, address
    found = current.cache.young.get(named)
    if found is None:
        # What is escaped was cut at the wrong place; it is never remembered, so found never.
        if b"\\" in owner or b"\\" in address or line.find(_SOURCE, 0, end) >= 0:
            return _rewrite_slowly(line, current)
        found = current.cache.remember(named, current.of)
    shown, hidden = found
    # Three times as fast as a format.
    return b"".join((line[:start], shown, line[end:begin], hidden, line[finish:]))


def _rewrite_slowly(line: bytes, current: _Current) -> bytes:
    """Replace the members of a line whose texts are escaped; what can't be read has neither."""
    try:
        members = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b'{"outcome":"trail","reason":"line_unreadable"}\n'
    tenant, subject = str(members.get("tenant", "")), str(members.get("subject", ""))
    address = str(members.get("source", ""))
    if address:
        members["source"] = current.of_address(tenant, subject, address)
    if subject:
        members["subject"] = current.of_subject(tenant, subject)
    return escape_json(msgspec.json.encode(members)) + b"\n"
