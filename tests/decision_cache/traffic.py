"""Requests through a cached edge, one after another or at once, and what came of each."""

import threading
import time
from collections import Counter
from http.client import HTTPSConnection
from typing import NamedTuple, Self

from demo.cases import OTHER_TENANT
from tests.decision_cache.cached_edge import CachedEdge
from tests.support.waiting import wait_until

RATE, BURST = 100, 60
WAVES, WAVE_SECONDS = 22, 0.2


class Answer(NamedTuple):
    """A status, and the header by which a test knows the configuration."""

    status: int
    referrer_policy: str | None = None


class Answered(NamedTuple):
    """When a request was sent (monotonic seconds), and its answer."""

    sent: float
    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status


class Overload:
    """Requests of one tenant at twice its rate, in waves; each fifth token is seen once.

    Between two waves there is room again, so that some are repeated and some are asked for.
    """

    threads = 4

    def __init__(self, edge: CachedEdge) -> None:
        self._edge = edge
        self._known = edge.mint(sub="limited", jti="known", tenantId=OTHER_TENANT)
        self._each = round(2 * RATE * WAVE_SECONDS / self.threads)
        self._new = [
            edge.mint(sub="limited", jti=f"new-{number}", tenantId=OTHER_TENANT)
            for number in range(WAVES * self.threads * self._each // 5)
        ]
        self.waves: list[list[Answered]] = [[] for _ in range(WAVES)]

    def run(self) -> None:
        threads = [
            threading.Thread(target=self._send, args=[time.monotonic()])
            for _ in range(self.threads)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for wave in self.waves for answer in wave)

    def passed_in_a_second(self) -> float:
        """Return the rate at which requests passed, between the first of two waves."""
        begins = [min(answer.sent for answer in wave) for wave in self.waves]
        measured = [answer.status for wave in self.waves[5:-1] for answer in wave]
        return measured.count(200) / (begins[-1] - begins[5])

    def _send(self, began: float) -> None:
        edge = self._edge
        connection = HTTPSConnection(
            "localhost", edge.ports.https, timeout=20, context=edge.context
        )
        for number, wave in enumerate(self.waves):
            time.sleep(max(0.0, began + number * WAVE_SECONDS - time.monotonic()))
            for at in range(self._each):
                token = self._known if at % 5 else self._new.pop()
                sent = time.monotonic()
                headers = {"authorization": f"Bearer {token}"}
                connection.request("GET", "/api/x", headers=headers)
                answer = connection.getresponse()
                answer.read()
                wave.append(Answered(sent, Answer(answer.status)))
        connection.close()


class Traffic:
    """Requests with one token, one after another, while something happens."""

    def __init__(self, edge: CachedEdge, subject: str) -> None:
        self.answers: list[Answered] = []
        self._edge = edge
        self._token = edge.mint(sub=subject, jti=subject)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        before = self._edge.repeated()
        wait_until(lambda: self._edge.repeated() > before + 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def allowed(self) -> int:
        return sum(answer.status == 200 for answer in self.answers)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(answer.status for answer in self.answers)

    def flow(self, status: int, count: int = 20) -> None:
        """Wait for so many more answers of a status."""
        enough = self.statuses[status] + count
        wait_until(lambda: self.statuses[status] >= enough, explain=lambda: self.statuses)

    def _run(self) -> None:
        edge = self._edge
        connection = HTTPSConnection(
            "localhost", edge.ports.https, timeout=20, context=edge.context
        )
        while not self._stop.is_set():
            sent = time.monotonic()
            connection.request("GET", "/api/x", headers={"authorization": f"Bearer {self._token}"})
            answer = connection.getresponse()
            answer.read()
            seen = Answer(answer.status, answer.getheader("referrer-policy"))
            self.answers.append(Answered(sent, seen))
        connection.close()
