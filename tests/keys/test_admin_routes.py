"""What ``GET /keys`` shows."""

import asyncio
import json

from sidecar.config import model
from sidecar.keys.admin_routes import key_routes
from sidecar.keys.key_set import SkippedKey, SkipReason
from sidecar.keys.refresher import KeyRefresher
from sidecar.keys.rotation import Statement
from sidecar.transport.http1_messages import Request, Response
from tests.keys.test_metrics import Source
from tests.support.minting import Issuer


class Skipping(Source):
    """A source that lists a key that can't be used."""

    async def fetch(self) -> Statement:
        statement = await super().fetch()
        return statement._replace(skipped=(SkippedKey("odd", SkipReason.UNUSABLE, "it is odd"),))


async def test_every_source_is_shown_with_its_keys_and_what_is_wrong() -> None:
    one, two = Issuer.generate("a", name="one"), Issuer.generate("a", name="two")
    sources = [Skipping("one", one.key), Source("two", two.key)]
    now = [1000.0]
    refresher = KeyRefresher(
        sources,
        model.Keys(),
        token_seconds={each.issuer: 930 for each in sources},
        clock=lambda: now[0],
        now=lambda: now[0],
        jitter=lambda: 0.0,
        publish=lambda _view: None,
        on_state=lambda _before, _after, _why: None,
    )
    await refresher.load()
    sources[1].fails = True
    now[0] += 5
    await refresher.refresh()
    response = key_routes(refresher, lambda: now[0] + 2)["GET", "/keys"](
        Request("GET", "/keys", "", b"")
    )
    if asyncio.iscoroutine(response):
        response = await response
    assert isinstance(response, Response)
    key = {"kid": "a", "algorithm": "ES256"}
    assert json.loads(response.body) == {
        "state": "outage",
        "sources": [
            {
                "issuer": "one", "source": "one", "state": "active", "age_seconds": 2.0,
                "problem": "", "keys": [key],
                "skipped": [{"key": "odd", "reason": "unusable", "why": "it is odd"}],
            },
            {
                "issuer": "two", "source": "two", "state": "outage", "age_seconds": 7.0,
                "problem": "no answer", "keys": [key], "skipped": [],
            },
        ],
    }  # fmt: skip
