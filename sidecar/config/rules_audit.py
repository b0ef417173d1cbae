"""The rules of ``audit``: sinks beside each other, credentials, the spool, the trail."""

from collections.abc import Iterator
from os.path import normpath

from sidecar.config.audit import NETWORK_SINKS
from sidecar.config.model import (
    AuditSink,
    ClickHouseAudit,
    Config,
    FileAudit,
    KafkaAudit,
    OtlpAudit,
    StdoutAudit,
)
from sidecar.config.network import in_the_clear, is_loopback
from sidecar.config.problem import Path, Problem

_TO: Path = ("audit", "to")


def check_audit(config: Config) -> Iterator[Problem]:
    """Yield the problems of ``audit``."""
    places: list[tuple[Path, AuditSink]] = [
        ((*_TO, at) if isinstance(config.audit.to, tuple) else _TO, sink)
        for at, sink in enumerate(config.audit.sinks)
    ]
    yield from _together(places)
    for where, sink in places:
        match sink:
            case OtlpAudit():
                yield from _url(where, sink)
            case ClickHouseAudit():
                yield from _url(where, sink)
                yield from _clickhouse(where, sink)
            case KafkaAudit():
                yield from _kafka(where, sink)
            case FileAudit() | StdoutAudit():
                pass
    yield from _spool(config, places)
    yield from _checkpoints(config)


def audit_warnings(config: Config) -> Iterator[Problem]:
    """Yield the warnings of ``audit``."""
    audit = config.audit
    across = [each for each in audit.sinks if isinstance(each, ClickHouseAudit | KafkaAudit)]
    if across and audit.spool is None:
        yield Problem(
            ("audit", "spool"),
            f"is missing: while {across[0].name} is out of reach, its lines are in memory only, "
            "and are lost when audit.queue_bytes is reached or the process ends",
        )


def _together(places: list[tuple[Path, AuditSink]]) -> Iterator[Problem]:
    """Check what two sinks can't have in common."""
    taken: dict[tuple[str, str], Path] = {}
    for where, sink in places:
        used = [(("name", sink.name), "name")]
        if isinstance(sink, StdoutAudit):
            used.append((("stdout", ""), "sink"))
        if isinstance(sink, FileAudit):
            used.append((("path", normpath(sink.path)), "path"))
        for key, setting in used:
            if key not in taken:
                taken[key] = where
                continue
            what = {
                "name": "is also that of another sink; give each a name of its own",
                "sink": "is standard output a second time: each line would come twice",
                "path": "is also that of another sink: each would rotate the other's lines away",
            }[setting]
            yield Problem((*where, setting), what)


def _url(where: Path, sink: OtlpAudit | ClickHouseAudit) -> Iterator[Problem]:
    if in_the_clear(sink.url):
        yield Problem((*where, "url"), "must be https: audit lines would cross the network")


def _clickhouse(where: Path, sink: ClickHouseAudit) -> Iterator[Problem]:
    if "?" in sink.url or "#" in sink.url:
        yield Problem(
            (*where, "url"), "must have no query or fragment: write database, table and user"
        )
    yield from _client_certificate(where, sink, encrypted=sink.url.startswith("https:"))


def _kafka(where: Path, sink: KafkaAudit) -> Iterator[Problem]:
    yield from _client_certificate(where, sink, encrypted=sink.tls)
    if sink.tls:
        return
    for at, broker in enumerate(sink.brokers):
        if not is_loopback(broker):
            yield Problem(
                (*where, "tls"),
                f"must be true: audit lines would cross the network to {sink.brokers[at]}",
            )
            return


def _client_certificate(
    where: Path, sink: ClickHouseAudit | KafkaAudit, *, encrypted: bool
) -> Iterator[Problem]:
    for name in ("ca_file", "certificate_file", "key_file"):
        if getattr(sink, name) is not None and not encrypted:
            yield Problem((*where, name), "needs TLS, and the connection has none")
    if (sink.certificate_file is None) != (sink.key_file is None):
        yield Problem((*where, "key_file"), "is needed together with certificate_file")


def _spool(config: Config, places: list[tuple[Path, AuditSink]]) -> Iterator[Problem]:
    spool = config.audit.spool
    if spool is None:
        return
    if not any(isinstance(sink, NETWORK_SINKS) for _, sink in places):
        yield Problem(
            ("audit", "spool"),
            "holds nothing: it is for clickhouse, kafka and otlp, and audit.to has none of them",
        )
    folder = normpath(spool.folder)
    if not folder.startswith("/"):
        yield Problem(("audit", "spool", "folder"), "must be an absolute path")
    for where, sink in places:
        if isinstance(sink, FileAudit) and normpath(sink.path).startswith(f"{folder}/"):
            yield Problem((*where, "path"), "is in the folder of the spool, which is its own")


def _checkpoints(config: Config) -> Iterator[Problem]:
    audit = config.audit
    checkpoints = audit.checkpoints
    if checkpoints is None:
        return
    if not audit.chain:
        yield Problem(
            ("audit", "checkpoints"), "sign the head of the chain: audit.chain must be true"
        )
    written = [normpath(each.path) for each in audit.sinks if isinstance(each, FileAudit)]
    if checkpoints.file is not None and normpath(checkpoints.file) in written:
        yield Problem(("audit", "checkpoints", "file"), "must not be audit.to.path")
