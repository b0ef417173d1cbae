"""The plain values of a panel: pages of long tables, and findings of polled sources."""

import asyncio
import logging

import pytest

from sidecar.common.errors import Fault
from sidecar.common.polling import PollStatus
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    MAX_PAGE,
    MAX_SEARCH,
    VAULT,
    Ask,
    Panel,
    PanelFinding,
    page_of,
    poll_findings,
    rank,
    worst_of,
)
from sidecar.vault.errors import VaultForbidden, VaultSealed, VaultUnreachable

LOG = logging.getLogger("test")


def asked(**query: str) -> Ask:
    return Ask(0.0, query, rows=10)


async def pages(count: int, **query: str) -> tuple[list[int], int]:
    numbers = [(number * 7919) % count for number in range(count)]
    return await page_of(
        numbers, asked(**query), key=lambda each: each, matches=lambda each, q: q in str(each)
    )


@pytest.mark.parametrize(
    ("query", "first", "rows"),
    [
        ({}, 0, 10),
        ({"page": "1"}, 0, 10),
        ({"page": "3"}, 20, 10),
        ({"page": "40"}, 390, 10),
        ({"page": "41"}, 390, 10),
        ({"page": "0"}, 0, 10),
        ({"page": "-1"}, 0, 10),
        ({"page": "x"}, 0, 10),
        ({"page": "\u0663"}, 0, 10),
        ({"page": "9" * 5000}, 0, 10),
    ],
)
async def test_a_page_of_a_long_table_in_order(
    query: dict[str, str], first: int, rows: int
) -> None:
    got, found = await pages(1999, **query)
    assert (got, found) == ([*range(first, first + rows)], 1999)


async def test_a_search_finds_and_counts_what_matches() -> None:
    got, found = await pages(2000, q="199")
    assert (got, found) == ([199, 1199, *range(1990, 1998)], 12)
    assert (await pages(2000, q="199", page="2"))[0] == [1998, 1999]
    assert (await pages(2000, q="nothing")) == ([], 0)


def test_a_search_is_bounded_and_a_page_too() -> None:
    assert len(asked(q="X" * 5000).search) == MAX_SEARCH
    assert asked(page=str(MAX_PAGE + 1)).page == MAX_PAGE


async def test_checks_are_answered_while_a_long_table_is_read() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await pages(5000)
    counting.cancel()
    assert turns >= 10


def test_the_worst_finding_is_the_panels_severity() -> None:
    found = [PanelFinding(each, str(each), "", None, "") for each in Severity]
    assert worst_of(found) is Severity.CRITICAL
    assert Panel("", tuple(found[:2])).severity is Severity.WARNING
    assert Panel("").severity is None
    assert sorted(Severity, key=rank) == [Severity.CRITICAL, Severity.WARNING, Severity.INFO]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (VaultUnreachable("no answer"), VAULT),
        (VaultSealed("sealed"), VAULT),
        (VaultForbidden("permission denied"), ""),
        (Fault("no key in it"), ""),
        (ZeroDivisionError("a secret"), ""),
    ],
)
def test_a_source_that_fails_says_why_since_when_and_what_to_do(
    fault: Exception, cause: str
) -> None:
    times = iter([100.0, 200.0, 300.0])
    status = PollStatus("keys/i", "the keys", LOG, kept="old ones verify", now=lambda: next(times))
    assert poll_findings([status], "mend it") == ()
    status.succeeded()
    assert (status.read_at, status.failing_since) == (100.0, None)
    status.failed(fault)
    status.failed(fault)
    (finding,) = poll_findings([status], "mend it")
    assert finding.wrong == f"The keys can't be read: {status.problem}. Meanwhile old ones verify."
    assert "secret" not in finding.wrong
    remedy = status.fault.remedy if status.fault is not None else ""
    assert finding[3:] == (200.0, remedy or "mend it", cause)
    assert (remedy == "") is (type(fault) is Fault)
    status.succeeded()
    assert (status.read_at, status.failing_since) == (300.0, None)
    assert poll_findings([status], "mend it") == ()
