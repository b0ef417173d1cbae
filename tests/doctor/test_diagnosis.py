"""One thing that is looked at ends as ok, failed or skipped, whatever is raised."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sidecar.common.errors import Fault
from sidecar.doctor.diagnosis import CheckOutcome, Diagnosis, NotWell, Skip, diagnose

RAISED: dict[str, tuple[Exception, CheckOutcome, str]] = {
    "what can't be looked at": (Skip("no Vault"), CheckOutcome.SKIPPED, "no Vault"),
    "what is not well": (NotWell("it is not", "Mend it."), CheckOutcome.FAILED, "it is not"),
    "a fault without a remedy": (Fault("broken"), CheckOutcome.FAILED, "broken"),
    "what the system says": (
        OSError(2, "No such file", "/f"),
        CheckOutcome.FAILED,
        "/f: No such file",
    ),
}


def raising(exc: Exception) -> Callable[[], Awaitable[str]]:
    async def look() -> str:
        raise exc

    return look


@pytest.mark.parametrize(("exc", "outcome", "detail"), RAISED.values(), ids=RAISED)
async def test_whatever_is_raised(exc: Exception, outcome: CheckOutcome, detail: str) -> None:
    found = await diagnose("it", raising(exc))
    assert found[:3] == ("it", outcome, detail)
    assert bool(found.next_step) is (outcome is CheckOutcome.FAILED)


async def test_a_defect_of_ours_is_told_without_its_text() -> None:
    found = await diagnose("it", raising(ValueError("hvs.secret")))
    assert found.outcome is CheckOutcome.FAILED
    assert "secret" not in str(found)


async def test_one_that_hangs_ends() -> None:
    async def look() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    found = await diagnose("it", look, 0.01)
    assert (found.outcome, found.detail) == (CheckOutcome.FAILED, "no answer within 0.01 s")
    assert found.next_step


async def test_what_is_well_is_said() -> None:
    async def look() -> str:
        return "it is"

    assert await diagnose("it", look) == Diagnosis("it", CheckOutcome.OK, "it is")
