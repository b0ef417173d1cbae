"""Violation reports: the intake, its listener, the forwarder, and what the admin port shows."""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.reports import FileForward, HttpsForwardSettings, Reports, ReportsListen
from sidecar.context import AppContext, PreparedPart
from sidecar.csp.reports.forward import HttpsForward, encode_seen
from sidecar.csp.reports.intake import Rates, ReportIntake
from sidecar.csp.reports.page import report_routes
from sidecar.csp.reports.store import ReportStore, Seen
from sidecar.observability.audit import AuditLog, FileSink, Sink
from sidecar.observability.metrics import counter, gauge
from sidecar.transport.http1 import HttpServer
from sidecar.transport.http1_messages import Routes

_FORWARD_CLOSE_SECONDS = 2.0

_log = logging.getLogger("sidecar.csp.reports")


async def start(context: AppContext) -> None:
    """Open the intake, where it is configured, and show it on the admin port."""
    reports, listen = context.config.headers.reports, context.config.listen.reports
    if reports is None or listen is None:
        return
    component = ReportsComponent(
        context.config,
        reports,
        listen,
        on_fault=context.on_fault,
        registered=context.owner_of,
    )
    await component.start(context.stack)
    context.metrics.add_source(component.families)
    context.routes.update(component.admin_routes)
    context.reload_parts.append(component.prepare)


class ReportsComponent:
    """The intake, its listener and forwarder, their metrics and admin routes."""

    def __init__(
        self,
        config: model.Config,
        reports: Reports,
        listen: ReportsListen,
        *,
        on_fault: Callable[[Exception], None],
        registered: Callable[[str], str | None] = lambda _host: None,
    ) -> None:
        self._store = ReportStore(max_rows=reports.table_rows, keep=reports.keep_latest)
        self.forward = _open_forward(reports)
        self._intake = ReportIntake(
            self._store,
            Rates(
                reports.max_per_second,
                reports.burst,
                reports.client_max_per_second,
                reports.client_burst,
            ),
            domain_owners=_owners(config),
            hash_key=secrets.token_bytes(32),
            now=wall_seconds,
            clock=monotonic_seconds,
            forward=self._send_on,
            registered=registered,
        )
        self._server = HttpServer(
            listen.address,
            {("POST", reports.path): self._intake.take},
            on_fault=on_fault,
            observe=self._count_answer,
            max_body_bytes=listen.max_body_bytes,
            max_connections=listen.max_connections,
        )
        self.admin_routes: Routes = report_routes(self._store, self._intake)

    async def start(self, stack: AsyncExitStack) -> None:
        """Listen until ``stack`` closes. Raises ``ListenFault``."""
        if self.forward is not None:
            stack.callback(_close_forward, self.forward)
        await self._server.start()
        stack.push_async_callback(self._server.close)

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Return what a reload changes: which tenant a domain belongs to."""
        owners = _owners(config)

        def adopt() -> None:
            self._intake.domain_owners = owners

        return PreparedPart(adopt)

    def families(self) -> Iterator[Metric]:
        """Yield the metrics. Every label is from a closed set."""
        answers = CounterMetricFamily(
            "septem_csp_report_requests", "Requests with reports", labels=["status"]
        )
        for status, count in self._intake.answers.items():
            answers.add_metric([str(status)], count)
        yield answers
        became = CounterMetricFamily(
            "septem_csp_reports", "What became of single reports", labels=["outcome"]
        )
        for outcome, count in self._intake.reports.items():
            became.add_metric([outcome], count)
        yield became
        violations = CounterMetricFamily(
            "septem_csp_violations", "Reported violations", labels=["directive", "disposition"]
        )
        for labels, count in self._store.violations.items():
            violations.add_metric(labels, count)
        yield violations
        yield gauge("septem_csp_report_rows", "Rows of the table of reports", len(self._store))
        yield counter(
            "septem_csp_report_rows_pushed_out", "Rows that made room", self._store.pushed_out
        )
        if self.forward is not None:
            yield counter("septem_csp_reports_forwarded", "Reports sent on", self.forward.written)
            yield counter("septem_csp_reports_dropped", "Reports not sent on", self.forward.dropped)

    def _send_on(self, seen: Seen) -> None:
        if self.forward is not None:
            self.forward.append(encode_seen(seen))

    def _count_answer(self, status: int) -> None:
        self._intake.answers[status] += 1


def _owners(config: model.Config) -> dict[str, str]:
    return {tenant.domain: tenant.tenant_id for tenant in config.tenants}


def _open_forward(reports: Reports) -> AuditLog | None:
    match reports.forward:
        case None:
            return None
        case FileForward(path=path, max_bytes=max_bytes, keep=keep):
            sink: Sink = FileSink(Path(path), max_bytes=max_bytes, keep=keep)
        case HttpsForwardSettings():
            sink = HttpsForward(reports.forward)
    return AuditLog(sink, queue_lines=reports.queue_reports, on_error=_forward_failed)


def _forward_failed(exc: OSError) -> None:
    # requests' exceptions quote the URL; their class says enough
    _log.error(
        "reports can't be forwarded: %s; check headers.reports.forward",
        exc.strerror or type(exc).__name__,
    )


def _close_forward(forward: AuditLog) -> None:
    if not forward.close(_FORWARD_CLOSE_SECONDS):
        _log.error("reports were lost at the end: headers.reports.forward did not accept them")
