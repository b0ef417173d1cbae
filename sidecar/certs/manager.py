"""Obtains the configured certificates and keeps them fresh."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from sidecar.certs.material import Material
from sidecar.certs.renewal import renew_at, retry_after
from sidecar.certs.store import CertificateStore
from sidecar.clock import Now
from sidecar.config import model
from sidecar.errors import Fault

_log = logging.getLogger("sidecar.certs")
_MAX_SLEEP_SECONDS = 3600.0
"""Long sleeps are cut, so that a clock that was set right is noticed."""


class Issuer(Protocol):
    """Issues certificates."""

    async def issue(self, wanted: model.Certificate) -> Material:
        """Return a certificate that was checked. Raises ``Fault``."""


class CertificateManager:
    """One task a certificate. A failed renewal displaces nothing."""

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
        self.failures = 0

    async def obtain_all(self) -> None:
        """Obtain every certificate once; raises the first ``Fault``, named."""
        for wanted in self._wanted:
            try:
                material = await self._issuer.issue(wanted)
            except Fault as fault:
                raise CertificateFault(f"certificate {wanted.name!r}: {fault}") from fault
            self._put(wanted, material)

    async def keep_fresh(self) -> None:
        """Renew, each in its time, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, material in self._store:
                wanted = next(each for each in self._wanted if each.name == name)
                tasks.create_task(self._keep(wanted, material))

    async def _keep(self, wanted: model.Certificate, material: Material) -> None:
        while True:
            await self._sleep_until(
                renew_at(material.not_before, material.not_after, self._jitter())
            )
            material = await self._renew(wanted, material)
            self._put(wanted, material)

    async def _renew(self, wanted: model.Certificate, held: Material) -> Material:
        failures = 0
        while True:
            try:
                return await self._issuer.issue(wanted)
            except Fault as fault:
                failures += 1
                self.failures += 1
                remaining = held.not_after - self._now()
                _log.warning(
                    "certificate not renewed: %s",
                    fault,
                    extra={"certificate": wanted.name, "count": failures, "seconds": remaining},
                )
            await self._sleep(retry_after(failures, remaining, self._jitter()))

    async def _sleep_until(self, moment: float) -> None:
        while (remaining := moment - self._now()) > 0:
            await self._sleep(min(remaining, _MAX_SLEEP_SECONDS))

    def _put(self, wanted: model.Certificate, material: Material) -> None:
        self._store.put(wanted.name, material)
        _log.info(
            "certificate obtained, serial %s",
            material.serial,
            extra={"certificate": wanted.name, "seconds": material.not_after - self._now()},
        )


class CertificateFault(Fault):
    """A configured certificate can't be had."""
