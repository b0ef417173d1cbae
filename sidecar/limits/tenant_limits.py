"""Tenants' own limits, from an entry of Vault KV that is polled.

Each field of the entry is a tenant's id; its value is a rate: ``2000`` (a second), ``300/60s``,
``2000/1s burst 5000``, or an object with ``requests``, ``per_seconds`` and ``burst``. A value
that can't be read leaves that tenant with the limit of the settings; it is logged, and the others
apply. While the entry can't be read, the limits read before stay in force.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import PollLoop, PollStatus
from sidecar.common.printable import printable
from sidecar.config.limits import MAX_REFILL_SECONDS, RateSettings, TenantLimitEntry
from sidecar.limits.bucket import Limit
from sidecar.limits.policy import TENANT, make_limit
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.newest import NewestVersion
from sidecar.vault.ports import KvReader

MAX_TENANTS = 100_000
MAX_PROBLEMS = 20
"""The most wrong fields of an entry that are named; the others are counted."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_RATE = re.compile(r"([0-9]{1,10})(?:/([0-9]{1,5})s)?(?: burst ([0-9]{1,10}))?")
_log = logging.getLogger("sidecar.limits")


def read_tenant_limits(data: Mapping[str, Any]) -> tuple[dict[str, Limit], tuple[str, ...]]:
    """Return the limits of an entry by tenant, and what is wrong with the others."""
    limits: dict[str, Limit] = {}
    problems: list[str] = []
    for tenant, value in data.items():
        if not _UUID.fullmatch(tenant):
            problems.append(f"the field {printable(tenant)[:64]!r} is no tenant's id (a UUID)")
        elif len(limits) >= MAX_TENANTS:
            problems.append(f"has more than {MAX_TENANTS} tenants; the others keep their limits")
            break
        else:
            try:
                limits[tenant] = make_limit(TENANT, "tenant", _rate(value))
            except (msgspec.ValidationError, ValueError):
                problems.append(
                    f"the limit of tenant {tenant} can't be read; write it like 2000, 300/60s or "
                    "2000/1s burst 5000"
                )
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"{len(problems) - MAX_PROBLEMS} more fields are wrong"]
    return limits, tuple(problems)


def _rate(value: Any) -> RateSettings:
    """Return one rate; raise ``ValueError`` for what is none."""
    if isinstance(value, bool):
        raise ValueError("not a rate")  # noqa: TRY004 - as for any other value that is none
    if isinstance(value, str | int):
        match = _RATE.fullmatch(str(value).strip())
        if match is None:
            raise ValueError("not a rate")
        requests, seconds, burst = match.groups()
        value = {"requests": int(requests), "per_seconds": int(seconds or 1)}
        if burst is not None:
            value["burst"] = int(burst)
    rate = msgspec.convert(value, RateSettings)
    if rate.refill_seconds > MAX_REFILL_SECONDS:
        raise ValueError("a burst that takes too long to refill")
    return rate


class TenantLimitPoller:
    """The entry, what it says, and the loop that reads it. ``publish`` gets each new content."""

    def __init__(
        self,
        settings: TenantLimitEntry,
        vault: KvReader,
        *,
        poll_seconds: float,
        jitter: Callable[[], float],
        publish: Callable[[Mapping[str, Limit]], None],
    ) -> None:
        self._settings = settings
        self._vault = vault
        self._publish = publish
        self.poll_seconds = poll_seconds
        """A reload may set it."""
        pace = PollPace(lambda: self.poll_seconds, jitter)
        self._loop = PollLoop(self._read, lambda: pace.pause_seconds(self.status))
        self.name = f"Vault entry {settings.mount}/{settings.path}"
        self.status = PollStatus(
            "tenant_limits",
            f"the tenants' limits in {self.name}",
            _log,
            kept="the limits read before stay in force",
        )
        self._newest = NewestVersion()
        self.held: Mapping[str, Limit] = {}
        self._problems: tuple[str, ...] = ()

    async def refresh(self) -> None:
        """Read the entry now; what can't be read changes nothing."""
        await self._loop.refresh()

    async def run(self) -> None:
        """Read until cancelled."""
        await self._loop.run()

    async def _read(self) -> None:
        with self.status.poll():
            limits, problems = await self._fetch()
            for problem in problems:
                if problem not in self._problems:
                    _log.error("%s: %s", self.name, problem)
            self._problems = problems
            if limits != self.held:
                self._publish(limits)
                self.held = limits  # once it is published: where that fails, the next read does it

    async def _fetch(self) -> tuple[dict[str, Limit], tuple[str, ...]]:
        try:
            secret = await self._vault.read_kv(self._settings.mount, self._settings.path)
        except VaultNotFound:
            return {}, ()  # no tenant has a limit of its own
        self._newest.take(self.name, secret.version, secret.written_at)
        # A large entry takes a tenth of a second to read: Checks are answered meanwhile.
        return await asyncio.to_thread(read_tenant_limits, secret.data)
