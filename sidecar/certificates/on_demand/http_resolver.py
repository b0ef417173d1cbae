"""A Domain Resolver over HTTP, asked for one name at a time."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sidecar.certificates.on_demand.domains import (
    Registration,
    RegistryFault,
    check_answer,
    read_registration,
)
from sidecar.certificates.on_demand.names import parents_of
from sidecar.certificates.on_demand.resolved_registry import Patterns
from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.http_client import failure, make_session
from sidecar.common.polling import PollStatus
from sidecar.config.on_demand import HttpRegistry

MAX_ANSWER_BYTES = 65_536
_THREADS = 4
_PATIENCE = 2.0
"""A call is given up after this many of its time-outs, whatever it waits for."""
_log = logging.getLogger("sidecar.domains")
_OK, _NOT_FOUND, _GONE = 200, 404, 410


class HttpResolver:
    """A Domain Resolver: 200 with a registration as JSON, or 404 (410) for none.

    ``allow`` says whether one more query may be sent now: clients choose the names.
    """

    def __init__(self, settings: HttpRegistry, allow: Callable[[], bool]) -> None:
        self._settings = settings
        self._allow = allow
        self._runner = BlockingRunner("domain-resolver", _THREADS)
        self._session: Any = None
        self._gate = asyncio.Semaphore(_THREADS)
        self.name = settings.url
        self.status = PollStatus(
            "domains", "the domain resolver", _log, kept="the domains known before stay in force"
        )

    def patterns(self, name: str) -> Patterns:
        """Return the name, and each name above it."""
        return Patterns([name], parents_of(name))

    async def look_up(self, pattern: str) -> Registration | None:
        """GET one name. Raises ``RegistryFault``."""
        if not self._allow():
            raise RegistryFault(
                "more names are asked for than on_demand.registry.queries_per_second allows"
            )
        async with self._gate:
            try:
                status, body = await self._runner.run(
                    lambda: self._get(pattern), self._settings.timeout_seconds * _PATIENCE
                )
            except (BlockingRunnerBusy, TimeoutError):
                raise RegistryFault("the domain resolver did not answer in time") from None
        if status in {_NOT_FOUND, _GONE}:
            return None
        if status != _OK:
            raise RegistryFault(f"the domain resolver answered {status}, not 200 or 404")
        try:
            entry = json.loads(body)
        except (ValueError, RecursionError):
            raise RegistryFault("the domain resolver's answer is not JSON") from None
        return check_answer(read_registration(entry, pattern), pattern)

    def lists(self, _pattern: str) -> bool:
        """Return True: any domain may be registered."""
        return True

    async def unchanged(self) -> tuple[str, ...]:
        """Return none: each name is asked for."""
        return ()

    async def start(self) -> None:
        """Do nothing: look-ups need no data."""

    async def run(self) -> None:
        """Do nothing: look-ups need no data."""

    async def refresh(self) -> None:
        """Do nothing: look-ups need no data."""

    def close(self) -> None:
        """Stop making calls."""
        self._runner.close()

    def _get(self, name: str) -> tuple[int, bytes]:
        if self._session is None:
            self._session = make_session(
                ca_file=self._settings.ca_file, max_response_bytes=MAX_ANSWER_BYTES
            )
        try:
            response = self._session.get(
                self._settings.url.replace("{name}", quote(name, safe="")),
                headers={"accept": "application/json"},
                timeout=self._settings.timeout_seconds,
                allow_redirects=False,
            )
        except Exception as exc:  # noqa: BLE001 - no library's exception leaves this module
            why = failure(exc, [self._settings.ca_file])
            raise RegistryFault(f"the domain resolver: {why}") from None
        return response.status_code, response.content
