"""An unknown key is reported, and a flood of such tokens is no flood of reports."""

from sidecar.runtime.workers.frames import UnknownKid
from sidecar.runtime.workers.unknown_kid import UNKNOWN_KID_SECONDS, UnknownKidReports
from tests.runtime.workers.pooled import Pool, good
from tests.support.minting import Issuer


def test_the_first_is_reported_at_once_and_the_next_a_second_later() -> None:
    sent: list[UnknownKid] = []
    times = [0.0, 0.5, 0.9, 1.0, 1.5, 2.0]
    left = iter(times)
    reports = UnknownKidReports(sent.append, lambda: UNKNOWN_KID_SECONDS * next(left))
    counts = []
    for _ in times:
        reports.report()
        counts.append(len(sent))
    assert counts == [1, 1, 1, 2, 2, 3]


async def test_an_unknown_kid_is_reported_and_not_for_every_token(pool: Pool) -> None:
    stranger = Issuer.generate("key-9")
    for _ in range(20):
        answer = await pool.ask(0, good(stranger))
        assert answer.metadata["reason"] == "key_unknown"
    await pool.pool.refresh_stats()
    assert 1 <= pool.unknown <= 10
