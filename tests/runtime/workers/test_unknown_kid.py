"""An unknown key is reported, and a flood of such tokens is no flood of reports."""

from sidecar.runtime.workers.frames import UnknownKid
from sidecar.runtime.workers.unknown_kid import UNKNOWN_KID_SECONDS, UnknownKidReports
from tests.runtime.workers.pooled import Pool, good
from tests.support.minting import Issuer


def test_the_first_is_reported_at_once_and_the_next_a_second_later() -> None:
    sent: list[tuple[float, UnknownKid]] = []
    now = 0.0
    reports = UnknownKidReports(lambda frame: sent.append((now, frame)), lambda: now)
    for now in (0.0, 0.5, 0.9 * UNKNOWN_KID_SECONDS, UNKNOWN_KID_SECONDS, 1.5, 2.0):  # noqa: B007 - the clock
        reports.report()
    assert [at for at, _ in sent] == [0.0, UNKNOWN_KID_SECONDS, 2 * UNKNOWN_KID_SECONDS]


async def test_an_unknown_kid_is_reported_and_not_for_every_token(pool: Pool) -> None:
    stranger = Issuer.generate("key-9")
    for _ in range(20):
        answer = await pool.ask(0, good(stranger))
        assert answer.metadata["reason"] == "key_unknown"
    await pool.pool.refresh_stats()
    assert 1 <= pool.unknown <= 10
