"""A reloader over a file, with an in-process Check service and no server."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pytest

from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.observability.alerts import Alerts
from sidecar.observability.audit import AuditLog
from sidecar.runtime.in_process import InProcessChecks
from sidecar.runtime.reload.reloader import Reloader
from tests.authz.conftest import CONFIG


class NoSink:
    """Takes everything."""

    def write(self, lines: bytes) -> None: ...

    def reopen(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class Reloading:
    """A reloader, its file, and what it said."""

    path: Path
    context: AppContext
    checks: InProcessChecks
    audit: AuditLog
    alerts: Alerts = field(default_factory=lambda: Alerts(lambda: 0.0, with_webhook=True))
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.reloader = Reloader(
            self.context, self.path, self.checks, self.alerts, lambda: self.now
        )

    def write(self, edits: Mapping[str, str] = MappingProxyType({}), more: str = "") -> None:
        """Write the first file with each text replaced by another, and more at its end."""
        text = CONFIG
        for old, new in edits.items():
            assert old in text
            text = text.replace(old, new, 1)
        self.path.write_text(text + more)

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(e["data"]["severity"], e["data"]["message"]) for e in self.alerts.queue]


@pytest.fixture
async def reloading(tmp_path: Path) -> AsyncIterator[Reloading]:
    path = tmp_path / "sidecar.yaml"
    path.write_text(CONFIG)
    context = AppContext(parse_config(CONFIG, "test"))
    audit = AuditLog(NoSink(), queue_lines=16, on_error=lambda _exc: None)
    async with context.stack:
        yield Reloading(path, context, InProcessChecks(context, audit), audit)
    audit.close(5)
