"""Obtains the configured certificates and keeps them fresh."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from sidecar.certs.material import Material
from sidecar.certs.renewal import MIN_PAUSE_SECONDS, renew_at, retry_after
from sidecar.certs.store import CertificateStore
from sidecar.clock import Now
from sidecar.config import model
from sidecar.errors import Fault

_log = logging.getLogger("sidecar.certs")
_MAX_SLEEP_SECONDS = 3600.0
"""Long sleeps are cut, so that a clock that was set right is noticed."""
_CONCURRENT = 4
"""Issuances at once: as many as Vault's bridge has threads."""
_MAX_NAMED_FAULTS = 5


class CertificateFault(Fault):
    """A configured certificate can't be had."""


class Issuer(Protocol):
    """Issues certificates."""

    async def issue(self, wanted: model.Certificate) -> Material:
        """Return a certificate that was checked. Raises ``Fault``."""


class CertificateManager:
    """One task a certificate. A failed renewal displaces nothing, and stops no other."""

    def __init__(
        self,
        wanted: Sequence[model.Certificate],
        issuer: Issuer,
        store: CertificateStore,
        *,
        now: Now,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self._wanted = wanted
        self._issuer = issuer
        self._store = store
        self._now = now
        self._sleep = sleep
        self._jitter = jitter
        self._gate = asyncio.Semaphore(_CONCURRENT)
        self.failures = 0

    async def obtain_all(self) -> None:
        """Obtain every certificate once.

        Raises ``CertificateFault`` with what failed; after a few faults the rest is not
        tried, for they have one cause.
        """
        faults: list[CertificateFault] = []

        async def obtain(wanted: model.Certificate) -> None:
            async with self._gate:
                if len(faults) < _MAX_NAMED_FAULTS:
                    try:
                        await self._obtain(wanted)
                    except CertificateFault as fault:
                        faults.append(fault)

        await asyncio.gather(*(obtain(wanted) for wanted in self._wanted))
        if faults:
            raise CertificateFault("; ".join(map(str, faults[:_MAX_NAMED_FAULTS])))

    async def keep_fresh(self) -> None:
        """Renew, each in its time, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for wanted in self._wanted:
                tasks.create_task(self._keep(wanted))

    async def _keep(self, wanted: model.Certificate) -> None:
        while True:
            held = self._store.get(wanted.name)
            if held is not None:
                due = renew_at(held.not_before, held.not_after, self._jitter())
                await self._sleep_until(max(due, self._now() + MIN_PAUSE_SECONDS))
            await self._renew(wanted, held)

    async def _renew(self, wanted: model.Certificate, held: Material | None) -> None:
        """Try until it succeeds. What is held is served until it expires, no longer."""
        failures = 0
        while not await self._try(wanted):
            failures += 1
            remaining = held.not_after - self._now() if held is not None else 0.0
            pause = retry_after(failures, remaining, self._jitter())
            if held is None or not 0 < remaining <= pause:
                await self._sleep(pause)
                continue
            await self._sleep_until(held.not_after)
            self._store.announce(wanted.name)
            _log.error(
                "certificate expired, and is served no more", extra={"certificate": wanted.name}
            )

    async def _try(self, wanted: model.Certificate) -> bool:
        try:
            async with self._gate:
                await self._obtain(wanted)
        except CertificateFault as fault:
            _log.warning("not renewed: %s", fault, extra={"certificate": wanted.name})
        except Exception:  # noqa: BLE001 - a task's edge: one certificate's defect ends no other's
            _log.exception("not renewed: a defect of ours", extra={"certificate": wanted.name})
        else:
            return True
        self.failures += 1
        return False

    async def _obtain(self, wanted: model.Certificate) -> None:
        try:
            material = await self._issuer.issue(wanted)
        except Fault as fault:
            raise CertificateFault(
                f"certificate {wanted.name!r}, role {wanted.mount}/{wanted.role}: {fault}"
            ) from fault
        self._store.put(wanted.name, material)
        _log.info(
            "certificate obtained, serial %s",
            material.serial,
            extra={"certificate": wanted.name, "seconds": material.not_after - self._now()},
        )

    async def _sleep_until(self, moment: float) -> None:
        while (remaining := moment - self._now()) > 0:
            await self._sleep(min(remaining, _MAX_SLEEP_SECONDS))
