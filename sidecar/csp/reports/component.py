"""Violation reports: the intake, its listener, the forwarder, and what the admin port shows."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric

from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.config.reports import FileForward, HttpsForwardSettings, Reports, ReportsListen
from sidecar.context import AppContext, PreparedPart
from sidecar.csp.reports.forward import HttpsForward, encode_seen
from sidecar.csp.reports.intake import Rates, ReportIntake
from sidecar.csp.reports.page import report_routes
from sidecar.csp.reports.panel import reports_panel
from sidecar.csp.reports.store import ReportStore, Seen
from sidecar.observability.audit import AuditLog, FileSink, Sink
from sidecar.observability.metrics import counter, gauge
from sidecar.observability.panel import Ask, Panel
from sidecar.transport.http1 import HttpServer
from sidecar.transport.http1_messages import Handler, Routes

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
        run_soon=context.run_soon,
    )
    await component.start(context.stack)
    context.metrics.add_source(component.families)
    context.routes.update(component.admin_routes)
    context.panels["reports"] = component.panel
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
        run_soon: Callable[[Coroutine[Any, Any, None]], None],
        registered: Callable[[str], str | None] = lambda _host: None,
    ) -> None:
        """``run_soon`` runs a coroutine in the background."""
        self._run_soon = run_soon
        self._reports = reports
        self._store = ReportStore(max_rows=reports.table_rows, keep=reports.keep_latest)
        self.forward = _open_forward(reports)
        self._intake = ReportIntake(
            self._store,
            _rates(reports),
            domain_owners=_owners(config),
            hash_key=secrets.token_bytes(32),
            now=wall_seconds,
            clock=monotonic_seconds,
            forward=self._send_on,
            registered=registered,
        )
        self._routes: dict[tuple[str, str], Handler] = {("POST", reports.path): self._intake.take}
        self._server = HttpServer(
            listen.address,
            self._routes,
            on_fault=on_fault,
            observe=self._count_answer,
            max_body_bytes=listen.max_body_bytes,
            max_connections=listen.max_connections,
        )
        self.admin_routes: Routes = report_routes(self._store, self._intake)

    async def start(self, stack: AsyncExitStack) -> None:
        """Listen until ``stack`` closes. Raises ``ListenFault``."""
        stack.callback(lambda: _close_forward(self.forward))
        await self._server.start()
        stack.push_async_callback(self._server.close)

    async def prepare(self, config: model.Config) -> PreparedPart:
        """Open another forwarder, for a reload. Raises ``AuditFault`` if its file can't be."""
        owners, reports = _owners(config), config.headers.reports
        if reports is None:  # then its listener goes too, and that needs a restart
            return PreparedPart(lambda: None)
        sink: Sink | None = None
        if reports.forward != self._reports.forward:
            sink = await asyncio.to_thread(_open_sink, reports)

        def abandon() -> None:
            if sink is not None:
                sink.close()

        return PreparedPart(partial(self._adopt, owners, reports, sink), abandon)

    def _adopt(self, owners: dict[str, str], reports: Reports, sink: Sink | None) -> None:
        self._intake.domain_owners = owners
        self._intake.use_rates(_rates(reports))
        self._store.use(max_rows=reports.table_rows, keep=reports.keep_latest)
        self._routes.clear()
        self._routes["POST", reports.path] = self._intake.take
        before, self._reports = self.forward, reports
        if reports.forward is None:
            self.forward = None
            self._run_soon(asyncio.to_thread(_close_forward, before))  # it may take its time
        elif before is None and sink is not None:
            self.forward = _start_forward(sink, reports)
        elif before is not None:
            before.use_bounds(reports.queue_reports)
            if sink is not None:
                before.use_sink(sink)

    def panel(self, ask: Ask) -> Awaitable[Panel]:
        """Return what the operator's page says."""
        return reports_panel(self._store, self._intake, ask)

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


def _rates(reports: Reports) -> Rates:
    return Rates(
        reports.max_per_second,
        reports.burst,
        reports.client_max_per_second,
        reports.client_burst,
    )


def _open_sink(reports: Reports) -> Sink | None:
    match reports.forward:
        case None:
            return None
        case FileForward(path=path, max_bytes=max_bytes, keep=keep):
            return FileSink(Path(path), max_bytes=max_bytes, keep=keep)
        case HttpsForwardSettings():
            return HttpsForward(reports.forward)


def _open_forward(reports: Reports) -> AuditLog | None:
    sink = _open_sink(reports)
    return None if sink is None else _start_forward(sink, reports)


def _start_forward(sink: Sink, reports: Reports) -> AuditLog:
    return AuditLog(sink, queue_lines=reports.queue_reports, on_error=_forward_failed)


def _forward_failed(exc: OSError) -> None:
    # requests' exceptions quote the URL; their class says enough
    _log.error(
        "reports can't be forwarded: %s; check headers.reports.forward",
        exc.strerror or type(exc).__name__,
    )


def _close_forward(forward: AuditLog | None) -> None:
    if forward is not None and not forward.close(_FORWARD_CLOSE_SECONDS):
        _log.error("reports were lost at the end: headers.reports.forward did not accept them")
