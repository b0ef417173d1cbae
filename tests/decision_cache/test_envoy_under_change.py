"""Envoy with two worker threads and its listeners by LDS, changed, restarted and killed under load.

One real sidecar through all of it. Whatever happens to Envoy: no request is answered otherwise
than it should be, and each allowed one has one whole line in the audit log.
"""

import copy
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from signal import SIGKILL
from typing import Any, Self

import pytest

from demo.envoyproxy import Envoy, build_module
from demo.process import fetch_text
from tests.decision_cache.cached_edge import Ask, CachedEdge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
WORKERS = 2
CLIENTS = 4
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
DRAINING = "listener_manager.total_filter_chains_draining"
MODULE = "septem.decision_cache"
_SHORT = ("--drain-time-s", "1", "--parent-shutdown-time-s", "2")


class ChangingEdge(CachedEdge):
    """A cached edge whose Envoy has its listeners from a file, and can be restarted hot."""

    def __init__(self) -> None:
        super().__init__()
        self._version = 0

    def start_envoy(self) -> None:
        """Start an Envoy that is nobody's successor."""
        base = self.folder / "base-id"
        self._start_another(("--use-dynamic-base-id", "--base-id-path", str(base)))

    def restart_hot(self) -> None:
        """Start another that takes over from the one that runs, and wait for that one's end."""
        before = self.envoy.process
        base = (self.folder / "base-id").read_text().strip()
        self._start_another(("--base-id", base, "--restart-epoch", "1"))
        assert before.wait(30) == 0

    def _start_another(self, identity: tuple[str, ...]) -> None:
        config = self._envoy_config()
        static = config["static_resources"]
        self._listeners = static.pop("listeners")
        source = {"path_config_source": {"path": str(self.folder / "lds.json")}}
        config["dynamic_resources"] = {"lds_config": {**source, "resource_api_version": "V3"}}
        config.setdefault("node", {"id": "edge", "cluster": "edge"})
        self.publish()
        self.envoy = Envoy(
            config, self.folder, build_module(), concurrency=WORKERS, options=(*identity, *_SHORT)
        )
        self._exits.callback(self.envoy.stop)

    def publish(self, change: Any = None) -> None:
        """Write the listeners anew, as another version."""
        self._version += 1
        listeners = copy.deepcopy(self._listeners)
        for each in listeners:
            each["@type"] = LISTENER
            manager = each["filter_chains"][0]["filters"][0]["typed_config"]
            manager["stat_prefix"] = f"version_{self._version}"
            if change is not None and each["name"] == "https":
                change(manager)
        fresh = self.folder / "lds.new"
        fresh.write_text(json.dumps({"version_info": str(self._version), "resources": listeners}))
        fresh.rename(self.folder / "lds.json")

    def stat(self, name: str) -> int:
        """Read one of Envoy's counters."""
        text = fetch_text(self.ports.admin, f"/stats?filter=^{name}$")
        return int(text.rpartition(" ")[2] or 0)

    def leases(self) -> Counter[int]:
        """Count the leases by the process that holds them."""
        shown = json.loads(fetch_text(self.admin_port, "/decision-cache"))
        return Counter(lease["pid"] for lease in shown["leases"])

    def lines(self, subject: str) -> int:
        """Count the decisions of a subject; each has an id of its own."""
        ids = [each["decision_id"] for each in self.audited() if each.get("subject") == subject]
        assert len(set(ids)) == len(ids)
        return len(ids)

    def hold_all_leases(self) -> None:
        """Wait until both worker threads of this Envoy have a lease, and nobody else has one."""

        def held() -> bool:
            self.send(Ask(), self.mint())
            return self.leases() == {self.envoy.process.pid: WORKERS}

        wait_until(held, explain=self.leases)
        self.hold_lease()

    def tell_envoy(self, path: str) -> None:
        """Give Envoy an order."""
        connection = HTTPConnection("127.0.0.1", self.ports.admin, timeout=20)
        connection.request("POST", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"OK\n")
        connection.close()


class Traffic:
    """Clients that each send requests of one subject, one after another, until this ends."""

    def __init__(self, edge: ChangingEdge, subject: str, clients: int = CLIENTS) -> None:
        self.subject = subject
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        """Connections that ended before an answer."""
        self._edge = edge
        self._token = edge.mint(sub=subject, jti=subject)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        self.flow()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join()

    def flow(self, count: int = 60) -> None:
        """Wait for so many more that are allowed."""
        enough = self.statuses[200] + count
        wait_until(lambda: self.statuses[200] >= enough, explain=lambda: self.statuses)

    def _run(self) -> None:
        edge = self._edge
        connection = HTTPSConnection(
            "localhost", edge.ports.https, timeout=20, context=edge.context
        )
        while not self._over.is_set():
            try:
                headers = {"authorization": f"Bearer {self._token}"}
                connection.request("GET", "/api/x", headers=headers)
                with connection.getresponse() as answer:
                    answer.read()
            except (OSError, HTTPException):
                connection.close()
                with self._lock:
                    self.broken += 1
                time.sleep(0.01)
            else:
                with self._lock:
                    self.statuses[answer.status] += 1
        connection.close()


@pytest.fixture(scope="module")
def edge() -> Iterator[ChangingEdge]:
    with ChangingEdge() as running:
        yield running


@pytest.fixture
def leased(edge: ChangingEdge) -> ChangingEdge:
    edge.hold_all_leases()
    return edge


def has_every_line(edge: ChangingEdge, traffic: Traffic) -> None:
    """Each allowed request has its line, and where every answer came there is no other line."""
    allowed = traffic.statuses[200]
    wait_until(
        lambda: edge.lines(traffic.subject) >= allowed,
        explain=lambda: (edge.lines(traffic.subject), allowed, traffic.broken),
    )
    assert edge.lines(traffic.subject) <= allowed + traffic.broken


def test_each_worker_thread_has_a_lease_and_asks_once(leased: ChangingEdge) -> None:
    before = leased.counts()
    with Traffic(leased, "of-two-threads", 8) as traffic:
        traffic.flow(200)
    assert traffic.statuses.keys() == {200}
    has_every_line(leased, traffic)
    after = leased.counts()
    miss = 'decision_cache_asked_total{reason="miss"}'
    # Requests that are under way at once may all be asked for, until the first is learnt.
    assert 1 <= after[miss] - before[miss] <= 8
    repeated = after["decision_cache_repeated_total"] - before["decision_cache_repeated_total"]
    assert repeated >= traffic.statuses[200] - 8


def test_ten_listener_updates_under_load(leased: ChangingEdge) -> None:
    updates = "listener_manager.listener_modified"
    with Traffic(leased, "updated") as traffic:
        for _ in range(10):
            before = leased.stat(updates)
            leased.publish()
            wait_until(lambda: leased.stat(updates) >= before + 2)  # noqa: B023 - waited for here
            traffic.flow(10)
        assert leased.stat(DRAINING) > 0, "filters of earlier versions are still there"
        wait_until(lambda: leased.stat(DRAINING) == 0)
        repeated = leased.repeated()
        traffic.flow()
        wait_until(lambda: leased.repeated() > repeated)
    assert traffic.statuses.keys() == {200}
    assert traffic.broken <= CLIENTS, "the drain's end may close each connection, once"
    has_every_line(leased, traffic)
    leased.hold_all_leases()


def without_the_file(manager: Any) -> None:
    """Name a module of which there is no file."""
    (module,) = [each for each in manager["http_filters"] if each["name"] == MODULE]
    module["typed_config"]["dynamic_module_config"]["name"] = "septem_decision_cache-9.9.9-abi9.9"


def test_a_listener_whose_module_is_missing_is_rejected_and_the_old_goes_on(
    leased: ChangingEdge,
) -> None:
    rejected = "listener_manager.lds.update_rejected"
    with Traffic(leased, "rejected") as traffic:
        before = leased.stat(rejected)
        leased.publish(without_the_file)
        wait_until(lambda: leased.stat(rejected) > before)
        repeated = leased.repeated()
        traffic.flow()
        wait_until(lambda: leased.repeated() > repeated)
    assert traffic.statuses.keys() == {200}
    assert traffic.broken == 0
    has_every_line(leased, traffic)
    leased.publish()


def test_a_hot_restart_under_load(leased: ChangingEdge) -> None:
    with Traffic(leased, "restarted-hot") as traffic:
        old = leased.envoy.process.pid
        leased.restart_hot()
        wait_until(lambda: old not in leased.leases(), explain=leased.leases)
        traffic.flow()
    assert traffic.statuses.keys() == {200}
    assert traffic.broken <= CLIENTS, "the parent's end may close each connection, once"
    has_every_line(leased, traffic)
    leased.hold_all_leases()


def test_listeners_that_are_drained_end_with_every_line(leased: ChangingEdge) -> None:
    with Traffic(leased, "drained") as traffic:
        leased.tell_envoy("/drain_listeners?graceful")
        traffic.flow()  # the listeners go on until the drain is over
        before = traffic.broken
        wait_until(lambda: traffic.broken > before + 20)
    assert traffic.statuses.keys() == {200}
    leased.envoy.stop()
    wait_until(lambda: not leased.leases())
    has_every_line(leased, traffic)
    leased.start_envoy()


def test_an_envoy_that_is_killed_under_load_leaves_whole_lines(leased: ChangingEdge) -> None:
    with Traffic(leased, "killed") as traffic:
        leased.envoy.process.signal(SIGKILL)
        wait_until(lambda: traffic.broken > 20)
        leased.envoy.stop()
        wait_until(lambda: not leased.leases(), explain=leased.leases)
        leased.start_envoy()
        traffic.flow()
    assert set(traffic.statuses) <= {200, 503}, "503 until the new Envoy has its certificate"
    has_every_line(leased, traffic)
    leased.hold_all_leases()
