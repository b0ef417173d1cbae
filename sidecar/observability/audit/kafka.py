"""Audit lines into a topic of Kafka, by librdkafka (the extra ``septem-sidecar[kafka]``).

A message is a line without its end. Its key is the tenant, so that a tenant's lines stay in their
order; a header says which schema it has. The producer is idempotent and waits for all replicas
(``acks=all``): it doubles and reorders nothing while it lives. Only where it gave up on a message
whose acknowledgement was lost, that line may come twice; ``decision_id`` tells.
"""

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from sidecar.config import model
from sidecar.observability.audit.sinks import AuditFault, LinesRefusedError

try:
    import confluent_kafka
except ImportError:  # the extra is not installed
    confluent_kafka = None  # type: ignore[assignment]

SCHEMA_HEADER = "septem-audit-schema"
SCHEMA_VERSION = b"1"
_QUEUE_MESSAGES = 200_000
_log = logging.getLogger("sidecar.observability.audit")


class _Keyed(msgspec.Struct, gc=False):
    """Of a line what the key is made of."""

    tenant: str = ""


_decoder = msgspec.json.Decoder(_Keyed)


class KafkaSink:
    """A topic. ``password`` returns the secret of SASL; it raises ``OSError``.

    Raises ``AuditFault`` where the extra is not installed.
    """

    def __init__(self, settings: model.KafkaAudit, password: Callable[[], str] | None) -> None:
        if confluent_kafka is None:
            raise AuditFault(
                "audit.to needs a client of Kafka; in the release's folder:"
                " pip install --require-hashes -r kafka.lock (in a clone, docs/audit-sinks.md)"
            )
        self._settings = settings
        self._password = password
        self._secret = ""
        self._producer: Any = None
        self._said = ""
        self._batch = b""
        self._left: dict[int, bytes] = {}
        """Of the batch that was begun, the messages that are not acknowledged."""

    def write(self, lines: bytes) -> None:
        """Send a batch, and wait until all of it is acknowledged.

        Raises ``OSError``; tried again, only what was not acknowledged is sent. Raises
        ``LinesRefusedError`` for messages that the broker will never take.
        """
        if lines != self._batch:
            self._batch = lines
            self._left = dict(enumerate(lines.splitlines()))
        producer = self._connected()
        refused: list[int] = []
        problems: list[str] = []

        def answered(number: int, error: Any) -> None:
            if error is None:
                self._left.pop(number, None)
            elif error.code() in _never_taken():
                refused.append(number)
                problems.append(error.name())
            else:
                problems.append(self._said or error.name())

        for number, line in tuple(self._left.items()):
            try:
                producer.produce(
                    self._settings.topic,
                    value=line,
                    key=_key_of(line),
                    headers={SCHEMA_HEADER: SCHEMA_VERSION},
                    on_delivery=lambda error, _message, at=number: answered(at, error),
                )
            except confluent_kafka.KafkaException as exc:  # some are judged at once
                answered(number, exc.args[0])
        waiting = producer.flush(self._settings.timeout_seconds + 1)
        for number in refused:
            self._left.pop(number, None)
        if waiting or self._left:
            self._give_up()
            raise OSError(0, f"Kafka acknowledges no batch: {problems[-1] if problems else 'late'}")
        self._batch, self._said = b"", ""
        if refused:
            raise LinesRefusedError(len(refused), f"Kafka refuses {len(refused)}: {problems[-1]}")

    def reopen(self) -> None:
        """Nothing to reopen."""

    def close(self) -> None:
        """Forget the producer; what it has not sent is sent again by another."""
        self._give_up()

    def _give_up(self) -> None:
        """Let go of a producer whose messages were not all acknowledged.

        The next one begins with the password of then, and the topic's partitions of then.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(1)

    def _connected(self) -> Any:
        secret = self._password() if self._password is not None else ""
        if self._producer is None or secret != self._secret:
            self._give_up()
            self._secret = secret
            self._producer = confluent_kafka.Producer(self._options(secret))
        return self._producer

    def _options(self, secret: str) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "bootstrap.servers": ",".join(settings.brokers),
            "client.id": "septem-sidecar",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": settings.compression,
            "linger.ms": 5,
            "queue.buffering.max.messages": _QUEUE_MESSAGES,
            "message.timeout.ms": int(settings.timeout_seconds * 1000),
            "socket.timeout.ms": int(settings.timeout_seconds * 1000),
            "security.protocol": _protocol(settings),
            "allow.auto.create.topics": False,
            "error_cb": self._note,
            "logger": _log,
        }
        files = {
            "ssl.ca.location": settings.ca_file,
            "ssl.certificate.location": settings.certificate_file,
            "ssl.key.location": settings.key_file,
        }
        options |= {name: path for name, path in files.items() if path is not None}
        if settings.sasl is not None:
            options |= {
                "sasl.mechanism": settings.sasl.mechanism,
                "sasl.username": settings.sasl.username,
                "sasl.password": secret,
            }
        return options

    def _note(self, error: Any) -> None:
        """Remember what librdkafka says of the brokers, by its name alone."""
        self._said = str(error.name())


def _protocol(settings: model.KafkaAudit) -> str:
    transport = "SSL" if settings.tls else "PLAINTEXT"
    return f"SASL_{transport}" if settings.sasl is not None else transport


def _key_of(line: bytes) -> bytes | None:
    """Return the tenant of a line; ``None`` where it has none, for any partition."""
    try:
        return _decoder.decode(line).tenant.encode() or None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _never_taken() -> frozenset[int]:
    """Return the errors that are about a message, which would be refused again."""
    errors = confluent_kafka.KafkaError
    return frozenset({errors.MSG_SIZE_TOO_LARGE, errors.INVALID_MSG, errors.INVALID_RECORD})
