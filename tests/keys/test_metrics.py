"""What the pollers of keys and revocations show."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric

from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.metrics import key_families, revocation_families
from sidecar.keys.refresher import KeyRefresher
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.keys.rotation import Statement
from sidecar.tokens.keyring import VerificationKey
from sidecar.tokens.revocation import RevocationPart, compile_entry
from sidecar.tokens.revocation_entry import RevocationEntry
from tests.support.minting import Issuer


class Source:
    """A source of keys, and of revocations, that fails when a test says so."""

    def __init__(self, name: str, *keys: VerificationKey) -> None:
        self.name = self.issuer = name
        self.keys = keys
        self.fails = False

    def _look(self) -> None:
        if self.fails:
            raise Fault("no answer")

    async def fetch(self) -> Statement:
        self._look()
        return Statement(self.keys)

    def parts(self) -> Iterable[RevocationPart]:
        return compile_entry(RevocationEntry(("k1", "k2")), 0.0, 930.0)

    async def poll(self, changed: Callable[[], None]) -> None:
        self._look()
        changed()


def samples(families: Iterator[Metric]) -> dict[str, float]:
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_keys() -> None:
    one, two = Issuer.generate("a", name="one"), Issuer.generate("b", name="two")
    both = (two.key, Issuer.generate("c", name="two").key)
    now = [1000.0]
    sources = [Source("one", one.key), Source("two", *both)]
    refresher = KeyRefresher(
        sources,
        model.Keys(),
        token_seconds={each.issuer: 930 for each in sources},
        clock=lambda: now[0],
        now=lambda: now[0],
        jitter=lambda: 0.0,
        publish=lambda _view: None,
        on_state=lambda *_change: None,
    )
    before = samples(key_families(refresher, lambda: now[0]))
    assert before["septem_key_state init"] == 1
    await refresher.load()
    sources[1].fails = True
    now[0] += 7
    await refresher.refresh()
    shown = samples(key_families(refresher, lambda: now[0] + 1))
    states = {state: shown[f"septem_key_state {state}"] for state in KeyState}
    assert states == {state: float(state is KeyState.OUTAGE) for state in KeyState}
    shown = {name: value for name, value in shown.items() if "septem_key_state" not in name}
    reasons = ("other_use", "unusable", "private", "twin_kid")
    assert shown == {
        **{f"septem_keys_skipped {source} {r}": 0 for source in ("one", "two") for r in reasons},
        "septem_key_age_seconds one": 1,
        "septem_key_age_seconds two": 8,
        "septem_key_refreshes_total one ok": 2,
        "septem_key_refreshes_total two ok": 1,
        "septem_key_refreshes_total two Fault": 1,
        "septem_keys one": 1,
        "septem_keys two": 2,
    }


async def test_revocations() -> None:
    source, now = Source("the list"), [1000.0]
    poller = RevocationPoller(
        source,
        poll_seconds=10,
        max_age_seconds=3600,
        clock=lambda: now[0],
        jitter=lambda: 0.0,
        publish=lambda *_published: None,
        on_state=lambda *_change: None,
    )
    await poller.load()
    source.fails = True
    now[0] += 7
    await poller.refresh()
    shown = samples(revocation_families(poller, lambda: now[0]))
    states = {state: shown.pop(f"septem_revocation_state {state}") for state in KeyState}
    assert states == {state: float(state is KeyState.OUTAGE) for state in KeyState}
    assert shown == {
        "septem_revocation_age_seconds": 7,
        "septem_revocation_refreshes_total ok": 1,
        "septem_revocation_refreshes_total Fault": 1,
        "septem_revocations": 2,
    }
