"""Whether all authoritative servers of a zone show a value. Pure.

A CA asks whichever server it likes. So every server that answers for the zone must show the
value. One that is silent or does not answer for the zone (a lame delegation) is passed over by
the CA's resolver; so it is waited for, but not for ever.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

GRACE_SECONDS = 10.0
"""How long a server that does not answer is waited for when all the others show the value."""


class ServerAnswer(StrEnum):
    """What a server says of a value."""

    SHOWS = "shows it"
    LACKS = "does not show it"
    LAME = "does not answer for the zone"
    SILENT = "does not answer"
    NO_ROUTE = "can't be reached from here"
    """There is no route to its address at all: IPv6 on a host without it."""


class NameServer(NamedTuple):
    """One address of an authoritative server; ``name`` is that of its NS record."""

    name: str
    address: str

    def __str__(self) -> str:
        """Return it as a message shows it."""
        return f"{self.name} ({self.address})"


class Sighting(NamedTuple):
    """The answer of one server, and its words: a code, the kind of an error."""

    answer: ServerAnswer
    detail: str = ""

    def __str__(self) -> str:
        """Return it as a message shows it."""
        return f"{self.answer} ({self.detail})" if self.detail else str(self.answer)


Seen = Mapping[NameServer, Sighting]


class PropagationVerdict(StrEnum):
    """What to do next."""

    READY = "ready"
    READY_WITHOUT_SOME = "ready without some"
    WAIT = "wait"
    FAIL = "fail"


def judge(seen: Seen, waited_seconds: float, bound_seconds: float) -> PropagationVerdict:
    """Judge the newest answer of every server, after a wait."""
    answers = [each.answer for each in seen.values()]
    is_over = waited_seconds >= bound_seconds
    if ServerAnswer.LACKS in answers or ServerAnswer.SHOWS not in answers:
        return PropagationVerdict.FAIL if is_over else PropagationVerdict.WAIT
    if all(answer in {ServerAnswer.SHOWS, ServerAnswer.NO_ROUTE} for answer in answers):
        return PropagationVerdict.READY
    if is_over or waited_seconds >= GRACE_SECONDS:
        return PropagationVerdict.READY_WITHOUT_SOME
    return PropagationVerdict.WAIT


def without(seen: Seen) -> str:
    """Return the servers that do not show the value, and why, for a message."""
    return "; ".join(
        f"{server} {sighting}"
        for server, sighting in seen.items()
        if sighting.answer is not ServerAnswer.SHOWS
    )
