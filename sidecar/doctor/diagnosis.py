"""One thing that is looked at: what was found, and what to do next."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

from sidecar.common.errors import Fault
from sidecar.common.polling import describe

CHECK_SECONDS = 15.0
"""How long one thing may take to be looked at."""
_UNKNOWN_STEP = "Mend what the message names, and run `sidecar doctor` again."


class CheckOutcome(StrEnum):
    """How one thing is."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


class Diagnosis(NamedTuple):
    """What was found of one thing; ``next_step`` is a sentence, where it failed."""

    name: str
    outcome: CheckOutcome
    detail: str
    next_step: str = ""


class Skip(Exception):
    """Raised by what can't be looked at, with why; that is no failure."""


class NotWell(Fault):
    """Raised by what is not well, with what to do."""

    def __init__(self, detail: str, next_step: str) -> None:
        super().__init__(detail)
        self.remedy = next_step


Look = Callable[[], Awaitable[str]]
"""Looks at one thing and returns what is so; raises ``Fault``, ``OSError`` or ``Skip``."""


async def diagnose(name: str, look: Look, seconds: float = CHECK_SECONDS) -> Diagnosis:
    """Look at one thing, whatever comes of it; the others are looked at all the same."""
    try:
        async with asyncio.timeout(seconds):
            return Diagnosis(name, CheckOutcome.OK, await look())
    except Skip as why:
        return Diagnosis(name, CheckOutcome.SKIPPED, str(why))
    except Fault as fault:
        return Diagnosis(name, CheckOutcome.FAILED, str(fault), fault.remedy or _UNKNOWN_STEP)
    except TimeoutError:
        words = f"no answer within {seconds:g} s"
        return Diagnosis(
            name, CheckOutcome.FAILED, words, "Look why it hangs: its host, the network."
        )
    except Exception as exc:  # noqa: BLE001 - one check's edge: its defect is not the others'
        return Diagnosis(name, CheckOutcome.FAILED, describe(exc), _UNKNOWN_STEP)
