"""Reloads the configuration while the sidecar runs: all of it, or nothing.

The file is read, checked and compiled in a thread, while Checks go on. Then every component
prepares its part (keys of new issuers are read, workers compile the policies). Only when all of
it is ready, everything is put in force between two Checks: no request is decided by parts of
both files. What fails before that leaves the configuration in force as it was.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from sidecar.authz.warnings import warnings_of
from sidecar.common.clock import Now
from sidecar.common.errors import ConfigFault, Fault
from sidecar.common.polling import describe
from sidecar.config import model
from sidecar.config.load import load_located
from sidecar.config.reloading import Change, changes
from sidecar.context import AppContext, PreparedPart, Restart
from sidecar.observability.alerts import Alert, Alerts, Severity
from sidecar.runtime.check import CompiledPolicies, compile_policies
from sidecar.runtime.in_process import PreparedPolicies
from sidecar.runtime.reload.config_warnings import ConfigWarnings
from sidecar.runtime.reload.outcome import MAX_LISTED, ReloadOutcome, ReloadResult

_FACT = "config"
_SUBJECT = "config"
_DIGEST_SHOWN = 12
KEPT_OUTCOMES = 20
_SETTLE_ATTEMPTS = 60
_SETTLE_SECONDS = 1.0

_log = logging.getLogger("sidecar.config")


class PolicyProcesses(Protocol):
    """The processes that answer Checks; ``sidecar.runtime.in_process.Checks`` has more."""

    def prepare(self, policies: CompiledPolicies) -> Awaitable[PreparedPolicies]:
        """Have every process compile policies. Raises ``Fault``."""

    def commit(self, prepared: PreparedPolicies, publish: Callable[[], None]) -> None:
        """Put policies in force, with what ``publish`` publishes."""

    def settled(self) -> Awaitable[tuple[str, ...]]:
        """Wait until that applies everywhere; return the names of processes where it does not."""


class Reloader:
    """The configuration in force, and how it is replaced. One reload at a time."""

    def __init__(
        self, context: AppContext, path: Path, checks: PolicyProcesses, alerts: Alerts, now: Now
    ) -> None:
        self._context = context
        self._path = path
        self._checks = checks
        self._alerts = alerts
        self._now = now
        self._turn = asyncio.Lock()
        self.is_refused = False
        """Whether the last reload was refused."""
        self.latest: deque[tuple[float, ReloadOutcome]] = deque(maxlen=KEPT_OUTCOMES)
        """The last reloads, each with its time (Unix seconds)."""
        self.refused_since: float | None = None
        """When the first reload was refused since the last that was not (Unix seconds)."""
        self.results: dict[str, int] = dict.fromkeys(ReloadResult, 0)
        self.digest = digest_of(context.config)
        self.warnings = ConfigWarnings(path, context.health.facts)
        self.succeeded_at = now()
        """When a configuration was last put in force or confirmed (Unix seconds)."""
        self._show()

    async def reload(self, *, allow_restart: bool = False) -> ReloadOutcome:
        """Read the file and put it in force. Never raises a ``Fault``: the outcome says why.

        With ``allow_restart`` what no reload can change is changed by an overlapping restart.
        """
        async with self._turn:
            try:
                outcome = await self._reload(allow_restart=allow_restart)
            except Exception as exc:  # noqa: BLE001 - a bug must not end the sidecar: nothing is changed
                self._context.on_fault(exc)
                problem = f"it can't be prepared: {describe(exc)} (a bug in the sidecar)"
                outcome = self._refusal(ReloadResult.UNPREPARED, problem)
            self._note(outcome)
            return outcome._replace(warnings=self.warnings.found)

    async def look_for_warnings(self) -> None:
        """Log the warnings of the configuration with which the sidecar was started."""
        with contextlib.suppress(ConfigFault):  # the file is another one already: a reload says it
            config, found = await asyncio.to_thread(_read, self._path)
            if config == self._context.config:
                self.warnings.show(found)

    async def _reload(self, *, allow_restart: bool) -> ReloadOutcome:
        try:
            config, found = await asyncio.to_thread(_read, self._path)
        except ConfigFault as fault:
            return self._refusal(ReloadResult.INVALID, *fault.problems)
        differing = tuple(changes(self._context.config, config))
        if not differing:
            self.warnings.show(found)
            return self._refusal(ReloadResult.UNCHANGED)
        if fixed := tuple(map(_restart_problem, filter(_needs_restart, differing))):
            if allow_restart and self._context.restart is not None:
                return await self._restart(self._context.restart, config, differing)
            return self._refusal(ReloadResult.RESTART_REQUIRED, *fixed, differing=differing)
        try:
            prepared, parts = await self._prepare(config)
        except Fault as fault:
            return self._refusal(ReloadResult.UNPREPARED, str(fault), differing=differing)
        self._checks.commit(prepared, partial(self._adopt, config, parts))
        self.warnings.show(found)
        behind = await self._checks.settled()
        if behind:  # they are replaced within seconds
            self._context.run_soon(self._settle_later(config, parts))
        else:
            _tell_settled(parts)
        problems = tuple(f"{name} has not acknowledged it; the log says why" for name in behind)
        result = ReloadResult.UNACKNOWLEDGED if behind else ReloadResult.APPLIED
        return ReloadOutcome(result, str(self._path), self.digest, differing, problems)

    async def _restart(
        self, restart: Restart, config: model.Config, differing: tuple[Change, ...]
    ) -> ReloadOutcome:
        """Have an instance with the new configuration take the place of this one."""
        if why := await restart(config):
            problem = f"the sidecar with the new configuration did not become ready: {why}"
            return self._refusal(ReloadResult.RESTART_FAILED, problem, differing=differing)
        # Whoever asks this instance now, which is about to end, is told what is in force.
        self._context.config, self.digest = config, digest_of(config)
        return ReloadOutcome(ReloadResult.RESTARTED, str(self._path), self.digest, differing)

    def _refusal(
        self, result: ReloadResult, *problems: str, differing: tuple[Change, ...] = ()
    ) -> ReloadOutcome:
        """Return the outcome of a reload that changes nothing."""
        return ReloadOutcome(result, str(self._path), self.digest, differing, problems)

    async def _prepare(self, config: model.Config) -> tuple[PreparedPolicies, list[PreparedPart]]:
        """Make everything ready; what was, is abandoned if the rest can't be. Raises ``Fault``."""
        parts: list[PreparedPart] = []
        with ExitStack() as undo:
            compiled = await asyncio.to_thread(compile_policies, config)
            for prepare in self._context.reload_parts:
                part = await prepare(config)
                undo.callback(part.abandon)
                parts.append(part)
            prepared = await self._checks.prepare(compiled)
            if self._context.stop.is_set():
                raise Fault("the sidecar is shutting down")
            undo.pop_all()
        return prepared, parts

    async def _settle_later(self, config: model.Config, parts: list[PreparedPart]) -> None:
        """Wait on for workers that are being replaced; other settings may follow meanwhile."""
        for _ in range(_SETTLE_ATTEMPTS):
            await asyncio.sleep(_SETTLE_SECONDS)
            if self._context.config is not config:
                return
            if not await self._checks.settled():
                _tell_settled(parts)
                return

    def _adopt(self, config: model.Config, parts: list[PreparedPart]) -> None:
        for part in parts:
            part.adopt()
        self._context.config = config
        self.digest = digest_of(config)
        logging.getLogger().setLevel(config.log.level.upper())

    def _note(self, outcome: ReloadOutcome) -> None:
        """Count an outcome, log it, and raise the alert when refusals begin and end."""
        self.results[outcome.result] += 1
        now = self._now()
        self.latest.append((now, outcome))
        self.refused_since = (self.refused_since or now) if outcome.refused else None
        before, self.is_refused = self.is_refused, outcome.refused
        if outcome.refused:
            for problem in outcome.problems[1:MAX_LISTED]:
                _log.warning("%s: %s", outcome.source, problem)
            self._say(Severity.WARNING, "refused", f"not reloaded: {outcome.message}")
        else:
            self.succeeded_at = now
            if before:
                self._say(Severity.INFO, "ok", outcome.message)
            else:
                _log.info("%s", outcome.message, extra={"state": outcome.result})
        self._show(outcome.message if outcome.problems else "")

    def _say(self, severity: Severity, state: str, message: str) -> None:
        self._alerts.say(Alert(severity, _SUBJECT, state, message))

    def _show(self, problem: str = "") -> None:
        """Show in ``/readyz`` which configuration is in force, and why a newer one is not."""
        shown = self.digest[:_DIGEST_SHOWN]
        self._context.health.facts[_FACT] = f"{shown}; {problem}" if problem else shown


def digest_of(config: model.Config) -> str:
    """Return the SHA-256 of what a configuration says; comments and order of keys don't count."""
    return hashlib.sha256(msgspec.json.encode(config)).hexdigest()


def _tell_settled(parts: list[PreparedPart]) -> None:
    for part in parts:
        part.settled()


def _read(path: Path) -> tuple[model.Config, tuple[str, ...]]:
    """Return what the file says, and what hardly anybody means by it. Raises ``ConfigFault``."""
    loaded = load_located(path)
    return loaded.config, tuple(map(str, warnings_of(loaded)))


def _needs_restart(change: Change) -> bool:
    return bool(change.restart_reason)


def _restart_problem(change: Change) -> str:
    return (
        f"{change} needs a restart of the sidecar ({change.restart_reason}); `sidecar config reload"
        " --allow-restart` makes one without a gap"
    )
