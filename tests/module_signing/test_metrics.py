"""The metrics of the publishers."""

from sidecar.module_signing.metrics import publisher_families
from tests.module_signing.stored_entry import PublisherEntry, make_refresher
from tests.module_signing.test_publisher_entry import ONE, TWO, pem
from tests.observability.rendered import rendered


async def test_keys_age_and_outcomes() -> None:
    entry, now = PublisherEntry({"acme": pem(ONE), "globex": pem(TWO)}), [100.0]
    refresher = make_refresher(entry, clock=lambda: now[0])
    await refresher.load()
    now[0] = 107.5
    entry.data = {"withdrawn_bundles": ["rubbish"]}
    await refresher.refresh()
    samples = rendered(publisher_families(refresher, lambda: now[0]))
    assert samples == {
        ("septem_publisher_keys",): 2,
        ("septem_publisher_age_seconds",): 7.5,
        ("septem_publisher_refreshes_total", "outcome=ok"): 1,
        ("septem_publisher_refreshes_total", "outcome=PublisherFault"): 1,
    }
