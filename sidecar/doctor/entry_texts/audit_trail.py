"""Texts on what the audit trail needs of Vault."""

from sidecar.doctor.entry_texts.text import EntryText
from sidecar.observability.audit.spool.records import DATA_KEY_BYTES

_NO_CHECKPOINT = (
    "The chain goes on without a checkpoint, and the next one covers it. An alert is sent when "
    "there has been none for long."
)
_SINK_WAITS = (
    "Until it was read once, the sink sends nothing and its lines wait. Later the credential that "
    "was read before stays in use."
)
_SPOOL_WAITS = (
    "Lines wait in memory, and are dropped and counted once that is full. What was spooled is sent "
    "when the key can be had."
)
_SPOOL_READ = (
    "Read at the start for new lines, and once for each other key that a segment on the disk has."
)

CHECKPOINT_KEY = EntryText(
    title="The key of checkpoints",
    purpose="Signs checkpoints of the audit trail. The public halves are read to verify each "
    "signature.",
    content=(
        ("type", "`ed25519`"),
        ("sent", "the text of the checkpoint"),
        ("answer", "a signature, `vault:v<version>:<base64>`"),
    ),
    read="Asked at the start, every `audit.checkpoints.seconds`, after a rotation of the file, and "
    "at the stop.",
    missing=_NO_CHECKPOINT,
    malformed=f"A key of another type, or a signature that does not verify, is not used. "
    f"{_NO_CHECKPOINT}",
    away=_NO_CHECKPOINT,
    page="[Checkpoints](audit.md#checkpoints)",
)
PSEUDONYMS = EntryText(
    title="The keys of pseudonyms",
    purpose="What subjects and addresses in audit lines are replaced with. Sidecars make the "
    "entries; `sidecar audit forget` deletes the key of one subject.",
    content=(
        ("the entry itself", "`format`, `index_key`, `trees` and `shards`"),
        ("`<path>/00` to `<path>/ff`", "`trees`: keys of which one was deleted"),
        ("`<path>/days`", "`day` and `key`, for addresses in lines without a subject"),
    ),
    read="Polled every `audit.pseudonyms.poll_seconds`, and on `SIGHUP` and `POST /keys/refresh`.",
    missing="The first sidecar makes them. An entry that was deleted and not destroyed is not made "
    "again: undelete it, or remove its metadata too.",
    malformed="The keys that were read before stay in force. Without any, audit lines are "
    "anonymous for good.",
    away="The keys that were read before stay in force. Without any, audit lines are anonymous "
    "for good.",
    page="[Pseudonyms](audit.md#pseudonyms)",
)
SINK_PASSWORD = EntryText(
    title="Credentials of audit sinks",
    purpose="The password for ClickHouse or Kafka.",
    content=(
        (
            "the field that `field` names",
            "text: one line of 1 to 4,096 printable ASCII characters",
        ),
    ),
    read="Polled every `audit.to.password.poll_seconds`, for Kafka every "
    "`audit.to.sasl.password.poll_seconds`.",
    missing=_SINK_WAITS,
    malformed=_SINK_WAITS,
    away=_SINK_WAITS,
    page="[Audit sinks](audit-sinks.md)",
)
SPOOL_TRANSIT = EntryText(
    title="The key of the spool in transit",
    purpose="Gives the data key that lines are sealed with on the disk, and opens it again.",
    content=(
        ("answer of `datakey`", f"a key of {DATA_KEY_BYTES} bytes, plain and wrapped"),
        ("sent to `decrypt`", "the wrapped key, as it stands in a segment"),
    ),
    read=_SPOOL_READ,
    missing=_SPOOL_WAITS,
    malformed=_SPOOL_WAITS,
    away=_SPOOL_WAITS,
    page="[Lose nothing in an outage](audit-sinks.md#lose-nothing-in-an-outage)",
)
SPOOL_KEY = EntryText(
    title="The key of the spool in KV",
    purpose="The data key that lines are sealed with on the disk. Keep older versions until the "
    "spool is empty.",
    content=(("the field that `field` names", f"text: {DATA_KEY_BYTES} bytes in base64"),),
    read=_SPOOL_READ,
    missing=_SPOOL_WAITS,
    malformed=_SPOOL_WAITS,
    away=_SPOOL_WAITS,
    page="[Lose nothing in an outage](audit-sinks.md#lose-nothing-in-an-outage)",
)
